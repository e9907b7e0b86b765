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
	// MaxFingerprintSize is the size of the longest fingerprint, in bytes; a
	// SHA-512 fits.
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
// key is claimed for the time of a lease, and then completed with a result that
// later claims are answered with. Its methods may be called by any number of
// goroutines. Errors are of type [*Error].
//
// A key's window begins when it is first seen, and lasts for the TTL of that
// claim; later attempts do not extend it. What becomes of an attempt is
// remembered beyond it: an attempt that is under way when the window ends keeps
// its lease, a result is kept for at least a tenth of the TTL after it was
// stored ([KeptAfter]), and until the lease would have been over, and a lease
// that ran out counts for a tenth of the TTL after its end, so that the next
// claim is told that it takes over, and has to have the same fingerprint.
//
// Time is the ledger's clock. While that is set back by up to a minute, it
// stands still. After it was ahead by more, leases that were given meanwhile
// end at the latest when they would have if they were given when the key is
// next looked at; that of a key first seen before ends [MaxLease] after that at
// the latest.
//
// Complete, Extend and Release fail with [ErrFenced], and change nothing, when
// the claim is not the key's present one: when another owner has taken it over,
// when it was released, forgotten, or ended with its window. They fail with
// [ErrNotAcquired] for a claim that is not [Acquired], and with
// [ErrForeignClaim] for one of another ledger. After [ErrUnknownOutcome] each
// may be repeated.
type Ledger interface {
	// Name says what kind of ledger it is, such as "dedupe.durable_objects".
	Name() string

	// Claim asks for the right to do a key's work, and the claim's Outcome
	// reports the result. The same owner is given the same claim again while
	// its lease lasts. A lease that is over can be taken over, and until then
	// its holder may still complete.
	//
	// It fails with [ErrMismatch] when the key is in progress or completed with
	// another fingerprint, with [ErrKeyEmpty], [ErrKeyTooLarge],
	// [ErrOwnerTooLarge], [ErrFingerprintTooLarge], [ErrInvalidLease],
	// [ErrInvalidTTL], [ErrInvalidWait] and [ErrOverloaded], and with ctx's
	// cause when that ended before anything was sent, or while it waited. With
	// [ErrUnknownOutcome] the key may have been claimed all the same, by the
	// Owner of the claim that is returned: repeat it with that, or leave it to
	// the lease.
	Claim(ctx context.Context, key []byte, opts ClaimOptions) (Claim, error)

	// Complete stores a claim's result, at most [MaxResultSize] bytes, else
	// [ErrResultTooLarge], and ends the claim. A repetition by the same holder
	// changes nothing, not even the result, and is no error. If it fails the
	// key stays in progress: the work has been done, and will be done again
	// after the lease. So repeat what failed, and store something in place of
	// what is too large; the function [Complete] does both.
	Complete(ctx context.Context, claim Claim, result []byte) error

	// Extend has a claim's lease last for at least that much longer from now,
	// or for [DefaultLease] if that is 0; it never shortens it.
	Extend(ctx context.Context, claim Claim, lease time.Duration) error

	// Release gives a claim back, so that the next one acquires the key at
	// once, with any fingerprint. Attempts go on being counted.
	Release(ctx context.Context, claim Claim) error

	// Forget removes a key's record, whoever holds it and even if it is
	// completed, and wakes those who wait for the key. A key without a record
	// is fine. Fences go on growing.
	Forget(ctx context.Context, key []byte) error
}

// ClaimOptions say how a key is claimed.
type ClaimOptions struct {
	// Owner is the token of this attempt: any bytes, at most [MaxOwnerSize].
	// When empty, Claim makes a random one.
	Owner string
	// Fingerprint stands for the payload, such as a hash of it: any bytes, at
	// most [MaxFingerprintSize]. Claims of a key must agree about it: an empty
	// fingerprint matches only an empty one.
	Fingerprint []byte
	// Lease is how long the claim lasts: up to [MaxLease], in ms, rounded up;
	// [DefaultLease] when 0.
	Lease time.Duration
	// TTL is how long the key is remembered after it was first seen, in ms,
	// rounded up; 0 means the ledger's default.
	TTL time.Duration
	// Wait is how long to wait where another owner holds the key, at most
	// [MaxWait], in all and whatever is lost on the way; Claim returns as soon
	// as the holder has completed or released it, its lease is over, or it is
	// forgotten. A wait claims nothing: where it cannot go on, Claim says that
	// the key is [InProgress], or what it fails with, never [ErrUnknownOutcome]
	// for it.
	Wait time.Duration
}

// Claim is what [Ledger.Claim] returns. One that is [Acquired] may be
// completed, extended and released from elsewhere: keep or send its Ledger,
// Key, Owner, Fence and Outcome.
type Claim struct {
	Outcome Outcome
	Ledger  string // which ledger made it
	Key     []byte
	Owner   string

	// Fence grows strictly from claim to claim of a key, also over Forget and
	// expiry. What the work writes to can refuse a fence that is smaller than
	// one it has seen. (A ledger may need its clock not to be set back far for
	// that; its documentation says how far.) Set if Acquired.
	Fence int64
	// Attempt counts the claims of the key within its window, from 1.
	Attempt int
	// TakenOver: the lease of the holder before ran out, so its work may have
	// been done, in part or whole, and may still be going on. Look before
	// acting again. Set if Acquired.
	TakenOver bool

	// Result is what the key was completed with, and CompletedAt when, in ms,
	// by the ledger's clock. Set if Replay.
	Result      []byte
	CompletedAt time.Time

	// RetryAfter is the time until the holder's lease ends. Set if InProgress.
	RetryAfter time.Duration
}

// Outcome is what became of a [Claim].
type Outcome int

// Outcomes.
const (
	// Acquired: the caller holds the key, and is to do its work.
	Acquired Outcome = 1 + iota
	// Replay: the work has been done before, with the Result.
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

// Check returns the error for a key and options that no ledger takes.
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

// Check returns the error for a claim that the ledger of that identity cannot
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

// KeptAfter returns for how long, in ms, a key with that TTL is remembered at
// least after it was completed, and after its lease ran out: a tenth of it,
// rounded up.
func KeptAfter(ttl int64) int64 { return (ttl + 9) / 10 }

// CheckResult returns [ErrResultTooLarge] for a result that no ledger takes.
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
