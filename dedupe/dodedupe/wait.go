package dodedupe

import (
	"context"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/internal/budget"
)

// MaxWaiters is how many callers may wait at once in all objects of an isolate,
// in ledgers of whatever scope. A scope may have as many as it leaves to the
// others: half where it is alone. Whoever is beyond that gets
// [dedupe.ErrOverloaded]. 3,000 callers took 95 MiB of wasm memory, their own part
// included, of the 128 MB that an isolate has.
// https://developers.cloudflare.com/workers/platform/limits/#memory
const MaxWaiters = 1000

// isolateWaiters is the isolate's: its objects share one program.
var isolateWaiters = budget.New(MaxWaiters)

// waitSlice is how long a caller waits in an object at a time, in ms. Then it asks
// again: one that has gone, and that nobody tells the object of, takes no longer.
const waitSlice = 10_000

// parking is where those who wait for a key are.
type parking struct {
	changed chan struct{} // closed when the key's record has changed
	waiting int
}

// wait waits until the key is not held any more, but no longer than given, nor
// than waitSlice, and says how it stands then. It claims nothing: one who waits may be gone by
// then. It fails with dedupe.ErrOverloaded where too many wait already.
func (b *book) wait(ctx context.Context, key, fingerprint string, limit int64) (answer, error) {
	if limit < 0 || limit > maxWait {
		return answer{}, undone{dedupe.ErrInvalidWait}
	}
	end := time.Now().Add(time.Duration(min(limit, waitSlice)) * time.Millisecond)
	for {
		a, p, err := b.standing(ctx, key, fingerprint, time.Until(end) > 0)
		if err != nil || p == nil {
			return a, err
		}
		timer := time.NewTimer(min(time.Until(end), time.Duration(a.retryAfter)*time.Millisecond))
		select {
		case <-p.changed:
		case <-timer.C:
		case <-ctx.Done():
			err = undone{context.Cause(ctx)}
		}
		timer.Stop()
		b.leave(key, p)
		if err != nil {
			return answer{}, err
		}
	}
}

// standing says how a key stands. Where it is held, and park says so, it returns where to wait.
func (b *book) standing(ctx context.Context, key, fingerprint string, park bool) (answer, *parking, error) {
	unlock, err := b.lock(ctx)
	if err != nil {
		return answer{}, nil, err
	}
	defer unlock()
	stored, now, err := b.read(context.WithoutCancel(ctx), key)
	if err != nil {
		return answer{}, nil, err
	}
	if b.owing {
		b.settle(context.WithoutCancel(ctx), stored.due())
	}
	e := stored.at(now)
	switch {
	case (e.state == held || e.state == done) && e.fingerprint != fingerprint:
		return answer{}, nil, undone{dedupe.ErrMismatch}
	case e.state == done:
		return answer{dedupe.Replay, e, 0}, nil, nil
	case e.state != held || now >= e.until:
		return answer{dedupe.InProgress, e, 0}, nil, nil
	case !park:
		return answer{dedupe.InProgress, e, e.until - now}, nil, nil
	case !b.waiters.Take(b.tenant, 1):
		return answer{}, nil, undone{dedupe.ErrOverloaded}
	}
	p := b.parked[key]
	if p == nil {
		if b.parked == nil {
			b.parked = map[string]*parking{}
		}
		p = &parking{changed: make(chan struct{})}
		b.parked[key] = p
	}
	p.waiting++
	return answer{dedupe.InProgress, e, e.until - now}, p, nil
}

// leave undoes standing's parking.
func (b *book) leave(key string, p *parking) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiters.Give(b.tenant, 1)
	if p.waiting--; p.waiting == 0 && b.parked[key] == p {
		delete(b.parked, key)
	}
}

// wakeAll ends all waits.
func (b *book) wakeAll() {
	for key := range b.parked {
		b.wake(key)
	}
}

// wake ends the waits for a key: those who waited look again.
func (b *book) wake(key string) {
	if p := b.parked[key]; p != nil {
		delete(b.parked, key)
		close(p.changed)
	}
}
