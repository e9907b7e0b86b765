package memory

import (
	"bytes"
	"context"
	"sync"
	"time"

	"flow.internal/capdo/dedupe"
)

// Sequencer is a [dedupe.Sequencer] in memory. It never removes the last number
// of a stream.
type Sequencer struct {
	Now func() time.Time

	Mu      sync.Mutex
	Latest  int64
	Last    map[string]int64 // by stream
	Entries map[[2]string]SequenceEntry
	sweepAt int
}

// SequenceEntry is a sequencer's record of a key.
type SequenceEntry struct {
	N                  int64
	Owner              string // empty: nobody can repeat the insert
	Hash               []byte
	FirstSeen, Expires int64
}

var _ dedupe.IdempotentSequencer = (*Sequencer)(nil)

// NewSequencer returns an empty sequencer that reads the time from now; nil
// means [time.Now].
func NewSequencer(now func() time.Time) *Sequencer {
	if now == nil {
		now = time.Now
	}
	return &Sequencer{Now: now, Last: map[string]int64{}, Entries: map[[2]string]SequenceEntry{}}
}

// Name returns "dedupe.memory".
func (s *Sequencer) Name() string { return "dedupe.memory" }

// Next returns the number of an entry; see [dedupe.Sequencer].
func (s *Sequencer) Next(
	ctx context.Context, stream, key, payloadHash []byte, ttl time.Duration,
) (dedupe.Seq, error) {
	return s.next(ctx, "Next", "", stream, key, payloadHash, ttl)
}

// NextAs returns the number of an entry; see [dedupe.IdempotentSequencer].
func (s *Sequencer) NextAs(
	ctx context.Context, owner string, stream, key, payloadHash []byte, ttl time.Duration,
) (dedupe.Seq, error) {
	return s.next(ctx, "NextAs", owner, stream, key, payloadHash, ttl)
}

func (s *Sequencer) next(
	ctx context.Context, op, owner string, stream, key, payloadHash []byte, ttl time.Duration,
) (dedupe.Seq, error) {
	ms, err := checkNext(ctx, owner, stream, key, payloadHash, ttl)
	if err != nil {
		return dedupe.Seq{}, &dedupe.Error{Op: op, Err: err}
	}
	s.Mu.Lock()
	defer s.Mu.Unlock()
	clock := s.Now().UnixMilli()
	s.Latest = steady(s.Latest, clock)
	id := [2]string{string(stream), string(key)}
	e, ok := s.Entries[id]
	if ahead := e.FirstSeen - clock; ahead > clockSlack {
		e.FirstSeen, e.Expires = clock, e.Expires-ahead
		s.Entries[id] = e
	}
	inserted := owner != "" && e.Owner == owner
	if !ok || s.Latest >= e.Expires {
		inserted = true
		s.Last[id[0]]++
		e = SequenceEntry{
			s.Last[id[0]], owner, bytes.Clone(payloadHash), s.Latest, s.Latest + ms,
		}
		s.Entries[id] = e
		sweep(s.Entries, &s.sweepAt, func(e SequenceEntry) bool { return s.Latest >= e.Expires })
	}
	if !bytes.Equal(e.Hash, payloadHash) {
		return dedupe.Seq{}, &dedupe.Error{Op: op, Err: dedupe.ErrMismatch}
	}
	return dedupe.Seq{N: e.N, Inserted: inserted, FirstSeen: time.UnixMilli(e.FirstSeen)}, nil
}

// checkNext returns the TTL in ms, or what is wrong with a call of Next.
func checkNext(
	ctx context.Context, owner string, stream, key, payloadHash []byte, ttl time.Duration,
) (ms int64, err error) {
	ms, err = dedupe.TTLMillis(ttl, 0)
	if err != nil {
		return 0, err
	}
	if err := check(ctx, stream); err != nil {
		return 0, err
	}
	if err := dedupe.CheckKey(key); err != nil {
		return 0, err
	}
	if len(payloadHash) > dedupe.MaxFingerprintSize {
		return 0, dedupe.ErrFingerprintTooLarge
	}
	return ms, dedupe.CheckOwner(owner)
}
