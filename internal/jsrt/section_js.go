package jsrt

import "unsafe"

// Goroutines inherit profiler labels; package runtime/pprof would link fmt.

//go:linkname setLabels runtime/pprof.runtime_setProfLabel
func setLabels(unsafe.Pointer)

//go:linkname labels runtime/pprof.runtime_getProfLabel
func labels() unsafe.Pointer

func setMark(m *mark) { setLabels(unsafe.Pointer(m)) }
func marked() *mark   { return (*mark)(labels()) }
