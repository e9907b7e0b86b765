package dedupe

import (
	"context"
	"time"
)

// Limits that every store keeps.
const (
	// MaxKeySize is the size of the longest key, in bytes.
	MaxKeySize = 2048
	// DefaultTTL is the TTL of a store without a default of its own, if a
	// call's TTL is 0.
	DefaultTTL = 24 * time.Hour
	// MaxTTL is the longest TTL: 10 years of 365 days.
	MaxTTL = 10 * 365 * 24 * time.Hour
)

// Store remembers keys. Its methods may be called by any number of goroutines.
// Errors are of type [*Error].
type Store interface {
	// Name returns the kind of store, such as "dedupe.durable_objects".
	Name() string

	// PutIfAbsent reserves a key for ttl, and reports whether this call
	// reserved it. If the key has a live record, it changes nothing. The
	// TTL is kept in ms, rounded up; 0 means the store's default.
	//
	// It fails with [ErrKeyEmpty], [ErrKeyTooLarge], [ErrInvalidTTL] and
	// [ErrOverloaded], and with ctx's cause if ctx ended before anything
	// was sent. With [ErrUnknownOutcome] the key may have been reserved.
	PutIfAbsent(
		ctx context.Context, key []byte, ttl time.Duration,
	) (inserted bool, err error)

	// Forget removes a key's record, whoever inserted it, so that the key
	// can be inserted at once. It returns nil if there is no record.
	//
	// It fails like PutIfAbsent. After [ErrUnknownOutcome] it may be
	// repeated.
	Forget(ctx context.Context, key []byte) error
}

// IdempotentStore is a [Store] whose PutIfAbsent can be repeated after its
// answer was lost, for example by a client behind a network.
type IdempotentStore interface {
	Store

	// PutIfAbsentAs is PutIfAbsent with an owner token, which stands for
	// the caller's call: random bytes, at most [MaxOwnerSize]. While the
	// record is live, a repetition with the same key and owner reports
	// inserted again if this owner inserted it, and extends nothing. If
	// owner is empty, a random one is used.
	//
	// It fails like PutIfAbsent, and with [ErrOwnerTooLarge]. After
	// [ErrUnknownOutcome] it may be repeated with the same owner.
	PutIfAbsentAs(
		ctx context.Context,
		owner string, key []byte, ttl time.Duration,
	) (inserted bool, err error)
}

// CheckKey returns [ErrKeyEmpty] or [ErrKeyTooLarge] for a key that no store
// takes.
func CheckKey(key []byte) error {
	switch {
	case len(key) == 0:
		return ErrKeyEmpty
	case len(key) > MaxKeySize:
		return ErrKeyTooLarge
	}
	return nil
}

// CheckOwner returns [ErrOwnerTooLarge] for an owner token that is too large.
func CheckOwner(owner string) error {
	if len(owner) > MaxOwnerSize {
		return ErrOwnerTooLarge
	}
	return nil
}

// TTLMillis returns a TTL in ms, rounded up. For a ttl of 0 it is the store's
// own default, for a default of 0 it is [DefaultTTL]. It fails with
// [ErrInvalidTTL] for a TTL that is negative or beyond [MaxTTL].
func TTLMillis(ttl, storeDefault time.Duration) (int64, error) {
	if ttl == 0 {
		ttl = storeDefault
	}
	if ttl == 0 {
		ttl = DefaultTTL
	}
	if ttl < 0 || ttl > MaxTTL {
		return 0, ErrInvalidTTL
	}
	return int64((ttl + time.Millisecond - 1) / time.Millisecond), nil
}
