// Package engine applies the transitions of package entry to an object's
// storage: claims and holders' calls, waiting, expiry, alarms. An [Engine] is
// one instance of an object. Each of its methods, except Wait and those of
// alarms, is one step: it reads, decides and writes, and lets no other step run
// in between.
package engine

import (
	"context"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
)

// Engine serves the calls of a ledger.
type Engine struct{ *core }

// New returns the engine of an instance of an object.
func New(config Config) *Engine { return &Engine{newCore(&config)} }

// Claim claims a key. If the same owner repeats the call, because the answer
// was lost, it gets the same answer, and the alarm is set if it was not.
func (e *Engine) Claim(
	ctx context.Context, key string, r entry.Request,
) (a entry.Answer, err error) {
	if err := r.Check(); err != nil {
		return a, effect.None(err)
	}
	err = e.step(ctx, func(ctx context.Context) error {
		a, err = e.claim(ctx, key, r)
		return err
	})
	return a, err
}

func (e *Engine) claim(
	ctx context.Context, key string, r entry.Request,
) (a entry.Answer, err error) {
	stored, now, err := e.read(ctx, key)
	if err != nil {
		return a, err
	}
	fence, err := e.fences.next(&stored, now)
	if err != nil {
		return a, err
	}
	next, outcome, err := stored.Claim(r, now, fence)
	a = entry.Answer{Outcome: outcome, Entry: next}
	switch {
	case err != nil:
		return entry.Answer{}, effect.None(err)
	case outcome == dedupe.InProgress:
		e.alarm.tryEnsure(ctx, next.Due())
		a.RetryAfter = next.Until - now
		return a, nil
	case outcome == dedupe.Replay:
		e.alarm.tryEnsure(ctx, next.Due())
		return a, nil
	case next.Number != fence: // the same owner again
		return a, effect.AfterWrite(e.alarm.ensure(ctx, next.Due()))
	}
	e.fences.given = fence
	return a, e.write(ctx, key, next, stored)
}

// Complete stores a claim's result.
func (e *Engine) Complete(ctx context.Context, key string, h entry.Holder, result []byte) error {
	return e.change(ctx, key, func(stored entry.Entry, now int64) (entry.Entry, bool, error) {
		return stored.Complete(h, result, now)
	})
}

// Extend extends a claim's lease.
func (e *Engine) Extend(ctx context.Context, key string, h entry.Holder, lease int64) error {
	if lease < 1 || lease > entry.MaxLease {
		return effect.None(dedupe.ErrInvalidLease)
	}
	return e.change(ctx, key, func(stored entry.Entry, now int64) (entry.Entry, bool, error) {
		return stored.Extend(h, lease, now)
	})
}

// Release gives a claim back.
func (e *Engine) Release(ctx context.Context, key string, h entry.Holder) error {
	return e.change(ctx, key, func(stored entry.Entry, now int64) (entry.Entry, bool, error) {
		return stored.Release(h, now)
	})
}

// change applies a holder's transition.
func (e *Engine) change(
	ctx context.Context, key string,
	transition func(stored entry.Entry, now int64) (next entry.Entry, changed bool, err error),
) error {
	return e.step(ctx, func(ctx context.Context) error {
		stored, now, err := e.read(ctx, key)
		if err != nil {
			return err
		}
		next, changed, err := transition(stored, now)
		if err != nil {
			return effect.None(err)
		}
		if !changed {
			return effect.AfterWrite(e.alarm.ensure(ctx, next.Due()))
		}
		return e.write(ctx, key, next, stored)
	})
}

// Reserve gives a key to its caller unless another owner has it. The same owner
// gets the same answer again.
func (e *Engine) Reserve(
	ctx context.Context, key string, r entry.Request,
) (inserted bool, err error) {
	if err := r.CheckRecord(); err != nil {
		return false, effect.None(err)
	}
	err = e.step(ctx, func(ctx context.Context) error {
		inserted, err = e.reserve(ctx, key, r)
		return err
	})
	return inserted, err
}

func (e *Engine) reserve(
	ctx context.Context, key string, r entry.Request,
) (inserted bool, err error) {
	stored, now, err := e.read(ctx, key)
	if err != nil {
		return false, err
	}
	fence, err := e.fences.next(&stored, now)
	if err != nil {
		return false, err
	}
	next, inserted, err := stored.Enter(r, now, fence)
	switch {
	case err != nil:
		return false, effect.None(err)
	case !inserted:
		e.alarm.tryEnsure(ctx, next.Due())
		return false, nil
	case next.Number != fence: // the same owner again
		return true, effect.AfterWrite(e.alarm.ensure(ctx, next.Due()))
	}
	e.fences.given = fence
	return true, e.write(ctx, key, next, stored)
}
