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
	Hash               []byte
	FirstSeen, Expires int64
}

var _ dedupe.Sequencer = (*Sequencer)(nil)

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
	ms, err := dedupe.TTLMillis(ttl, 0)
	if err == nil {
		err = check(ctx, stream)
	}
	if err == nil {
		err = dedupe.CheckKey(key)
	}
	if err == nil && len(payloadHash) > dedupe.MaxFingerprintSize {
		err = dedupe.ErrFingerprintTooLarge
	}
	if err != nil {
		return dedupe.Seq{}, &dedupe.Error{Op: "Next", Err: err}
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
	inserted := !ok || s.Latest >= e.Expires
	if inserted {
		s.Last[id[0]]++
		e = SequenceEntry{s.Last[id[0]], bytes.Clone(payloadHash), s.Latest, s.Latest + ms}
		s.Entries[id] = e
		sweep(s.Entries, &s.sweepAt, func(e SequenceEntry) bool { return s.Latest >= e.Expires })
	}
	if !bytes.Equal(e.Hash, payloadHash) {
		return dedupe.Seq{}, &dedupe.Error{Op: "Next", Err: dedupe.ErrMismatch}
	}
	return dedupe.Seq{N: e.N, Inserted: inserted, FirstSeen: time.UnixMilli(e.FirstSeen)}, nil
}
