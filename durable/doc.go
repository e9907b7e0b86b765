// Package durable is Durable Objects for Go: a Go program that registers classes with it, built by capdo, is a Worker whose
// Durable Object classes are Go types.
//
//	type Counter struct{ state *durable.State }
//
//	func NewCounter(ctx context.Context, state *durable.State, env *durable.Env) (*Counter, error) {
//		return &Counter{state}, nil
//	}
//
//	func (c *Counter) Increment(ctx context.Context, _ []byte) ([]byte, error) { … }
//
//	func main() {
//		durable.Register("Counter", NewCounter, durable.Method("increment", (*Counter).Increment))
//		durable.Run()
//	}
//
// All objects of a Worker, and its stateless handler, share one Go program per isolate (https://developers.cloudflare.com/workers/reference/how-workers-works/).
// Goroutines, locks, channels and timers work across them; an operation on an object's handles runs in that object's own I/O
// context, whichever goroutine calls it.
//
// # Ordering
//
// Events of one object start in order and run concurrently where they wait, as in JavaScript. The input gate holds other events back
// only while an object waits for its storage; waiting for anything else (a timer, a channel, a subrequest) lets them in. So read,
// decide and write without waiting between: with [KV] and [SQL], which are synchronous, or inside [Storage.TransactionSync]. The
// output gate holds an answer back until the writes before it are durable.
//
// # Caveats
//
// A panic in a handler, a constructor or an alarm becomes an error for the caller. A panic in a goroutine that you started, os.Exit, a
// fatal error and running out of memory end the Go program: every open call fails at once, the objects that had open calls are reset,
// and a new program starts at the next call. Storage is not affected.
//
// A goroutine that outlives the invocation that started it keeps running, but only while some invocation of the isolate is open do
// its timers fire, and once a stateless invocation is over its handles answer [ErrContextClosed]; see [WaitUntil].
//
// Natively (without GOOS=js) the package compiles, and every operation returns an error that wraps [errors.ErrUnsupported].
package durable
