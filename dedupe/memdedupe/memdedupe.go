// Package memdedupe has a [dedupe.Store], a [dedupe.Ledger] and a
// [dedupe.Sequencer] in memory: for a program that is one process, and for
// tests. They behave like those of package dodedupe, and pass the same tests.
// They forget everything when the process ends. Expired records are removed as
// new ones are added.
package memdedupe

import (
	"context"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/internal/memory"
)

// Store is a [dedupe.Store] in memory.
type Store struct{ store *memory.Store }

// Ledger is a [dedupe.Ledger] in memory. Its claims work with this ledger only.
type Ledger struct{ ledger *memory.Ledger }

// Sequencer is a [dedupe.Sequencer] in memory. It never removes the last number
// of a stream.
type Sequencer struct{ sequencer *memory.Sequencer }

var (
	_ dedupe.IdempotentStore     = (*Store)(nil)
	_ dedupe.Ledger              = (*Ledger)(nil)
	_ dedupe.IdempotentSequencer = (*Sequencer)(nil)
)

// NewStore returns an empty store that reads the time from now; nil means
// [time.Now].
func NewStore(now func() time.Time) *Store { return &Store{memory.NewStore(now)} }

// NewLedger returns an empty ledger that reads the time from now; nil means
// [time.Now]. A wait always takes real time.
func NewLedger(now func() time.Time) *Ledger { return &Ledger{memory.NewLedger(now)} }

// NewSequencer returns an empty sequencer that reads the time from now; nil
// means [time.Now].
func NewSequencer(now func() time.Time) *Sequencer { return &Sequencer{memory.NewSequencer(now)} }

// Name returns "dedupe.memory".
func (s *Store) Name() string { return s.store.Name() }

// PutIfAbsent reserves a key; see [dedupe.Store].
func (s *Store) PutIfAbsent(
	ctx context.Context, key []byte, ttl time.Duration,
) (inserted bool, err error) {
	return s.store.PutIfAbsent(ctx, key, ttl)
}

// PutIfAbsentAs reserves a key for an owner; see [dedupe.IdempotentStore].
func (s *Store) PutIfAbsentAs(
	ctx context.Context, owner string, key []byte, ttl time.Duration,
) (inserted bool, err error) {
	return s.store.PutIfAbsentAs(ctx, owner, key, ttl)
}

// Forget removes a key's record; see [dedupe.Store].
func (s *Store) Forget(ctx context.Context, key []byte) error { return s.store.Forget(ctx, key) }

// Name returns "dedupe.memory".
func (l *Ledger) Name() string { return l.ledger.Name() }

// Claim asks for the right to do a key's work; see [dedupe.Ledger].
func (l *Ledger) Claim(
	ctx context.Context, key []byte, opts dedupe.ClaimOptions,
) (dedupe.Claim, error) {
	return l.ledger.Claim(ctx, key, opts)
}

// Complete stores a claim's result; see [dedupe.Ledger].
func (l *Ledger) Complete(
	ctx context.Context, claim dedupe.Claim, result []byte,
) error {
	return l.ledger.Complete(ctx, claim, result)
}

// Extend extends a claim's lease; see [dedupe.Ledger].
func (l *Ledger) Extend(
	ctx context.Context, claim dedupe.Claim, lease time.Duration,
) error {
	return l.ledger.Extend(ctx, claim, lease)
}

// Release gives a claim back; see [dedupe.Ledger].
func (l *Ledger) Release(ctx context.Context, claim dedupe.Claim) error {
	return l.ledger.Release(ctx, claim)
}

// Forget removes a key's record; see [dedupe.Ledger].
func (l *Ledger) Forget(ctx context.Context, key []byte) error { return l.ledger.Forget(ctx, key) }

// Name returns "dedupe.memory".
func (s *Sequencer) Name() string { return s.sequencer.Name() }

// Next returns the number of an entry; see [dedupe.Sequencer].
func (s *Sequencer) Next(
	ctx context.Context, stream, key, payloadHash []byte, ttl time.Duration,
) (dedupe.Seq, error) {
	return s.sequencer.Next(ctx, stream, key, payloadHash, ttl)
}

// NextAs returns the number of an entry; see [dedupe.IdempotentSequencer].
func (s *Sequencer) NextAs(
	ctx context.Context, owner string,
	stream, key, payloadHash []byte, ttl time.Duration,
) (dedupe.Seq, error) {
	return s.sequencer.NextAs(ctx, owner, stream, key, payloadHash, ttl)
}
