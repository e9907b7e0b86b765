// Package dedupe is the deduplication capability: a store that tells the first
// holder of a key from everybody after it.
//
//	inserted, err := store.PutIfAbsent(ctx, []byte(messageID), 24*time.Hour)
//	switch {
//	case err != nil:
//		return err // see Caveats about ErrUnknownOutcome
//	case !inserted:
//		return nil // seen before
//	}
//	if err := handle(message); err != nil {
//		return errors.Join(err, store.Forget(ctx, []byte(messageID))) // let a redelivery through
//	}
//
// Where a duplicate is to get the result of the first, and where a crash must
// not lose the work, there is the [Ledger]: a key is claimed for the time of a
// lease, with a fence, and completed with a result. [Do] does all of it:
//
//	work := func(ctx context.Context, claim dedupe.Claim) ([]byte, error) {
//		return charge(ctx, claim.Fence)
//	}
//	receipt, err := dedupe.Do(ctx, ledger, orderID, options, work)
//
// A [Sequencer] numbers the entries of a stream, each key once.
//
// This package has the interfaces and what all of their implementations share;
// it depends on nothing but the standard library. Those on Durable Objects are
// in package dodedupe, those in memory in package memdedupe. Package dedupetest
// has the tests that each of them passes.
//
// # Limits
//
// A key has 1 to [MaxKeySize] bytes, any bytes. A TTL is kept in ms, a fraction
// of one counting as a whole, and goes up to [MaxTTL]. An owner has up to
// [MaxOwnerSize] bytes, a fingerprint [MaxFingerprintSize], a result
// [MaxResultSize]. A lease lasts from 1 ms to [MaxLease], a wait up to
// [MaxWait]. All are checked before anything is sent.
//
// # Semantics
//
// A record is live from the PutIfAbsent that inserted it until its TTL is over:
// while now < inserted + TTL, by the store's clock, never the caller's. That
// clock does not run backwards. Of any number of concurrent calls for a key
// without a live record, exactly one inserts. A call that finds a live record
// leaves it as it is; above all it does not extend it. The TTL counts from the
// first sight of a key, not from when its work was done.
//
// # Caveats
//
// A network may lose an answer. A store repeats such a call once, in a way that
// cannot turn the winner into a duplicate, and then says [ErrUnknownOutcome]:
// the record may be there, or may still come to be. Then nobody works on the
// key until its TTL is over, unless another had it before. It is for the caller
// to choose: forget the key, and risk that work is done twice, or leave it, and
// risk that it is not done.
//
// A false that followed a lost answer means that another holds the key now. Had
// the record that the lost call perhaps inserted been forgotten meanwhile,
// callers in between were told of a duplicate, too.
//
// A holder that loses its lease may go on working beside the next one. Under
// [Do] the context of the work ends with the lease, by the program's own clock,
// so work that watches its context does not; but what it has sent may still
// arrive. The system that the work changes prevents a second effect: by an
// idempotency key, or by the fence, of which it keeps the largest and rejects
// smaller ones. The repository's docs/dedupe.md says when work can run twice.
//
// Work whose failure may have had an effect is not given to the next caller at
// once: Do leaves its claim to the lease, unless the error matches
// [ErrNoEffect].
//
// A store deduplicates what it is asked about. Work that takes longer than the
// TTL may be begun a second time.
package dedupe
