package dodedupe

import (
	"context"
	"errors"
	"sync"
	"time"

	"flow.internal/capdo/dedupe"
)

// table is what a book needs of an object. Writes take effect when they are called, together with those before them; what the methods
// wait for is only the report.
type table interface {
	get(ctx context.Context, key string) (record []byte, ok bool, err error)
	put(ctx context.Context, key string, e, before *entry) error // in place of what get found; the zero entry if nothing
	remove(ctx context.Context, key string) error
	sweep(ctx context.Context, now int64, limit int) error // removes what is due and not watched, the oldest first
	// watched returns what is due and watched, the oldest first. What of it cannot be read stays, and is not due any more.
	watched(ctx context.Context, now int64, limit int) ([]sighting, error)
	// earliest returns when the next record is due, never if none is, and whether there are records at all.
	earliest(ctx context.Context) (due int64, some bool, err error)
	transact(ctx context.Context, fn func() error) error // all puts of fn or none
	setAlarm(ctx context.Context, at int64) error
	clear(ctx context.Context) error // everything, with the alarm
}

// sweepLimit is how many records one alarm removes at most; if there are more, the next alarm comes at once.
const sweepLimit = 200

// waitLimit is how many callers an object has wait at once. A thousand took 20 MiB of Go's memory, their callers' part included, of the 128 MB that
// an isolate has.
const waitLimit = 1000

// book applies transitions to the entries of an object. Each of its methods but wait and alarm is one step: it reads, decides and writes, and
// lets no other step in between.
type book struct {
	table table
	clock func() int64                                          // Unix time in ms
	tell  func(ctx context.Context, key string, e *entry) error // if set, told of holders that died

	mu     sync.Mutex
	latest int64 // the largest now there has been
	fence  int64 // the largest that was given
	armed  int64 // when the alarm is due at the latest, if this instance knows; else 0
	owing  bool  // an alarm may be missing: a step that was to set it has failed
	parked map[string]*parking
	waits  int // how many callers wait, for whatever key
}

// parking is where those who wait for a key are.
type parking struct {
	changed chan struct{} // closed when the key is not held any more
	waiting int
}

// counter is the key of a sequence's last number; other keys are not empty.
const counter = ""

// read returns a key's entry as it is stored, and now: the clock, made to never run backwards by what this instance has seen and by what
// it has stored. Its errors are undone.
func (b *book) read(ctx context.Context, key string) (e entry, now int64, err error) {
	record, ok, err := b.table.get(ctx, key)
	if err == nil && ok {
		e, err = decodeEntry(record)
	}
	if err != nil {
		return entry{}, 0, undone{err}
	}
	b.latest = min(max(b.latest, b.clock(), e.latest()), maxNow)
	return e, b.latest, nil
}

// seed is the smallest fence that may be given at a time: the time in µs.
func seed(now int64) int64 { return now * 1000 }

// nextFence returns a fence larger than any that was given for the key of e, even for records that are gone: as long as a fence is not in
// the past, its record stays. Only a damaged record can bring it to the largest fence there is.
func (b *book) nextFence(e *entry, now int64) int64 {
	return min(max(b.fence+1, e.number+1, seed(now)), seed(never))
}

// write stores an entry in place of another and sees to the alarm. Where that fails the entry stands, and the caller has to repeat or to count it as unknown.
func (b *book) write(ctx context.Context, key string, e, before *entry) error {
	if err := b.put(ctx, key, e, before); err != nil {
		return err
	}
	return b.arm(ctx, e.due())
}

// put stores an entry. That of a holder is watched if somebody wants to be told.
func (b *book) put(ctx context.Context, key string, e, before *entry) error {
	if b.tell != nil && e.state == held {
		e.watch = e.until
	}
	err := b.table.put(ctx, key, e, before)
	if err != nil { // it may be there all the same
		b.armed, b.owing = 0, true
	}
	return err
}

// arm makes sure that there is an alarm at a time or before.
func (b *book) arm(ctx context.Context, at int64) error {
	if b.armed != 0 && b.armed <= at {
		return nil
	}
	b.armed, b.owing = 0, true
	at, _, err := b.table.earliest(ctx)
	if err == nil && at < never {
		err = b.table.setAlarm(ctx, at)
	}
	if err == nil {
		b.armed, b.owing = at, false
	}
	return err
}

// settle sets the alarm that a step before failed to set. A step that writes nothing does not fail with it: the next one tries again.
func (b *book) settle(ctx context.Context) {
	if b.owing {
		_ = b.arm(ctx, 0)
	}
}

// answer is what a claim gets.
type answer struct {
	outcome    dedupe.Outcome
	entry      entry
	retryAfter int64 // in progress: until the lease is over; 0 where the key can be claimed now
}

// claim claims a key. The same owner is told again what it was told before, or would have been: a caller whose answer was lost
// repeats the call, and the alarm is set then if it was not.
func (b *book) claim(ctx context.Context, key string, r request) (answer, error) {
	ctx = context.WithoutCancel(ctx)
	if err := r.check(); err != nil {
		return answer{}, undone{err}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	stored, now, err := b.read(ctx, key)
	if err != nil {
		return answer{}, err
	}
	fence := b.nextFence(&stored, now)
	next, outcome, err := stored.claim(r, now, fence)
	switch {
	case err != nil:
		return answer{}, undone{err}
	case outcome == dedupe.InProgress:
		b.settle(ctx)
		return answer{outcome, next, next.until - now}, nil
	case outcome == dedupe.Replay:
		b.settle(ctx)
		return answer{outcome, next, 0}, nil
	case next.number != fence: // the same owner again
		return answer{outcome, next, 0}, b.arm(ctx, next.due())
	}
	b.fence = fence
	return answer{outcome, next, 0}, b.write(ctx, key, &next, &stored)
}

func (r *request) check() error {
	switch {
	case r.lease < 1 || r.lease > maxLease:
		return dedupe.ErrInvalidLease
	case r.owner == "" || len(r.owner) > dedupe.MaxOwnerSize:
		return dedupe.ErrOwnerTooLarge
	}
	return r.checkRecord()
}

func (r *request) checkRecord() error {
	switch {
	case r.ttl < 1 || r.ttl > maxTTL:
		return dedupe.ErrInvalidTTL
	case len(r.fingerprint) > dedupe.MaxFingerprintSize:
		return dedupe.ErrFingerprintTooLarge
	}
	return nil
}

func (b *book) complete(ctx context.Context, key string, h holder, result []byte) error {
	return b.change(ctx, key, func(e entry, now int64) (entry, bool, error) { return e.complete(h, result, now) })
}

func (b *book) extend(ctx context.Context, key string, h holder, lease int64) error {
	if lease < 1 || lease > maxLease {
		return undone{dedupe.ErrInvalidLease}
	}
	return b.change(ctx, key, func(e entry, now int64) (entry, bool, error) { return e.extend(h, lease, now) })
}

func (b *book) release(ctx context.Context, key string, h holder) error {
	return b.change(ctx, key, func(e entry, now int64) (entry, bool, error) { return e.release(h, now) })
}

// change applies a holder's transition.
func (b *book) change(ctx context.Context, key string, transition func(e entry, now int64) (entry, bool, error)) error {
	ctx = context.WithoutCancel(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	stored, now, err := b.read(ctx, key)
	if err != nil {
		return err
	}
	next, changed, err := transition(stored, now)
	switch {
	case err != nil:
		return undone{err}
	case !changed:
		return b.arm(ctx, next.due())
	}
	if err := b.write(ctx, key, &next, &stored); err != nil {
		return err
	}
	b.wake(key)
	return nil
}

// What look finds.
const (
	lookNothing = iota
	lookFence
	lookUnreadable
)

// look says what forget is to remove: the record with that fence, or one that cannot be read.
func (b *book) look(ctx context.Context, key string) (what, fence int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	record, ok, err := b.table.get(ctx, key)
	if err != nil || !ok {
		if err != nil {
			err = undone{err}
		}
		return lookNothing, 0, err
	}
	e, err := decodeEntry(record)
	if err != nil {
		return lookUnreadable, 0, nil
	}
	return lookFence, e.number, nil
}

// forget removes what look found. What came later is a successor's, so forget may be repeated, or arrive late.
func (b *book) forget(ctx context.Context, key string, what, fence int64) error {
	ctx = context.WithoutCancel(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	e, now, err := b.read(ctx, key)
	unreadable := isUnreadable(err)
	switch {
	case err != nil && !unreadable:
		return err
	case unreadable != (what == lookUnreadable):
		return nil
	case !unreadable && (e.state == absent || e.number != fence):
		return nil
	}
	defer b.wake(key)
	if !unreadable && e.number >= seed(now) { // not in the past yet: a new record might get the same fence
		return b.write(ctx, key, tombstone(e.number), &e)
	}
	if err := b.table.remove(ctx, key); err != nil {
		return err
	}
	_, err = b.clearIfEmpty(ctx)
	return err
}

// next gives a key its number in the object's sequence.
func (b *book) next(ctx context.Context, key string, r request) (e entry, inserted bool, err error) {
	ctx = context.WithoutCancel(ctx)
	if err := r.checkRecord(); err != nil {
		return e, false, undone{err}
	}
	if key == counter {
		return e, false, undone{dedupe.ErrKeyEmpty}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	last, _, err := b.read(ctx, counter)
	if err != nil {
		return e, false, err
	}
	stored, now, err := b.read(ctx, key)
	if err != nil {
		return e, false, err
	}
	e, inserted, err = stored.enter(r, now, last.number+1)
	switch {
	case err != nil:
		return e, false, undone{err}
	case e.number != last.number+1 && inserted: // the same owner again
		return e, inserted, b.arm(ctx, e.due())
	case !inserted:
		b.settle(ctx)
		return e, false, nil
	}
	counting := entry{state: counting, number: e.number, firstSeen: now, ttl: 1}
	err = b.table.transact(ctx, func() error {
		if err := b.put(ctx, counter, &counting, &last); err != nil {
			return err
		}
		return b.put(ctx, key, &e, &stored)
	})
	if err != nil {
		return e, false, err
	}
	return e, true, b.arm(ctx, e.due())
}

// reserve gives a key to its caller unless another one has it. The same owner is told again what it was told before.
func (b *book) reserve(ctx context.Context, key string, r request) (inserted bool, err error) {
	ctx = context.WithoutCancel(ctx)
	if err := r.checkRecord(); err != nil {
		return false, undone{err}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	stored, now, err := b.read(ctx, key)
	if err != nil {
		return false, err
	}
	fence := b.nextFence(&stored, now)
	e, inserted, err := stored.enter(r, now, fence)
	switch {
	case err != nil:
		return false, undone{err}
	case !inserted:
		b.settle(ctx)
		return false, nil
	case e.number != fence: // the same owner again
		return true, b.arm(ctx, e.due())
	}
	b.fence = fence
	return true, b.write(ctx, key, &e, &stored)
}

// alarm tells of holders that died, and removes what has expired. It may come early, late or twice. Its errors have the platform deliver
// it again.
func (b *book) alarm(ctx context.Context) error {
	err := b.tellDue(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed, b.owing = 0, true
	b.latest = min(max(b.latest, b.clock()), maxNow)
	if e := b.table.sweep(ctx, b.latest, sweepLimit); e != nil {
		return errors.Join(err, e)
	}
	if cleared, e := b.clearIfEmpty(ctx); cleared || e != nil {
		return errors.Join(err, e)
	}
	return errors.Join(err, b.arm(ctx, 0))
}

// clearIfEmpty leaves an object without records without anything.
func (b *book) clearIfEmpty(ctx context.Context) (cleared bool, err error) {
	_, some, err := b.table.earliest(ctx)
	if err != nil || some {
		return false, err
	}
	b.armed, b.owing = 0, false
	return true, b.table.clear(ctx)
}

// wait waits until the key is not held any more, but no longer than given, and says how it stands then. It claims nothing: one who waits may
// be gone by then. It fails with dedupe.ErrOverloaded where too many wait already.
func (b *book) wait(ctx context.Context, key, fingerprint string, limit int64) (answer, error) {
	if limit < 0 || limit > maxWait {
		return answer{}, undone{dedupe.ErrInvalidWait}
	}
	end := time.Now().Add(time.Duration(limit) * time.Millisecond)
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
	b.mu.Lock()
	defer b.mu.Unlock()
	stored, now, err := b.read(ctx, key)
	if err != nil {
		return answer{}, nil, err
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
	case b.waits >= waitLimit:
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
	b.waits++
	return answer{dedupe.InProgress, e, e.until - now}, p, nil
}

// leave undoes standing's parking.
func (b *book) leave(key string, p *parking) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waits--
	if p.waiting--; p.waiting == 0 && b.parked[key] == p {
		delete(b.parked, key)
	}
}

// wake ends the waits for a key.
func (b *book) wake(key string) {
	if p := b.parked[key]; p != nil {
		delete(b.parked, key)
		close(p.changed)
	}
}
