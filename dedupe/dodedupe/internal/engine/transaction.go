package engine

import (
	"context"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
)

// Transactions run a key's work and complete it, in one transaction.
type Transactions struct{ *core }

// Transactions returns the transactions of the object.
func (e *Engine) Transactions() Transactions { return Transactions{e.core} }

// Result is the result of a transaction.
type Result struct {
	Value    []byte
	Replayed bool  // the work was done before
	Failed   error // the error of the work
}

// Once runs a key's work unless it has been done.
func (t Transactions) Once(
	ctx context.Context, key string, r entry.Request, work func(fence int64) ([]byte, error),
) (result Result, err error) {
	err = t.step(ctx, func(ctx context.Context) error {
		result, err = t.once(ctx, key, r, work)
		return err
	})
	return result, err
}

func (t Transactions) once(
	ctx context.Context, key string, r entry.Request, work func(fence int64) ([]byte, error),
) (Result, error) {
	stored, now, err := t.read(ctx, key)
	if err != nil {
		return Result{}, err
	}
	fence, err := t.fences.next(&stored, now)
	if err != nil {
		return Result{}, err
	}
	next, outcome, err := stored.Claim(r, now, fence)
	switch {
	case err != nil:
		return Result{}, err
	case outcome == dedupe.Replay:
		t.alarm.tryEnsure(ctx, next.Due())
		return Result{Value: next.Result, Replayed: true}, nil
	case outcome == dedupe.InProgress:
		t.alarm.tryEnsure(ctx, next.Due())
		left := time.Duration(next.Until-now) * time.Millisecond
		return Result{}, &dedupe.InProgressError{RetryAfter: left, Attempt: int(next.Attempt)}
	}
	t.fences.given = fence
	return t.complete(ctx, key, &next, &stored, now, func() ([]byte, error) { return work(fence) })
}

// Complete completes a claim with the result of work. If the holder has already
// completed it, Complete returns that result.
func (t Transactions) Complete(
	ctx context.Context, key string, h entry.Holder, work func() ([]byte, error),
) (result Result, err error) {
	err = t.step(ctx, func(ctx context.Context) error {
		stored, now, err := t.read(ctx, key)
		if err != nil {
			return err
		}
		next, changes, err := stored.Complete(h, nil, now)
		if err != nil {
			return err
		}
		if !changes {
			result = Result{Value: next.Result, Replayed: true}
			return nil
		}
		result, err = t.complete(ctx, key, &stored, &stored, now, work)
		return err
	})
	return result, err
}

// complete stores a completed entry in place of before.
func (t Transactions) complete(
	ctx context.Context, key string, e, before *entry.Entry, now int64, work func() ([]byte, error),
) (result Result, err error) {
	var next entry.Entry
	err = t.Backend.Transact(func() error {
		if result.Value, result.Failed = work(); result.Failed != nil {
			return result.Failed
		}
		holder := entry.Holder{Owner: e.Owner, Fence: e.Number}
		var err error
		if next, _, err = e.Complete(holder, result.Value, now); err != nil {
			return err
		}
		return t.put(key, &next, before)
	})
	if err != nil || result.Failed != nil {
		t.forgetStored()
		return Result{Failed: result.Failed}, err
	}
	return result, effect.AfterWrite(t.alarm.ensure(ctx, next.Due()))
}
