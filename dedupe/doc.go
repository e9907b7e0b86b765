// Package dedupe is the deduplication capability: a store that tells the first holder of a key from everybody after it.
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
// This package has the interface and what all stores share; it depends on nothing but the standard library. The store on Durable
// Objects is package dodedupe. Package dedupetest has the tests that every store passes, and a store in memory for tests.
//
// # Limits
//
// A key has 1 to [MaxKeySize] bytes, any bytes. A TTL is kept in ms, a fraction of one counting as a whole, and goes up to
// [MaxTTL]. Both are checked before anything is sent.
//
// # Semantics
//
// A record is live from the PutIfAbsent that inserted it until its TTL is over: while now < inserted + TTL, by the store's clock,
// never the caller's. That clock does not run backwards. Of any number of concurrent calls for a key without a live record, exactly
// one inserts. A call that finds a live record leaves it as it is; above all it does not extend it. The TTL counts from the first
// sight of a key, not from when its work was done.
//
// # Caveats
//
// A network may lose an answer. A store repeats such a call once, in a way that cannot turn the winner into a duplicate, and then
// says [ErrUnknownOutcome]: the record may be there, or may still come to be. Then nobody works on the key until its TTL is over,
// unless another had it before. It is for the caller to choose: forget the key, and risk that work is done twice, or leave it,
// and risk that it is not done.
//
// A false that followed a lost answer means that another holds the key now. Had the record that the lost call perhaps inserted
// been forgotten meanwhile, callers in between were told of a duplicate, too.
//
// A store deduplicates what it is asked about. Work that takes longer than the TTL may be begun a second time.
package dedupe
