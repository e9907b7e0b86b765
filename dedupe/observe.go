package dedupe

import (
	"context"
	"errors"
	"time"
)

// Event is one operation on a [Ledger], as [Observed] reports it. It contains
// no payload, and no key except as a hash.
type Event struct {
	Op      string // "Claim", "Complete", "Extend", "Release", "Forget"
	Result  EventResult
	KeyHash uint64 // see Observed
	Attempt int    // of the claim
	Took    time.Duration
	Err     error // as it was returned; it has no key in it
}

// EventResult is the result of an operation, for counters.
type EventResult string

// Results of operations.
const (
	EventAcquired EventResult = "acquired"
	// Acquired, after the lease of the previous holder ran out.
	EventExpired    EventResult = "expired"
	EventReplayed   EventResult = "replayed"
	EventInProgress EventResult = "in_progress"
	EventMismatched EventResult = "mismatched"
	EventFenced     EventResult = "fenced"
	// An operation other than Claim succeeded.
	EventDone   EventResult = "done"
	EventFailed EventResult = "failed"
)

// Observed returns a ledger that passes each operation on to another one, and
// calls observe with an event when the operation has ended. observe runs on the
// caller's goroutine, and should return soon.
//
// hash makes an event's KeyHash, which is 0 if hash is nil. A plain hash
// reveals a key that can be guessed. Use a keyed hash, such as an HMAC's first
// 8 bytes, or [hash/maphash] if you need not compare events of several
// processes.
func Observed(
	ledger Ledger, hash func(key []byte) uint64, observe func(Event),
) Ledger {
	return &observed{ledger, hash, observe}
}

type observed struct {
	Ledger
	hash    func(key []byte) uint64
	observe func(Event)
}

func (o *observed) Claim(ctx context.Context, key []byte, opts ClaimOptions) (Claim, error) {
	begin := time.Now()
	claim, err := o.Ledger.Claim(ctx, key, opts)
	o.report("Claim", key, claim.Attempt, begin, claimed(&claim), err)
	return claim, err
}

func claimed(c *Claim) EventResult {
	switch {
	case c.Outcome == Replay:
		return EventReplayed
	case c.Outcome == InProgress:
		return EventInProgress
	case c.TakenOver:
		return EventExpired
	}
	return EventAcquired
}

func (o *observed) Complete(ctx context.Context, claim Claim, result []byte) error {
	begin := time.Now()
	err := o.Ledger.Complete(ctx, claim, result)
	o.report("Complete", claim.Key, claim.Attempt, begin, EventDone, err)
	return err
}

func (o *observed) Extend(ctx context.Context, claim Claim, lease time.Duration) error {
	begin := time.Now()
	err := o.Ledger.Extend(ctx, claim, lease)
	o.report("Extend", claim.Key, claim.Attempt, begin, EventDone, err)
	return err
}

func (o *observed) Release(ctx context.Context, claim Claim) error {
	begin := time.Now()
	err := o.Ledger.Release(ctx, claim)
	o.report("Release", claim.Key, claim.Attempt, begin, EventDone, err)
	return err
}

func (o *observed) Forget(ctx context.Context, key []byte) error {
	begin := time.Now()
	err := o.Ledger.Forget(ctx, key)
	o.report("Forget", key, 0, begin, EventDone, err)
	return err
}

func (o *observed) report(
	op string, key []byte, attempt int, begin time.Time, result EventResult, err error,
) {
	switch {
	case errors.Is(err, ErrMismatch):
		result = EventMismatched
	case errors.Is(err, ErrFenced):
		result = EventFenced
	case err != nil:
		result = EventFailed
	}
	var hash uint64
	if o.hash != nil {
		hash = o.hash(key)
	}
	o.observe(Event{op, result, hash, attempt, time.Since(begin), err})
}
