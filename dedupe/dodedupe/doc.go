// Package dodedupe keeps a [dedupe.Store] in Durable Objects: one object per key, so that each key has one writer wherever its callers
// are, on a Durable Object class that is written in Go.
//
//	func main() {
//		dodedupe.Register("Dedupe")
//		durable.HandleFetch(serve)
//		durable.Run()
//	}
//
//	func serve(ctx context.Context, env *durable.Env, r *durable.Request) (*durable.Response, error) {
//		store, err := dodedupe.New(env, nil)
//		…
//		inserted, err := store.PutIfAbsent(ctx, key, time.Hour)
//		…
//	}
//
// The wrangler config binds the class, as SQLite-backed:
//
//	[[durable_objects.bindings]]
//	name = "DEDUPE"
//	class_name = "Dedupe"
//
//	[[migrations]]
//	tag = "v1"
//	new_sqlite_classes = ["Dedupe"]
//
// # Limits
//
// Those of package dedupe. An object takes about 1,000 requests per second
// (https://developers.cloudflare.com/durable-objects/platform/limits/), which here is a limit per key; beyond, calls fail with
// [dedupe.ErrOverloaded]. A key that is live takes one SQLite database, 12 KiB, and one alarm.
//
// # Which object keeps a key
//
// The one whose name is
//
//	capdo.dedupe.v1:<base64url of the scope>:<base64url of the key>
//
// without padding (RFC 4648, section 5). No two pairs of scope and key have the same name, whatever bytes they consist of. Another
// binding, class or scope is another store, in which no key has been seen yet.
//
// # Ordering
//
// The object decides in one step that reads, decides and writes without waiting between, and its answer does not leave before the
// write is durable. Its alarm deletes the record, and with it everything that the object has stored, after it has expired; whether it has is
// decided when it is read, so an alarm may be late. Time is the object's clock; if that is set back, it stands still for the records
// that have been written and for as long as the object stays in memory.
//
// Each PutIfAbsent has an owner token of 128 random bits, which its one repetition carries, too. Forget looks at the record and removes
// what it saw, so it removes nothing that came later.
//
// # Caveats
//
// A PutIfAbsent that ended with [dedupe.ErrUnknownOutcome], or whose first attempt was lost, may be delivered late, after a Forget even.
// The record then stays until its TTL is over.
//
// A record that is corrupt, or that a newer version wrote, is left alone: PutIfAbsent fails with [ErrCorrupt] or [ErrVersion] and changes
// nothing. Forget removes such a record, too.
//
// Natively (without GOOS=js) the package compiles, and [New] returns an error of kind [dedupe.RuntimeUnavailable].
package dodedupe
