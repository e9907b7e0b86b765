// Package jsrt is the only package that knows the boundary between Go and
// JavaScript. There is one Go program per isolate. workerd enters it through
// internal/shim's shim.mjs, which is this package's other half.
//
// # How a call runs
//
// JavaScript records an event through an export (a new invocation, a settled
// promise, a turn that was asked for). Then it resumes the Go program, which
// runs until every goroutine waits. An export never yields. So nothing runnable
// is ever left behind, and a goroutine never runs on top of another's
// half-finished export.
//
// # I/O contexts
//
// workerd lets code touch I/O objects only while the context that owns them is
// running. A [Context] is one Durable Object instance or one stateless
// invocation. Goroutines of all contexts share one scheduler. So a goroutine
// may be woken while another context has the stack (by a mutex, a channel, a
// timer). Every operation on a [Ref] therefore makes sure that its own context
// is current. Otherwise it parks until JavaScript has entered that context. If
// the context is current, the check is one comparison.
//
// # Values
//
// Values that cross are encoded once, in one way (value.go). nil, booleans,
// numbers, strings, bytes, lists, string-keyed maps, times and errors go by
// value. Every other JavaScript value stays where it is, and Go holds a Ref.
package jsrt
