package engine

import (
	"context"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
)

// counterKey is the key of a sequence's last number; other keys are never
// empty.
const counterKey = ""

// Sequence serves the calls of a sequencer.
type Sequence struct{ *core }

// Sequence returns the sequence that the object keeps.
func (e *Engine) Sequence() Sequence { return Sequence{e.core} }

// Next returns a key's number, and gives it one first if it has none.
func (s Sequence) Next(
	ctx context.Context, key string, r entry.Request,
) (e entry.Entry, inserted bool, err error) {
	if err := r.CheckRecord(); err != nil {
		return e, false, effect.None(err)
	}
	if key == counterKey {
		return e, false, effect.None(dedupe.ErrKeyEmpty)
	}
	err = s.step(ctx, func(ctx context.Context) error {
		e, inserted, err = s.next(ctx, key, r)
		return err
	})
	return e, inserted, err
}

func (s Sequence) next(
	ctx context.Context, key string, r entry.Request,
) (e entry.Entry, inserted bool, err error) {
	last, _, err := s.read(ctx, counterKey)
	if err != nil {
		return e, false, err
	}
	stored, now, err := s.read(ctx, key)
	if err != nil {
		return e, false, err
	}
	e, inserted, err = stored.Enter(r, now, last.Number+1)
	switch {
	case err != nil:
		return e, false, effect.None(err)
	case !inserted:
		s.alarm.tryEnsure(ctx, e.Due())
		return e, false, nil
	case e.Number != last.Number+1: // the same owner again
		return e, true, effect.AfterWrite(s.alarm.ensure(ctx, e.Due()))
	}
	counter := entry.Entry{State: entry.Counting, Number: e.Number, FirstSeen: now, TTL: 1}
	err = s.Backend.Transact(func() error {
		if err := s.put(counterKey, &counter, &last); err != nil {
			return err
		}
		return s.put(key, &e, &stored)
	})
	if err != nil {
		s.forgetStored()
		return e, false, err
	}
	return e, true, effect.AfterWrite(s.alarm.ensure(ctx, e.Due()))
}
