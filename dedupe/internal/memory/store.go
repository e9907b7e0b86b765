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
	Records map[string]StoreRecord // by key
	sweepAt int
}

// StoreRecord is what a store knows of a key.
type StoreRecord struct {
	Owner   string // empty: nobody can repeat the insert
	Expires int64  // Unix time in ms
}

var _ dedupe.IdempotentStore = (*Store)(nil)

// NewStore returns an empty store that reads the time from now; nil means
// [time.Now].
func NewStore(now func() time.Time) *Store {
	if now == nil {
		now = time.Now
	}
	return &Store{Now: now, Records: map[string]StoreRecord{}}
}

// Name returns "dedupe.memory".
func (s *Store) Name() string { return "dedupe.memory" }

// PutIfAbsent reserves a key; see [dedupe.Store].
func (s *Store) PutIfAbsent(
	ctx context.Context, key []byte, ttl time.Duration,
) (inserted bool, err error) {
	return s.put(ctx, "PutIfAbsent", "", key, ttl)
}

// PutIfAbsentAs reserves a key for an owner; see [dedupe.IdempotentStore].
func (s *Store) PutIfAbsentAs(
	ctx context.Context, owner string, key []byte, ttl time.Duration,
) (inserted bool, err error) {
	return s.put(ctx, "PutIfAbsentAs", owner, key, ttl)
}

func (s *Store) put(
	ctx context.Context, op, owner string, key []byte, ttl time.Duration,
) (inserted bool, err error) {
	ms, err := checkPut(ctx, owner, key, ttl)
	if err != nil {
		return false, &dedupe.Error{Op: op, Err: err}
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	s.Latest = max(s.Latest, s.Now().UnixMilli())
	if r := s.Records[string(key)]; s.Latest < r.Expires {
		return owner != "" && r.Owner == owner, nil
	}
	s.Records[string(key)] = StoreRecord{owner, s.Latest + ms}
	sweep(s.Records, &s.sweepAt, func(r StoreRecord) bool { return s.Latest >= r.Expires })
	return true, nil
}

// checkPut returns the TTL in ms, or what is wrong with a call of put.
func checkPut(
	ctx context.Context, owner string, key []byte, ttl time.Duration,
) (ms int64, err error) {
	ms, err = dedupe.TTLMillis(ttl, 0)
	if err != nil {
		return 0, err
	}
	if err := check(ctx, key); err != nil {
		return 0, err
	}
	return ms, dedupe.CheckOwner(owner)
}

// Forget removes a key's record; see [dedupe.Store].
func (s *Store) Forget(ctx context.Context, key []byte) error {
	if err := check(ctx, key); err != nil {
		return &dedupe.Error{Op: "Forget", Err: err}
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	delete(s.Records, string(key))
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
