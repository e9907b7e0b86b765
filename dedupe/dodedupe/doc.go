// Package dodedupe keeps a [dedupe.Store], a [dedupe.Ledger] and a
// [dedupe.Sequencer] in Durable Objects, on classes that are written in Go. The
// store has one object per key, so that each key has one writer wherever its
// callers are.
//
//	func main() {
//		dodedupe.RegisterStore("Dedupe")
//		durable.HandleFetch(serve)
//		durable.Run()
//	}
//
//	func serve(ctx context.Context, env *durable.Env, r *durable.Request) (*durable.Response, error) {
//		store, err := dodedupe.NewStore(env, nil)
//		…
//		inserted, err := store.PutIfAbsent(ctx, key, time.Hour)
//		…
//	}
//
// The wrangler config binds the class. A new account can only have
// SQLite-backed ones; the store works on key-value backed classes, too:
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
// (https://developers.cloudflare.com/durable-objects/platform/limits/), which
// here is a limit per key; beyond, calls fail with [dedupe.ErrOverloaded]. A
// key that is live takes one SQLite database, 12 KiB, and one alarm.
//
// # Which object keeps a key
//
// The one whose name is
//
//	capdo.dedupe.v1:<base64url of the scope>:<base64url of the key>
//
// without padding (RFC 4648, section 5). No two pairs of scope and key have the
// same name, whatever bytes they consist of. Another binding, class or scope is
// another store, in which no key has been seen yet.
//
// # Ordering
//
// The object decides in one step that reads, decides and writes without waiting
// between, and its answer does not leave before the write is durable. Its alarm
// deletes the record, and with it everything that the object has stored, after
// it has expired; whether it has is decided when it is read, so an alarm may be
// late. Time is the object's clock; if that is set back, it stands still for
// the records that have been written and for as long as the object stays in
// memory.
//
// Each PutIfAbsent has an owner token of 128 random bits, which its one
// repetition carries, too. Forget looks at the record and removes what it saw,
// so it removes nothing that came later.
//
// # Ledgers and sequencers
//
// They are another class, which [RegisterLedger] declares, and which is bound
// as LEDGER by default; a Worker that only has a [Store] does not carry its
// code. A [Ledger] has an object per key ([PerKey]), or a fixed number of them
// ([Buckets]), as has a [Store] in buckets; a [Sequencer] has one per stream.
// The class has to be SQLite-backed: on a key-value backed one every call fails
// with [ErrNeedsSQLite]. Their names are
//
//	capdo.ledger.v1:<base64url of the scope>:<base64url of the key>
//	capdo.ledger.v1:<base64url of the scope>:<bucket>/<buckets>
//	capdo.dedupe.v1:<base64url of the scope>:<bucket>/<buckets>
//	capdo.sequence.v1:<base64url of the scope>:<base64url of the stream>
//
// A fence is the object's time in µs when the key was claimed, or more than the
// largest that the object has given. When a record is removed, its fence is
// stored, so fences grow across deletions and evictions, whatever the clock
// does. An object that has nothing else to keep is emptied, with its fence, at
// the earliest a minute after the time of that fence: only if the clock is then
// set back beyond that time, a fence may be reused.
//
// While the clock is up to a minute behind what an object has seen or stored,
// time stands still for it. When it is further behind, it was wrong before:
// what was stored meanwhile is dated anew when its key is next read, so that no
// lease is longer than requested; if the key was first seen before that, its
// lease is not longer than [dedupe.MaxLease]. If the holder of such a key dies,
// OnExpired is called only when the key is read, or when the clock gets there.
//
// A caller waits in the object, in a call that claims nothing, and claims when
// that call returns: a caller that has left by then holds nothing. Every change
// of the key wakes the caller. If such a call is lost, the caller claims again;
// if that happens twice in succession, its wait is over. A call lasts at most
// 10 s: that is how long an object waits for a caller that has left. At most
// [MaxWaiters] wait in all objects of an isolate, and of one scope as many as
// it leaves to the others; beyond, a Claim that would wait fails with
// [dedupe.ErrOverloaded], and has changed nothing.
//
// An alarm removes up to 200 records that have expired, sets itself again, and
// empties the object when none is left. A sequence's counter stays. A class
// that is registered with an OnExpired function has its alarm call it for
// holders that died, up to 50 at a time, when their leases end. Each call has a
// goroutine and 5 minutes of its own. Before the call, the entry is postponed
// and the next alarm is set; during the call, the alarm handles what becomes
// due. So no call delays the call for another holder. If an alarm's storage
// fails, the alarm rings again after 1 s, and later after up to 32 s.
// docs/cost.md has the rows that operations read and write.
//
// # Lost calls
//
// A call whose answer is lost may have had its effect. Each carries the owner's
// token, so repeating it does no harm: the winner is told again that it is the
// winner. It is repeated once at once, and then, if its context has a deadline,
// until that, with pauses that grow from about 0.1 s to 2 s, less a part by
// chance, and 10 s for each attempt. So give calls a deadline that is longer than
// a node of a cluster is missed for, and they ride over the loss of one. Where the
// deadline comes first they fail with [dedupe.ErrUnknownOutcome]; repeat a claim
// with its owner. Without a deadline there is the one repetition: a request does
// not go on for ever. [dedupe.ErrOverloaded] and errors of the object itself are
// not repeated.
//
// # A class that does more
//
// [Records] let a class of one's own have objects with records beside its other
// objects.
//
// # A ledger inside an object
//
// [Embed] gives an object of any SQLite-backed class a ledger of its own, in
// the same database: [Embedded.Once] and [Embedded.CompleteTx] commit what the
// object writes together with the key's completion, so an effect on the object
// happens exactly once. It shares the object's one alarm with the object's own.
//
// # Caveats
//
// A PutIfAbsent that ended with [dedupe.ErrUnknownOutcome], or whose first
// attempt was lost, may be delivered late, after a Forget even. The record then
// stays until its TTL is over.
//
// A record that is corrupt, or that a newer version wrote, is left alone: calls
// fail with [ErrCorrupt] or [ErrVersion] and change nothing. Forget removes
// such a record, too. Records of a newer version still expire. For holders of
// such records that died, OnExpired is called within a minute after a program
// that knows the version runs again.
//
// Natively (without GOOS=js) the package compiles, and [NewStore] returns an
// error of kind [dedupe.RuntimeUnavailable].
package dodedupe
