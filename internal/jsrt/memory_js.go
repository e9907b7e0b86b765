package jsrt

import (
	"math"
	"runtime"
	_ "unsafe" // for go:linkname
)

// memoryLimit is what Go's heap, stacks and tables may take before its
// collector works harder, in bytes. An isolate has 128 MB, JavaScript's heap
// among them, and wasm memory never shrinks.
// https://developers.cloudflare.com/workers/platform/limits/#memory
const memoryLimit = 96 << 20

// setMemoryLimit is runtime/debug's SetMemoryLimit; that package would link
// fmt.
//
//go:linkname setMemoryLimit runtime/debug.setMemoryLimit
func setMemoryLimit(int64) int64

func init() {
	if setMemoryLimit(-1) == math.MaxInt64 { // GOMEMLIMIT says nothing
		setMemoryLimit(memoryLimit)
		new(collection).watch(memoryLimit)
	}
}

// collection is garbage at once, so that something runs after each collection.
type collection struct{ _ [16]byte }

// watch raises the limit that it has set when more than that is alive. At its
// limit Go's collector runs again and again; what bounds its share of the time
// elsewhere needs a clock, which stands still here. A program that needs more
// is ended by the platform, and says so; one that collects garbage for ever
// does not.
func (c *collection) watch(set int64) {
	runtime.SetFinalizer(c, func(c *collection) {
		if setMemoryLimit(-1) != set {
			return // the program has one of its own
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		taken := int64(m.Sys - m.HeapReleased - m.HeapIdle)
		set = max(memoryLimit, taken+int64(m.HeapAlloc/4))
		setMemoryLimit(set)
		c.watch(set)
	})
}
