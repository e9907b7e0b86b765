// Package durable is Durable Objects for Go: a Go program that registers classes with it, built by capdo, is a Worker whose
// Durable Object classes are Go types.
//
//	type Counter struct{ state *durable.State }
//
//	func NewCounter(ctx context.Context, state *durable.State, env *durable.Env) (*Counter, error) {
//		return &Counter{state}, nil
//	}
//
//	func (c *Counter) Add(ctx context.Context, n int64) (int64, error) { … }
//
//	func main() {
//		durable.Register("Counter", NewCounter, durable.Func[*Counter]("add", (*Counter).Add))
//		durable.Run()
//	}
//
// Go and JavaScript Workers call such methods alike: durable.Call[int64](ctx, stub, "add", 5) and stub.add(5). docs/api.md has Cloudflare's
// names for what is here.
//
// All objects of a Worker, and its stateless handler, share one Go program per isolate (https://developers.cloudflare.com/workers/reference/how-workers-works/).
// Goroutines, locks, channels and timers work across them; an operation on an object's handles runs in that object's own I/O
// context, whichever goroutine calls it.
//
// # Errors
//
// Errors of the platform and of remote objects match the variables Err…, with [errors.Is]; most are an [*Error]. [Retryable] and [Overloaded] say
// whether to repeat a call. docs/errors.md says of each whether the call was performed.
//
// # Limits
//
// Keys and values, entries per call and the options of retries are checked before a call, by what the object is backed by, because local workerd accepts
// more than Cloudflare does: see the constants Max…. What exceeds one is refused with a [*LimitError], which matches [ErrLimit], and nothing
// is done. docs/limits.md has all limits, plan by plan.
//
// # Ordering
//
// Events of one object start in order and run concurrently where they wait, as in JavaScript. The input gate holds other events back
// only while an object waits for its storage; waiting for anything else (a timer, a channel, a subrequest) lets them in. So where a decision
// depends on what was read, and something is waited for before the write, use one of these:
//
//   - [KV] and [SQL], which are synchronous: what is read and written without waiting between is one step.
//   - [Storage.TransactionSync]: the same, and all or nothing.
//   - The asynchronous operations of [Storage], which work on both backends. The input gate is closed while each of them waits, unless
//     AllowConcurrency opens it.
//   - [Storage.Transaction]: all or nothing, and its function may wait for I/O.
//   - [State.BlockConcurrencyWhile]: no other event at all, whatever its function waits for, at most 30 s. A constructor needs none: events
//     are held back while it waits.
//
// The output gate holds an answer back until the writes before it are durable, unless AllowUnconfirmed lets it out. A handler that
// returns an error keeps what it wrote; only [State.Abort] and the transactions undo.
//
// # Caveats
//
// A panic in a handler, a constructor or an alarm becomes an error for the caller. A panic in a goroutine that you started, os.Exit, a
// fatal error and running out of memory end the Go program: every open call fails at once, the objects that had open calls are reset,
// and a new program starts at the next call. Storage is not affected.
//
// A goroutine that outlives the invocation that started it keeps running, but only while some invocation of the isolate is open do
// its timers fire, and once a stateless invocation is over its handles answer [ErrContextClosed]; see [WaitUntil]. An operation on
// the handles of an object that has no invocation open waits for that object's next event.
//
// What runs inside BlockConcurrencyWhile, or in an asynchronous transaction,
// must not wait for another event of the same object: that is held back. Other
// goroutines of the object wait, too, when they use one of its handles: what
// they write would be rolled back with the transaction. A goroutine is inside
// when the function started it with a go statement, directly or not.
//
// Values that are stored or sent are those that JavaScript and Go share, see [KV]; what would change on its way is refused with [ErrValue]. Numbers
// come back as float64, integers beyond 2^53 as int64; [Decode] converts.
//
// Natively (without GOOS=js) the package compiles, and every operation returns an error that wraps [errors.ErrUnsupported].
package durable
