// Package durable lets you write Cloudflare Durable Objects in Go. A program
// registers its classes, and the command capdo builds it. The result is a
// Worker whose Durable Object classes are Go types.
//
//	type Counter struct{ state *durable.State }
//
//	func NewCounter(
//		ctx context.Context, state *durable.State, env *durable.Env,
//	) (*Counter, error) {
//		return &Counter{state}, nil
//	}
//
//	func (c *Counter) Add(ctx context.Context, n int64) (int64, error) { … }
//
//	func main() {
//		durable.Register("Counter", NewCounter,
//			durable.Func[*Counter]("add", (*Counter).Add))
//		durable.Run()
//	}
//
// Go and JavaScript Workers call such methods: durable.Call[int64](ctx, stub,
// "add", 5) and stub.add(5). docs/api.md lists the Go name of each Cloudflare
// operation.
//
// [HandleFetch], [HandleScheduled] and [HandleQueue] handle the events of the
// stateless Worker itself: requests, cron triggers and messages of queues.
//
// All objects of a Worker and its stateless handlers share one Go program per
// [isolate]. Goroutines, locks, channels and timers work across them. An
// operation on an object's handles runs in that object's own I/O context,
// whichever goroutine calls it.
//
// # Errors
//
// Errors of the platform and of remote objects match the variables Err…, with
// [errors.Is]. Most are an [*Error]. [Retryable] and [Overloaded] say whether
// to repeat a call. docs/errors.md says for each error whether the call was
// performed.
//
// # Limits
//
// The library checks keys and values, entries per call and the options of
// retries before a call, by the object's kind of storage, because local workerd
// accepts more than Cloudflare does: see the constants Max…. If a limit is
// exceeded, the call fails with a [*LimitError], which matches [ErrLimit], and
// nothing is done. docs/limits.md has the limits of each plan.
//
// # Ordering
//
// Events of one object start in order and overlap when they wait, as in
// JavaScript. The input gate holds other events back only while an object waits
// for its storage. While it waits for anything else (a timer, a channel, a
// subrequest), other events run. If you decide by what you have read, and wait
// for something before you write, use one of these:
//
//   - [KV] and [SQL], which are synchronous. If you do not wait between reading
//     and writing, both are one step.
//   - [Storage.TransactionSync]: the same, and all or nothing.
//   - The asynchronous operations of [Storage], which work on both backends.
//     The input gate is closed while each of them waits, unless
//     AllowConcurrency opens it.
//   - [Storage.Transaction]: all or nothing, and its function may wait for I/O.
//   - [State.BlockConcurrencyWhile]: no other event runs, whatever its function
//     waits for, for at most 30 s. A constructor does not need it: events are
//     held back while it waits.
//
// The output gate holds an answer back until the writes before it are durable,
// unless AllowUnconfirmed opens it. If a handler returns an error, its writes
// stay. Only [State.Abort] and the transactions undo writes.
//
// # Caveats
//
// A panic in a handler, a constructor or an alarm becomes an error for the
// caller. A panic in a goroutine that you started ends the Go program. So do
// os.Exit, a fatal error and running out of memory. Every open call then fails
// at once, the objects that had open calls are reset, and a new program starts
// at the next call. Storage does not change.
//
// A goroutine that outlives the invocation that started it keeps running. But
// its timers fire only while some invocation of the isolate is open. After the
// end of a stateless invocation its handles answer [ErrContextClosed]; see
// [WaitUntil]. An operation on the handles of an object that has no invocation
// open waits for that object's next event.
//
// Inside BlockConcurrencyWhile, or in an asynchronous transaction, do not wait
// for another event of the same object, because that event is held back. Other
// goroutines of the object also wait when they use one of its handles, because
// their writes would be rolled back with the transaction. A goroutine is inside
// if the function started it with a go statement, directly or not.
//
// You can store and send the values that JavaScript and Go share, see [KV]. A
// value that would change on its way is refused with [ErrValue]. Numbers come
// back as float64, integers beyond 2^53 as int64. [Decode] converts them.
//
// Natively (without GOOS=js) the package compiles, and every operation returns
// an error that wraps [errors.ErrUnsupported].
//
// [isolate]: https://developers.cloudflare.com/workers/reference/how-workers-works/
package durable
