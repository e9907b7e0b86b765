package engine

import (
	"context"

	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
)

// Look returns the record that Forget should remove.
func (e *Engine) Look(ctx context.Context, key string) (found entry.Found, err error) {
	err = e.step(ctx, func(context.Context) error {
		record, ok, err := e.Backend.Get(key)
		if err != nil {
			return effect.None(err)
		}
		if !ok {
			return nil
		}
		stored, err := entry.Decode(record)
		if err != nil {
			found.What = entry.Unreadable
			return nil
		}
		found = entry.Found{What: entry.Readable, Fence: stored.Number}
		return nil
	})
	return found, err
}

// Forget removes the record that Look found, and no later one. So Forget may be
// repeated, or arrive late.
func (e *Engine) Forget(ctx context.Context, key string, found entry.Found) error {
	return e.step(ctx, func(ctx context.Context) error {
		stored, now, err := e.read(ctx, key)
		unreadable := codec.Unreadable(err)
		switch {
		case err != nil && !unreadable:
			return err
		case unreadable != (found.What == entry.Unreadable):
			return nil
		case !unreadable && (stored.State == entry.Absent || stored.Number != found.Fence):
			return nil
		}
		fence := stored.Fence()
		if unreadable {
			if fence, now, err = e.fenceOfUnreadable(key); err != nil {
				return err
			}
		}
		return e.remove(ctx, key, fence, now)
	})
}

// fenceOfUnreadable returns a fence at least as large as that of a record that
// cannot be read.
func (e *Engine) fenceOfUnreadable(key string) (fence, now int64, err error) {
	record, _, err := e.Backend.Get(key)
	if err != nil {
		return 0, 0, effect.None(err)
	}
	now = e.clock.now()
	return max(e.fences.given, entry.FenceAt(now), entry.FenceOf(record)), now, nil
}

// remove removes a key's record, wakes the callers that wait for it, and keeps
// its fence.
func (e *Engine) remove(ctx context.Context, key string, fence, now int64) error {
	if err := e.fences.keep(fence, now); err != nil {
		return err
	}
	defer e.waiters.wake(key)
	if err := e.Backend.Remove(key); err != nil {
		e.forgetStored()
		return err
	}
	_, err := e.clearIfEmpty(ctx)
	return effect.AfterWrite(err)
}
