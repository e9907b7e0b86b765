package dodedupe

import (
	"context"
	"sync"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/internal/budget"
)

// table is what a book needs of an object. Writes take effect when they are called, together with those before them; what the methods
// wait for is only the report.
type table interface {
	get(ctx context.Context, key string) (record []byte, ok bool, err error)
	put(ctx context.Context, key string, e, before *entry) error // in place of what get found; the zero entry if nothing
	remove(ctx context.Context, key string) error
	// sweep removes what is due and not watched, the oldest first, and has keep
	// keep the largest fence of it.
	sweep(ctx context.Context, now int64, limit int, keep func(fence int64) error) error
	// watched returns what is due and watched, the oldest first. Of what it
	// cannot read it puts off what a newer program wrote, which stays watched,
	// by newerRetry; what is corrupt stays, and is not due any more.
	watched(ctx context.Context, now int64, limit int) ([]sighting, error)
	// earliest returns when the next record is due, never if none is, and
	// whether there are records at all. One that a newer program wrote may be
	// due at any time: where only its record says when, that is put off by
	// newerRetry.
	earliest(ctx context.Context, now int64) (due int64, some bool, err error)
	transact(ctx context.Context, fn func() error) error // all puts of fn or none
	setAlarm(ctx context.Context, at int64) error
	alarmAt(ctx context.Context) (at int64, err error) // when the alarm is due that is set; 0 if none is
	clear(ctx context.Context) error                   // everything, with the alarm
	// note and noted keep bytes under a name beside the entries, nil if there are none.
	note(ctx context.Context, name string, value []byte) error
	noted(ctx context.Context, name string) ([]byte, error)
}

// newerRetry is after how long, in ms, a program that cannot read what a newer
// one wrote looks whether it can.
const newerRetry = 60_000

// book applies transitions to the entries of an object. Each of its methods but wait and alarm is one step: it reads, decides and writes, and
// lets no other step in between.
type book struct {
	table  table
	clock  func() int64                                          // Unix time in ms
	tell   func(ctx context.Context, key string, e *entry) error // if set, told of holders that died
	many   bool                                                  // the object keeps many keys
	shared bool                                                  // the object has other things, too
	// section, if set, waits until no other goroutine's transaction is under way; see lock.
	section func(ctx context.Context) (inside bool, leave func(), err error)

	mu sync.Mutex
	memory
	parked  map[string]*parking
	waiters *budget.Budget // of callers who wait, with those of other objects; nil for no limit
	tenant  string         // whose they are
}

// counter is the key of a sequence's last number; other keys are not empty.
const counter = ""

// write stores an entry in place of another and sees to the alarm. Where that fails the entry stands, and the caller has to repeat or to count it as unknown.
func (b *book) write(ctx context.Context, key string, e, before *entry) error {
	if err := b.put(ctx, key, e, before); err != nil {
		return err
	}
	return afterWrite(b.arm(ctx, e.due()))
}

// put stores an entry, and wakes those who wait for the key. The entry of a
// holder is watched if somebody wants to be told.
func (b *book) put(ctx context.Context, key string, e, before *entry) error {
	if b.tell != nil && e.state == held {
		e.watch = e.until
	}
	if e.state != held || e.number != before.number { // an extension lets nobody in
		defer b.wake(key)
	}
	err := b.table.put(ctx, key, e, before)
	if err != nil { // it may be there all the same
		b.doubt()
	}
	return err
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
	if err := r.check(); err != nil {
		return answer{}, undone{err}
	}
	unlock, err := b.lock(ctx)
	if err != nil {
		return answer{}, err
	}
	defer unlock()
	ctx = context.WithoutCancel(ctx)
	stored, now, err := b.read(ctx, key)
	if err != nil {
		return answer{}, err
	}
	fence, err := b.nextFence(ctx, &stored, now)
	if err != nil {
		return answer{}, err
	}
	next, outcome, err := stored.claim(r, now, fence)
	switch {
	case err != nil:
		return answer{}, undone{err}
	case outcome == dedupe.InProgress:
		b.settle(ctx, next.due())
		return answer{outcome, next, next.until - now}, nil
	case outcome == dedupe.Replay:
		b.settle(ctx, next.due())
		return answer{outcome, next, 0}, nil
	case next.number != fence: // the same owner again
		return answer{outcome, next, 0}, afterWrite(b.arm(ctx, next.due()))
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
	unlock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	ctx = context.WithoutCancel(ctx)
	stored, now, err := b.read(ctx, key)
	if err != nil {
		return err
	}
	next, changed, err := transition(stored, now)
	switch {
	case err != nil:
		return undone{err}
	case !changed:
		return afterWrite(b.arm(ctx, next.due()))
	}
	return b.write(ctx, key, &next, &stored)
}

// What look finds.
const (
	lookNothing = iota
	lookFence
	lookUnreadable
)

// look says what forget is to remove: the record with that fence, or one that cannot be read.
func (b *book) look(ctx context.Context, key string) (what, fence int64, err error) {
	unlock, err := b.lock(ctx)
	if err != nil {
		return lookNothing, 0, err
	}
	defer unlock()
	record, ok, err := b.table.get(context.WithoutCancel(ctx), key)
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
	unlock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	ctx = context.WithoutCancel(ctx)
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
	given := e.fenced()
	if unreadable {
		record, _, err := b.table.get(ctx, key)
		if err != nil {
			return undone{err}
		}
		now = b.time()
		given = max(b.fence, seed(now), givenFence(record))
	}
	if err := b.keepFence(ctx, given, now); err != nil {
		return err
	}
	defer b.wake(key)
	if err := b.table.remove(ctx, key); err != nil {
		b.doubt()
		return err
	}
	_, err = b.clearIfEmpty(ctx)
	return afterWrite(err)
}

// next gives a key its number in the object's sequence.
func (b *book) next(ctx context.Context, key string, r request) (e entry, inserted bool, err error) {
	if err := r.checkRecord(); err != nil {
		return e, false, undone{err}
	}
	if key == counter {
		return e, false, undone{dedupe.ErrKeyEmpty}
	}
	unlock, err := b.lock(ctx)
	if err != nil {
		return e, false, err
	}
	defer unlock()
	ctx = context.WithoutCancel(ctx)
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
		return e, inserted, afterWrite(b.arm(ctx, e.due()))
	case !inserted:
		b.settle(ctx, e.due())
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
		b.doubt()
		return e, false, err
	}
	return e, true, afterWrite(b.arm(ctx, e.due()))
}

// reserve gives a key to its caller unless another one has it. The same owner is told again what it was told before.
func (b *book) reserve(ctx context.Context, key string, r request) (inserted bool, err error) {
	if err := r.checkRecord(); err != nil {
		return false, undone{err}
	}
	unlock, err := b.lock(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	ctx = context.WithoutCancel(ctx)
	stored, now, err := b.read(ctx, key)
	if err != nil {
		return false, err
	}
	fence, err := b.nextFence(ctx, &stored, now)
	if err != nil {
		return false, err
	}
	e, inserted, err := stored.enter(r, now, fence)
	switch {
	case err != nil:
		return false, undone{err}
	case !inserted:
		b.settle(ctx, e.due())
		return false, nil
	case e.number != fence: // the same owner again
		return true, afterWrite(b.arm(ctx, e.due()))
	}
	b.fence = fence
	return true, b.write(ctx, key, &e, &stored)
}
