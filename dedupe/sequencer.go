package dedupe

import (
	"context"
	"time"
)

// Sequencer numbers the entries of streams. Its methods may be called by any
// number of goroutines. Errors are of type [*Error].
type Sequencer interface {
	// Name returns the kind of sequencer, such as "dedupe.durable_objects".
	Name() string

	// Next returns the number of an entry in a stream: 1, 2, 3 and so on,
	// without a gap, in the order in which their keys are first seen. For
	// ttl after that, by the sequencer's clock, the same key gets the same
	// number; later it is a new entry. payloadHash is like the Fingerprint
	// of a claim: if it differs from the one that the key was numbered
	// with, Next fails with [ErrMismatch]. Number and record are stored
	// together or not at all.
	//
	// Next fails with [ErrKeyEmpty] and [ErrKeyTooLarge] for stream and
	// key, which have 1 to [MaxKeySize] bytes each, with
	// [ErrFingerprintTooLarge], [ErrInvalidTTL] and [ErrOverloaded], and
	// with ctx's cause if ctx ended before anything was sent. With
	// [ErrUnknownOutcome] the key may have got a number: repeat the call to
	// learn it.
	Next(
		ctx context.Context,
		stream, key, payloadHash []byte, ttl time.Duration,
	) (Seq, error)
}

// IdempotentSequencer is a [Sequencer] whose Next can be repeated after its
// answer was lost, and is told the same again.
type IdempotentSequencer interface {
	Sequencer

	// NextAs is Next with an owner token, which stands for the caller's
	// call: random bytes, at most [MaxOwnerSize]. A repetition with the
	// same owner is told Inserted again if it was this owner that made the
	// entry. When empty, the owner is a random one.
	//
	// It fails like Next, and with [ErrOwnerTooLarge].
	NextAs(
		ctx context.Context, owner string,
		stream, key, payloadHash []byte, ttl time.Duration,
	) (Seq, error)
}

// Seq is the place of an entry in a stream.
type Seq struct {
	N        int64 // from 1
	Inserted bool  // it was this call that made the entry
	// FirstSeen is when the entry was made, in ms, by the sequencer's
	// clock.
	FirstSeen time.Time
}
