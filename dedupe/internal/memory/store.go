// Package memory has the implementations of package memdedupe. Their fields are
// exported to the tests of package dedupetest, which break them on purpose.
package memory

import (
	"context"
	"maps"
	"sync"
	"time"

	"flow.internal/capdo/dedupe"
)

// Store is a [dedupe.Store] in memory.
type Store struct {
	Now func() time.Time

	Mu      sync.Mutex
	Latest  int64
	Expires map[string]int64 // by key; Unix time in ms
	sweepAt int
}

var _ dedupe.Store = (*Store)(nil)

// NewStore returns an empty store that reads the time from now; nil means
// [time.Now].
func NewStore(now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{Now: now, Expires: map[string]int64{}}
}

// Name returns "dedupe.memory".
func (s *Store) Name() string { return "dedupe.memory" }

// PutIfAbsent reserves a key; see [dedupe.Store].
func (s *Store) PutIfAbsent(
	ctx context.Context, key []byte, ttl time.Duration,
) (inserted bool, err error) {
	ms, err := dedupe.TTLMillis(ttl, 0)
	if err == nil {
		err = check(ctx, key)
	}
	if err != nil {
		return false, &dedupe.Error{Op: "PutIfAbsent", Err: err}
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.Latest = max(s.Latest, s.Now().UnixMilli())
	if s.Latest < s.Expires[string(key)] {
		return false, nil
	}
	s.Expires[string(key)] = s.Latest + ms
	sweep(s.Expires, &s.sweepAt, func(expires int64) bool { return s.Latest >= expires })
	return true, nil
}

// Forget removes a key's record; see [dedupe.Store].
func (s *Store) Forget(ctx context.Context, key []byte) error {
	if err := check(ctx, key); err != nil {
		return &dedupe.Error{Op: "Forget", Err: err}
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	delete(s.Expires, string(key))
	return nil
}

func check(ctx context.Context, key []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return dedupe.CheckKey(key)
}

// sweepFrom is the smallest number of records from which expired ones are
// removed.
const sweepFrom = 1024

// sweep removes the expired records once there are twice as many records as it
// left the last time.
func sweep[K comparable, V any](records map[K]V, at *int, over func(V) bool) {
	if len(records) < max(*at, sweepFrom) {
		return
	}
	maps.DeleteFunc(records, func(_ K, v V) bool { return over(v) })
	*at = 2 * len(records)
}
