package jsrt

import _ "unsafe" // for go:linkname

// While the goroutine of an export is pinned, the scheduler runs no other one.
// Otherwise an allocation could let others run first, to help the garbage
// collector. One of them could begin a transaction, which enters Go again,
// below. The export would then return there, with another goroutine's stack.
// The same holds for Go's own entry, resume, until it has recorded whom it
// interrupts. So an export pins, and resume unpins when it asks JavaScript for
// the pending event, which it does next.
//
// sync.Pool pins like this, too.

//go:linkname procPin runtime.procPin
func procPin() int

//go:linkname procUnpin runtime.procUnpin
func procUnpin()

var isPinned bool

// pin is called first in each export that resume follows. JavaScript calls it
// before it calls resume alone.
//
//go:wasmexport capdo_pin
//go:nosplit
func pin() {
	if !isPinned {
		isPinned = true
		procPin()
	}
}

// unpin must not move the stack, because JavaScript has its address.
//
//go:wasmexport capdo_unpin
//go:nosplit
func unpin() {
	if isPinned {
		isPinned = false
		procUnpin()
	}
}
