package dedupe

import (
	"context"
	"time"
)

// Limits that every ledger and every sequencer keeps, besides those of a
// [Store].
const (
	// MaxOwnerSize is the size of the longest owner token, in bytes.
	MaxOwnerSize = 64
	// MaxFingerprintSize is the size of the longest fingerprint, in bytes;
	// a SHA-512 fits.
	MaxFingerprintSize = 64
	// MaxResultSize is the size of the largest result, in bytes.
	MaxResultSize = 1 << 20
	// DefaultLease is what a lease of 0 means.
	DefaultLease = 30 * time.Second
	// MaxLease is the longest lease. The shortest is 1 ms.
	MaxLease = 24 * time.Hour
	// MaxWait is the longest wait of a Claim.
	MaxWait = time.Minute
)

// Ledger records work by key, so that it is done once and its result is kept: a
// caller claims a key for the time of a lease, and then completes it with a
// result. Later claims return that result. Its methods may be called by any
// number of goroutines. Errors are of type [*Error].
//
// A key's window begins when the key is first seen, and lasts for the TTL of
// that claim. Later attempts do not extend it. Three things are remembered
// beyond the window. If the window ends during an attempt, the attempt keeps
// its lease. A result is kept for at least a tenth of the TTL after it was
// stored ([KeptAfter]), and until the lease would have ended. A lease that ran
// out counts for a tenth of the TTL after its end: within that time the next
// claim is TakenOver and must have the same fingerprint.
//
// Time is the ledger's clock. If that clock is set back by up to a minute, the
// ledger's time stands still meanwhile. If it was ahead by more, the leases
// granted meanwhile are limited: each ends at the latest as if it were granted
// when the key is next read. If the key was first seen before that, its lease
// ends at the latest [MaxLease] after that read.
//
// Complete, Extend and Release fail with [ErrFenced], and change nothing, if
// the claim is no longer the key's present one: another owner has taken it
// over, or it was released, forgotten, or ended with its window. They fail with
// [ErrNotAcquired] for a claim that is not [Acquired], and with
// [ErrForeignClaim] for a claim of another ledger. After [ErrUnknownOutcome]
// each may be repeated.
type Ledger interface {
	// Name returns the kind of ledger, such as "dedupe.durable_objects".
	Name() string

	// Claim asks for the right to do a key's work. The claim's Outcome
	// reports the result. While its lease lasts, the same owner gets the
	// same claim again. When the lease is over, another owner can take the
	// key over; until then the holder may still complete it.
	//
	// Claim fails with [ErrMismatch] if the key is in progress or completed
	// with another fingerprint, with [ErrKeyEmpty], [ErrKeyTooLarge],
	// [ErrOwnerTooLarge], [ErrFingerprintTooLarge], [ErrInvalidLease],
	// [ErrInvalidTTL], [ErrInvalidWait] and [ErrOverloaded], and with ctx's
	// cause if ctx ended before anything was sent, or while Claim waited.
	// With [ErrUnknownOutcome] the key may have been claimed by the Owner
	// in the returned claim: repeat Claim with that owner, or let the lease
	// end.
	Claim(ctx context.Context, key []byte, opts ClaimOptions) (Claim, error)

	// Complete stores a claim's result, at most [MaxResultSize] bytes, else
	// [ErrResultTooLarge], and ends the claim. If the same holder repeats
	// it, it changes nothing, not even the result, and returns nil. If
	// Complete fails, the key stays in progress, and the work will be done
	// again after the lease. So repeat a failed call, and store another
	// result if it is too large; the function [Complete] does both.
	Complete(ctx context.Context, claim Claim, result []byte) error

	// Extend makes a claim's lease last at least for the given time from
	// now, or for [DefaultLease] if that is 0. It never shortens the lease.
	Extend(ctx context.Context, claim Claim, lease time.Duration) error

	// Release gives a claim back. The next claim acquires the key at once,
	// with any fingerprint. Attempt continues to count.
	Release(ctx context.Context, claim Claim) error

	// Forget removes a key's record, whoever holds it and even if it is
	// completed, and wakes the callers that wait for the key. It returns
	// nil if there is no record. Fences continue to grow.
	Forget(ctx context.Context, key []byte) error
}

// ClaimOptions configure a claim.
type ClaimOptions struct {
	// Owner is the token of this attempt: any bytes, at most
	// [MaxOwnerSize]. When empty, Claim makes a random one.
	Owner string
	// Fingerprint stands for the payload, such as a hash of it: any bytes,
	// at most [MaxFingerprintSize]. All claims of a key must have the same
	// one. An empty fingerprint matches only an empty one.
	Fingerprint []byte
	// Lease is how long the claim lasts: up to [MaxLease], in ms, rounded
	// up; [DefaultLease] when 0.
	Lease time.Duration
	// TTL is how long the key is remembered after it was first seen, in ms,
	// rounded up; 0 means the ledger's default.
	TTL time.Duration
	// Wait is how long Claim waits if another owner holds the key, at most
	// [MaxWait] in total. Claim returns as soon as the holder has completed
	// or released the key, the lease is over, or the key was forgotten.
	// Waiting itself claims nothing: if the wait breaks off, Claim returns
	// [InProgress] or an error, but not [ErrUnknownOutcome].
	Wait time.Duration
}

// Claim is the result of [Ledger.Claim]. Another program may complete, extend
// and release a claim that is [Acquired]: keep or send its Ledger, Key, Owner,
// Fence and Outcome.
type Claim struct {
	Outcome Outcome
	Ledger  string // which ledger made it
	Key     []byte
	Owner   string

	// Fence grows strictly from claim to claim of a key, also after Forget
	// and expiry. The system that the work writes to can reject a fence
	// smaller than one it has seen. (This may require that the ledger's
	// clock is not set back too far; the ledger's documentation says how
	// far.) Set if Acquired.
	Fence int64
	// Attempt counts the claims of the key within its window, from 1.
	Attempt int
	// TakenOver: the lease of the previous holder ran out, so its work may
	// have been done, in part or in full, and may still be running. Check
	// before you act again. Set if Acquired.
	TakenOver bool

	// Result is the result that the key was completed with. CompletedAt is
	// the time of that, in ms, by the ledger's clock. Set if Replay.
	Result      []byte
	CompletedAt time.Time

	// RetryAfter is the time until the holder's lease ends. Set if
	// InProgress.
	RetryAfter time.Duration
}

// Outcome is the result of a [Ledger.Claim].
type Outcome int

// Outcomes.
const (
	// Acquired: the caller holds the key and must do its work.
	Acquired Outcome = 1 + iota
	// Replay: the work has been done before. The claim has the Result.
	Replay
	// InProgress: another owner holds the key.
	InProgress
)

// String returns the outcome in words.
func (o Outcome) String() string {
	switch o {
	case Acquired:
		return "acquired"
	case Replay:
		return "replay"
	case InProgress:
		return "in progress"
	}
	return "no outcome"
}

// Check returns the error for an invalid key or invalid options.
func (o *ClaimOptions) Check(key []byte) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	_, lease := LeaseMillis(o.Lease)
	switch {
	case CheckOwner(o.Owner) != nil:
		return ErrOwnerTooLarge
	case len(o.Fingerprint) > MaxFingerprintSize:
		return ErrFingerprintTooLarge
	case o.Wait < 0 || o.Wait > MaxWait:
		return ErrInvalidWait
	}
	return lease
}

// Check returns the error for a claim that the ledger with that identity cannot
// complete, extend or release.
func (c *Claim) Check(ledger string) error {
	switch {
	case c.Outcome != Acquired:
		return ErrNotAcquired
	case c.Ledger != ledger:
		return ErrForeignClaim
	case CheckOwner(c.Owner) != nil:
		return ErrOwnerTooLarge
	}
	return CheckKey(c.Key)
}

// KeptAfter returns how long, in ms, a key is remembered at least after it was
// completed, and after its lease ran out: a tenth of its TTL, rounded up.
func KeptAfter(ttl int64) int64 { return (ttl + 9) / 10 }

// CheckResult returns [ErrResultTooLarge] if the result is too large.
func CheckResult(result []byte) error {
	if len(result) > MaxResultSize {
		return ErrResultTooLarge
	}
	return nil
}

// LeaseMillis returns a lease in ms, rounded up. A lease of 0 is
// [DefaultLease]. It fails with [ErrInvalidLease] for one that is negative, or
// beyond [MaxLease].
func LeaseMillis(lease time.Duration) (int64, error) {
	if lease == 0 {
		lease = DefaultLease
	}
	if lease < 0 || lease > MaxLease {
		return 0, ErrInvalidLease
	}
	return int64((lease + time.Millisecond - 1) / time.Millisecond), nil
}
