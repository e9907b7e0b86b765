package jsrt

import (
	"math"
	"runtime"
	_ "unsafe" // for go:linkname
)

// memoryLimit is a size of Go's heap, stacks and tables, in bytes. Beyond it
// the garbage collector works harder. An isolate has 128 MB, including
// JavaScript's heap, and wasm memory never shrinks.
// https://developers.cloudflare.com/workers/platform/limits/#memory
const memoryLimit = 96 << 20

// setMemoryLimit is runtime/debug's SetMemoryLimit. Importing that package
// would link package fmt.
//
//go:linkname setMemoryLimit runtime/debug.setMemoryLimit
func setMemoryLimit(int64) int64

func init() {
	if setMemoryLimit(-1) == math.MaxInt64 { // GOMEMLIMIT is not set
		setMemoryLimit(memoryLimit)
		new(collection).watch(memoryLimit)
	}
}

// collection becomes garbage at once, so its finalizer runs after each garbage
// collection.
type collection struct{ _ [16]byte }

// watch raises the limit if the program uses more memory. At its limit, Go's
// garbage collector would run again and again. On other platforms a clock
// limits its share of the time, but here the clock stands still. If a program
// needs too much memory, the platform ends it with an error; a program that
// collects garbage forever gives no error.
func (c *collection) watch(set int64) {
	runtime.SetFinalizer(c, func(c *collection) {
		if setMemoryLimit(-1) != set {
			return // the program has set its own limit
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		taken := int64(m.Sys - m.HeapReleased - m.HeapIdle)
		set = max(memoryLimit, taken+int64(m.HeapAlloc/4))
		setMemoryLimit(set)
		c.watch(set)
	})
}
