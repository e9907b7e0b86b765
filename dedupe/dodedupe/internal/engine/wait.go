package engine

import (
	"context"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
)

const (
	maxWait = int64(dedupe.MaxWait / time.Millisecond)
	// WaitSlice is how long a caller waits in an object at a time, in ms. Then
	// the caller asks again, so a caller that has left occupies the object no
	// longer than this.
	WaitSlice = 10_000
)

// waiters are the waiting callers, by key.
type waiters struct {
	*Config
	keys   map[string]*waiting
	tenant string // once a caller has waited
}

// waiting is the group of callers that wait for one key.
type waiting struct {
	changed chan struct{} // closed when the key's record has changed
	callers int
}

// join adds a caller. It fails with dedupe.ErrOverloaded if too many wait
// already. Its errors have no effect.
func (w *waiters) join(key string) (*waiting, error) {
	if w.tenant == "" && w.Tenant != nil {
		var err error
		if w.tenant, err = w.Tenant(); err != nil {
			return nil, effect.None(err)
		}
	}
	if !w.Waiters.Take(w.tenant, 1) {
		return nil, effect.None(dedupe.ErrOverloaded)
	}
	k := w.keys[key]
	if k == nil {
		if w.keys == nil {
			w.keys = map[string]*waiting{}
		}
		k = &waiting{changed: make(chan struct{})}
		w.keys[key] = k
	}
	k.callers++
	return k, nil
}

// leave undoes join.
func (w *waiters) leave(key string, k *waiting) {
	w.Waiters.Give(w.tenant, 1)
	if k.callers--; k.callers == 0 && w.keys[key] == k {
		delete(w.keys, key)
	}
}

// wake ends the waits for a key: the callers check it again.
func (w *waiters) wake(key string) {
	if k := w.keys[key]; k != nil {
		delete(w.keys, key)
		close(k.changed)
	}
}

// wakeAll ends all waits.
func (w *waiters) wakeAll() {
	for key := range w.keys {
		w.wake(key)
	}
}

// Wait waits until the key is no longer held, but at most for limit, in ms, and
// for WaitSlice. It returns the key's state. It claims nothing, because the
// caller may have left by then. It fails with dedupe.ErrOverloaded if too many
// callers wait already.
func (e *Engine) Wait(
	ctx context.Context, key, fingerprint string, limit int64,
) (entry.Answer, error) {
	if limit < 0 || limit > maxWait {
		return entry.Answer{}, effect.None(dedupe.ErrInvalidWait)
	}
	end := time.Now().Add(time.Duration(min(limit, WaitSlice)) * time.Millisecond)
	for {
		a, k, err := e.lookOrJoin(ctx, key, fingerprint, time.Until(end) > 0)
		if err != nil || k == nil {
			return a, err
		}
		timer := time.NewTimer(min(time.Until(end), time.Duration(a.RetryAfter)*time.Millisecond))
		select {
		case <-k.changed:
		case <-timer.C:
		case <-ctx.Done():
			err = effect.None(context.Cause(ctx))
		}
		timer.Stop()
		e.mu.Lock()
		e.waiters.leave(key, k)
		e.mu.Unlock()
		if err != nil {
			return entry.Answer{}, err
		}
	}
}

// lookOrJoin returns the state of a key. If the key is held and the caller may
// wait, the caller joins the waiting ones.
func (e *Engine) lookOrJoin(
	ctx context.Context, key, fingerprint string, mayWait bool,
) (a entry.Answer, k *waiting, err error) {
	err = e.step(ctx, func(ctx context.Context) error {
		if a, err = e.inspect(ctx, key, fingerprint); err != nil || a.RetryAfter == 0 || !mayWait {
			return err
		}
		k, err = e.waiters.join(key)
		return err
	})
	return a, k, err
}

// inspect returns the state of a key: completed, or in progress with the time
// left, which is 0 ms if the key is free.
func (e *Engine) inspect(ctx context.Context, key, fingerprint string) (entry.Answer, error) {
	stored, now, err := e.read(ctx, key)
	if err != nil {
		return entry.Answer{}, err
	}
	if e.alarm.stale {
		e.alarm.tryEnsure(ctx, stored.Due())
	}
	current := stored.At(now)
	claimed := current.State == entry.Held || current.State == entry.Done
	switch {
	case claimed && current.Fingerprint != fingerprint:
		return entry.Answer{}, effect.None(dedupe.ErrMismatch)
	case current.State == entry.Done:
		return entry.Answer{Outcome: dedupe.Replay, Entry: current}, nil
	case current.State != entry.Held:
		return entry.Answer{Outcome: dedupe.InProgress, Entry: current}, nil
	}
	left := max(current.Until-now, 0)
	return entry.Answer{Outcome: dedupe.InProgress, Entry: current, RetryAfter: left}, nil
}
