package dodedupe

import (
	"bytes"
	"context"
	"sync"

	"flow.internal/capdo/dedupe"
)

// storage is what a slot needs of an object. An operation takes effect when it is called, together with those before it; what setAlarm and
// clear wait for is only the report.
type storage interface {
	get() (record []byte, ok bool, err error)
	put(record []byte) error
	setAlarm(ctx context.Context, at int64) error // Unix time in ms
	clear(ctx context.Context) error              // the record and the alarm
}

// slot is the place of one key's record. Each of its methods is one step: it reads, decides and writes, and waits for nothing between.
type slot struct {
	storage storage
	clock   func() int64 // Unix time in ms

	// mu is for goroutines of the same object: there is one thread, but an allocation may give way to another goroutine.
	mu     sync.Mutex
	latest int64 // the largest now there has been
}

// putIfAbsent claims the key unless another owner's record is live. The same owner is told again what it was told before, or would have
// been: a caller whose answer was lost repeats the call.
//
// Where the alarm fails the claim stands, and the caller has to repeat or to count it as unknown. Taking it back would take it from
// under a repetition that has already been answered.
func (s *slot) putIfAbsent(ctx context.Context, o owner, ttl int64) (inserted bool, err error) {
	if ttl < 1 || ttl > maxTTL {
		return false, undone{dedupe.ErrInvalidTTL}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, now, err := s.read()
	if err != nil {
		return false, err
	}
	if r.live(now) && r.owner != o {
		return false, nil
	}
	if !r.live(now) {
		r = record{o, now, now + ttl}
		if err := s.storage.put(r.encode()); err != nil {
			return false, err
		}
	}
	err = s.storage.setAlarm(context.WithoutCancel(ctx), r.expires)
	return err == nil, err
}

// look returns the record as it is stored, for forget.
func (s *slot) look() (record []byte, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	record, ok, err = s.storage.get()
	if err != nil {
		err = undone{err}
	}
	return record, ok, err
}

// forget removes the record that look returned. Another one is a successor's: it came after this one was gone, so there is nothing left
// to forget. Thus forget may be repeated, or arrive late.
func (s *slot) forget(ctx context.Context, seen []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok, err := s.storage.get()
	if err != nil {
		return undone{err}
	}
	if !ok || !bytes.Equal(b, seen) {
		return nil
	}
	return s.storage.clear(context.WithoutCancel(ctx))
}

// alarm collects what has expired. It may come early, late or twice.
func (s *slot) alarm(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, now, err := s.read()
	switch {
	case err != nil:
		return err
	case r.live(now):
		return s.storage.setAlarm(ctx, r.expires)
	}
	return s.storage.clear(ctx)
}

// read returns the record, the zero one if there is none, and now: the clock, made to never run backwards by what this instance of the
// object has seen and by what it has written. Its errors are undone.
func (s *slot) read() (r record, now int64, err error) {
	b, ok, err := s.storage.get()
	if err == nil && ok {
		r, err = decodeRecord(b)
	}
	if err != nil {
		return record{}, 0, undone{err}
	}
	s.latest = min(max(s.latest, s.clock(), r.claimed), maxNow)
	return r, s.latest, nil
}
