package jsrt

import "unsafe"

// Goroutines inherit profiler labels. Package runtime/pprof would link package
// fmt, so its functions are linked by name.

//go:linkname setLabels runtime/pprof.runtime_setProfLabel
func setLabels(unsafe.Pointer)

//go:linkname labels runtime/pprof.runtime_getProfLabel
func labels() unsafe.Pointer

func setMark(m *mark) { setLabels(unsafe.Pointer(m)) }
func marked() *mark   { return (*mark)(labels()) }
