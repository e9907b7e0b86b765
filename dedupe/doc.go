// Package dedupe makes sure that work is done once. A [Store] distinguishes the
// first caller of a key from all later ones.
//
//	inserted, err := store.PutIfAbsent(ctx, []byte(messageID), 24*time.Hour)
//	switch {
//	case err != nil:
//		return err // see Caveats about ErrUnknownOutcome
//	case !inserted:
//		return nil // seen before
//	}
//	if err := handle(message); err != nil {
//		// allow a redelivery
//		return errors.Join(err, store.Forget(ctx, []byte(messageID)))
//	}
//
// Use a [Ledger] if a duplicate must get the first result, and if a crash must
// not lose the work. A caller claims a key for the time of a lease, with a
// fence, and completes it with a result. [Do] does all of this:
//
//	work := func(ctx context.Context, claim dedupe.Claim) ([]byte, error) {
//		return charge(ctx, claim.Fence)
//	}
//	receipt, err := dedupe.Do(ctx, ledger, orderID, options, work)
//
// A [Sequencer] numbers the entries of a stream, each key once.
//
// This package has the interfaces and the code that all implementations share.
// It depends only on the standard library. Package dodedupe has the
// implementations on Durable Objects, package memdedupe those in memory.
// Package dedupetest has the tests that each of them passes.
//
// # Limits
//
// A key has 1 to [MaxKeySize] bytes, any bytes. A TTL goes up to [MaxTTL]; it
// is kept in ms, and a fraction of a ms counts as a whole one. An owner has up
// to [MaxOwnerSize] bytes, a fingerprint [MaxFingerprintSize], a result
// [MaxResultSize]. A lease lasts from 1 ms to [MaxLease], a wait up to
// [MaxWait]. All are checked before anything is sent.
//
// # Semantics
//
// A record is live from the PutIfAbsent that inserted it until its TTL is over:
// while now < inserted + TTL, by the store's clock, never the caller's. That
// clock does not run backwards. Of any number of concurrent calls for a key
// without a live record, exactly one inserts. A call that finds a live record
// does not change it. In particular it does not extend it. The TTL starts when
// a key is first seen, not when its work is done.
//
// # Caveats
//
// A network may lose an answer. A store repeats such a call, in a way that
// cannot turn the winner into a duplicate, and then returns
// [ErrUnknownOutcome]: the record may be there, or may appear later. Then
// nobody works on the key until its TTL is over, unless another caller had it
// before. You decide: forget the key, and risk that the work is done twice; or
// leave it, and risk that it is not done. Or give the call an owner, and repeat
// it with the same owner: see [IdempotentStore].
//
// If PutIfAbsent returns false after a lost answer, another caller holds the
// key now. If the record of the lost call was forgotten in between, other
// callers may have seen a duplicate before that.
//
// A holder that loses its lease may continue to work at the same time as the
// next one. Under [Do] the context of the work ends with the lease, by the
// program's own clock. So work that watches its context stops, but what it has
// sent may still arrive. The system that the work changes must prevent a second
// effect: by an idempotency key, or by the fence. It stores the largest fence
// and rejects smaller ones. The repository's docs/dedupe.md says when work can
// run twice.
//
// If work fails and may have had an effect, Do does not give it to the next
// caller at once. The claim stays until its lease ends, unless the error
// matches [ErrNoEffect].
//
// A store deduplicates only calls to it. Work that takes longer than the TTL
// may be begun a second time.
package dedupe
