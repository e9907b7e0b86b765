// Package dodedupe implements [dedupe.Store], [dedupe.Ledger] and
// [dedupe.Sequencer] on Durable Objects, with classes that are written in Go.
// The store has one object per key, so each key has one writer worldwide.
//
//	func main() {
//		dodedupe.RegisterStore("Dedupe")
//		durable.HandleFetch(serve)
//		durable.Run()
//	}
//
//	func serve(
//		ctx context.Context, env *durable.Env, r *durable.Request,
//	) (*durable.Response, error) {
//		store, err := dodedupe.NewStore(env, nil)
//		…
//		inserted, err := store.PutIfAbsent(ctx, key, time.Hour)
//		…
//	}
//
// The wrangler config binds the class. A new account can only have classes that
// are backed by SQLite. The store works on key-value backed classes, too:
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
// The limits are those of package dedupe. An object takes about 1,000 requests
// per second
// (https://developers.cloudflare.com/durable-objects/platform/limits/), which
// here is a limit per key. Beyond that, calls fail with [dedupe.ErrOverloaded].
// A live key takes one SQLite database, 12 KiB, and one alarm.
//
// # Which object keeps a key
//
// The object with this name keeps the key:
//
//	capdo.dedupe.v1:<base64url of the scope>:<base64url of the key>
//
// The base64url has no padding (RFC 4648, section 5). Different pairs of scope
// and key, of any bytes, have different names. Another binding, class or scope
// is another store, which starts empty.
//
// # Ordering
//
// The object reads, decides and writes in one step, without waiting in between.
// Its answer leaves only after the write is durable. After the record has
// expired, the object's alarm deletes everything that the object has stored. A
// late alarm does no harm, because each read checks whether the record has
// expired. Time is the object's clock. If that clock is set back, the object's
// time stands still until the clock has caught up with the stored records and
// with the times that the object has in memory.
//
// Each PutIfAbsent has an owner token of 128 random bits, which its one
// repetition carries, too. Forget reads the record and removes what it saw, so
// it removes nothing that came later.
//
// # Ledgers and sequencers
//
// Ledgers and sequencers use another class. [RegisterLedger] declares it, and
// it is bound as LEDGER by default. A Worker that has only a [Store] does not
// carry its code. A [Ledger] has an object per key ([PerKey]), or a fixed
// number of them ([Buckets]), and so does a [Store] in buckets. A [Sequencer]
// has one per stream. The class must be backed by SQLite: on a key-value backed
// one every call fails with [ErrNeedsSQLite]. Their names are
//
//	capdo.ledger.v1:<base64url of the scope>:<base64url of the key>
//	capdo.ledger.v1:<base64url of the scope>:<bucket>/<buckets>
//	capdo.dedupe.v1:<base64url of the scope>:<bucket>/<buckets>
//	capdo.sequence.v1:<base64url of the scope>:<base64url of the stream>
//
// A fence is the object's time in µs when the key was claimed, but at least one
// more than the largest fence that the object has given. When a record is
// removed, the object stores its fence. So fences grow across deletions and
// evictions, whatever the clock does. An object that keeps nothing else is
// emptied, with its fence, at the earliest a minute after the time of that
// fence. A fence may be reused only if the clock is then set back beyond that
// time.
//
// If the clock is up to a minute behind the latest time that an object has seen
// or stored, time stands still for that object. If it is further behind, the
// stored time was wrong. Records stored at such a time are dated anew when
// their key is next read, so that no lease is longer than requested. If the key
// was first seen before that time, its new lease is limited only by
// [dedupe.MaxLease]. If the holder of such a key dies, OnExpired is called only
// when the key is read, or when the clock reaches that time.
//
// A caller waits in the object, in a call that claims nothing, and claims when
// that call returns. So a caller that has left holds nothing. Every change of
// the key wakes the caller. If such a call is lost, the caller claims again. If
// that happens twice in succession, the wait ends. A call lasts at most 10 s,
// and so an object waits at most 10 s for a caller that has left. At most
// [MaxWaiters] wait in all objects of an isolate; one scope may use at most as
// many as it leaves to the others. Beyond that, a Claim that would wait fails
// with [dedupe.ErrOverloaded], and has changed nothing.
//
// An alarm removes up to 200 records that have expired, sets itself again, and
// empties the object when none is left. A sequence's counter stays. If a class
// is registered with an OnExpired function, its alarm calls the function for
// dead holders, up to 50 at a time, when their leases end. Each call has a
// goroutine and 5 minutes of its own. Before the call, the entry is postponed
// and the next alarm is set. During the call, the alarm handles what becomes
// due. So no call delays the call for another holder. If an alarm's storage
// fails, the alarm rings again after 1 s, and later after up to 32 s.
// docs/cost.md has the rows that operations read and write.
//
// # Lost calls
//
// A call whose answer is lost may have had its effect. Each call carries the
// owner's token, so repeating it does no harm: the winner gets the same answer.
// A call is repeated once immediately. If its context has a deadline, it is
// then repeated until the deadline, with pauses that grow from about 0.1 s to 2
// s, less a random part, and up to 10 s for each attempt. If the deadline comes
// first, the call fails with [dedupe.ErrUnknownOutcome]; repeat a claim with
// its owner. So give calls a deadline that is longer than a cluster needs to
// replace a failed node. Without a deadline a call is repeated only once.
// [dedupe.ErrOverloaded] and errors of the object itself are not repeated.
//
// # A class that does more
//
// With [Records] a class of your own can have objects with records beside its
// other objects.
//
// # A ledger inside an object
//
// [Embed] gives an object of any SQLite-backed class a ledger of its own, in
// the same database. [Embedded.Once] and [Embedded.CompleteTx] commit the
// object's writes together with the key's completion, so an effect on the
// object happens exactly once. The ledger shares the object's one alarm with
// the object.
//
// # Caveats
//
// If a PutIfAbsent ended with [dedupe.ErrUnknownOutcome], or its first attempt
// was lost, it may be delivered late, even after a Forget. The record then
// stays until its TTL is over.
//
// If a record is corrupt, or a newer version wrote it, calls fail with
// [ErrCorrupt] or [ErrVersion] and change nothing. Forget removes such a
// record, too. Records of a newer version still expire. If the holder of such a
// record died, OnExpired is called within a minute after a program that knows
// the version runs again.
//
// Natively (without GOOS=js) the package compiles, and [NewStore] returns an
// error of kind [dedupe.RuntimeUnavailable].
package dodedupe
