package dodedupe

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"flow.internal/capdo/internal/section"
)

// sweepLimit is how many records are removed at once; if there are more, the
// next alarm comes at once.
const sweepLimit = 200

const (
	// overdue is after how long, in ms, an alarm that has not rung is one that the platform gave up.
	overdue = 60_000
	// firstBackOff is for how long, in ms, an alarm whose storage failed does not ring again.
	firstBackOff = 1000
	maxBackOffs  = 5 // it doubles so often
)

// arm makes sure that there is an alarm at a time or before.
func (b *book) arm(ctx context.Context, at int64) error {
	now := b.clock()
	if b.armed != 0 && b.armed <= at && now < b.armed+overdue {
		return nil
	}
	b.armed, b.owing = 0, true
	due, _, err := b.table.earliest(ctx, now)
	if err != nil {
		return err
	}
	if due >= never {
		b.armed, b.owing = due, false
		return nil
	}
	due = max(due, b.notBefore) + b.behind
	set, err := b.table.alarmAt(ctx)
	if err != nil {
		return err
	}
	if set <= now || set > due { // one that is past may have been given up
		set = due
		err = b.table.setAlarm(ctx, max(due, now))
	}
	if err == nil {
		b.armed, b.owing = set, false
	}
	return err
}

// rearm sets the alarm to the time when it is due, be it later than it was.
func (b *book) rearm(ctx context.Context) error {
	b.armed, b.owing = 0, true
	now := b.clock()
	due, _, err := b.table.earliest(ctx, now)
	if err == nil && due < never {
		due = max(due, b.notBefore) + b.behind
		err = b.table.setAlarm(ctx, max(due, now))
	}
	if err == nil {
		b.armed, b.owing = due, false
	}
	return err
}

// settle sets the alarm that a step before failed to set, or that this instance
// does not know of. A step that writes nothing does not fail with it: the next
// one tries again.
func (b *book) settle(ctx context.Context, due int64) {
	if b.owing {
		due = 0
	}
	_ = b.arm(ctx, due)
}

// clearIfEmpty leaves an object without records without anything, once it has no fence to keep.
func (b *book) clearIfEmpty(ctx context.Context) (cleared bool, err error) {
	_, some, err := b.table.earliest(ctx, b.clock())
	if err != nil || some {
		return false, err
	}
	until, err := b.fenceLasts(ctx)
	if err != nil {
		return false, err
	}
	if until != 0 && !b.shared {
		return true, b.armAtAll(ctx, until)
	}
	if err := b.table.clear(ctx); err != nil {
		b.doubt()
		return false, err
	}
	if b.shared { // the fence stays
		b.armed, b.owing = 0, false
		return true, nil
	}
	b.emptied()
	return true, nil
}

// armAtAll makes sure that there is an alarm: one that is set for later will do.
func (b *book) armAtAll(ctx context.Context, at int64) error {
	b.armed, b.owing = 0, true
	set, err := b.table.alarmAt(ctx)
	if err == nil && set <= b.clock() {
		set, err = at, b.table.setAlarm(ctx, at)
	}
	if err == nil {
		b.armed, b.owing = set, false
	}
	return err
}

const (
	// callbackTime is how long one call of OnExpired may take. Then its ctx
	// ends, and nothing waits for it any more.
	callbackTime = 5 * time.Minute
	// alarmTime is for how long an alarm that waits for calls sees to what
	// becomes due meanwhile. An alarm may take 15 minutes
	// (https://developers.cloudflare.com/durable-objects/platform/limits/).
	alarmTime = 9 * time.Minute
	// alarmPace is how often it does at most.
	alarmPace = 100 * time.Millisecond
	// callbackLimit is how many calls may be under way at once.
	callbackLimit = 1000
)

// Errors of a user's function that did not return.
var (
	errPanic   = errors.New("a function panicked")
	errGoexit  = errors.New("a function ended its goroutine")
	errTooLong = errors.New("a function took longer than 5 minutes")
)

// delivery is one of the alarm. Each function of a user runs in a goroutine of
// its own: what it does, and for how long, delays nothing else.
type delivery struct {
	b       *book
	ctx     context.Context
	user    func() (func(ctx context.Context) error, error)
	ended   chan error // of functions
	running int
	started bool
	errs    []error
}

// alarm tells of holders that died, and removes what has expired. It may come
// early, late or twice. Its errors have the platform deliver it again. Before
// it calls a function it has set the next alarm, and put off the entry that it
// tells of, so that neither the end of the program nor an alarm that is given
// up leaves others without theirs.
func (b *book) alarm(ctx context.Context) error { return b.ring(ctx, nil) }

// ring is alarm, with a function that user returns, too, if it is time: it may
// take as long as it likes.
func (b *book) ring(ctx context.Context, user func() (func(ctx context.Context) error, error)) error {
	r := &delivery{b: b, ctx: ctx, user: user, ended: make(chan error, callbackLimit+1)}
	begin := time.Now()
	next := begin.Add(r.turn())
	timer := time.NewTimer(alarmPace) // most functions end before, and leave no timer that lasts
	defer timer.Stop()
	for r.running > 0 {
		select {
		case err := <-r.ended:
			r.running--
			r.note(err)
		case <-timer.C:
			if !time.Now().Before(next) && time.Since(begin) < alarmTime { // later it only waits
				next = time.Now().Add(r.turn())
			}
			timer.Reset(max(time.Until(next), alarmPace))
		}
	}
	if r.started {
		r.note(b.endAlarm(ctx))
	}
	return errors.Join(r.errs...)
}

func (r *delivery) note(err error) {
	if err != nil {
		r.errs = append(r.errs, err)
	}
}

// turn does what is due, sets the next alarm, and begins to tell. It returns
// after how long there is more to do.
func (r *delivery) turn() (next time.Duration) {
	b := r.b
	if r.user != nil {
		fn, err := r.user()
		r.note(err)
		if fn != nil {
			r.start(0, fn, nil)
		}
	}
	unlock, err := b.lock(r.ctx)
	if err != nil {
		r.note(err)
		return alarmTime
	}
	defer unlock()
	b.armed, b.owing = 0, true
	b.behind = 0
	if at := section.Scheduled(r.ctx); !at.IsZero() {
		b.behind = min(max(at.UnixMilli()-b.clock(), 0), clockSlack)
	}
	now := b.time()
	failed := b.table.sweep(r.ctx, now, sweepLimit, func(fence int64) error { return b.keepFence(r.ctx, fence, now) })
	told, err := b.postponeDue(r.ctx, now, min(watchLimit, callbackLimit-r.running))
	if failed = errors.Join(failed, err); failed == nil {
		b.notBefore, b.failures = 0, 0
	} else {
		b.doubt()
		b.backOff()
		r.note(failed)
	}
	cleared, err := b.clearIfEmpty(r.ctx)
	if err == nil && !cleared {
		err = b.arm(r.ctx, 0)
	}
	if err != nil { // the platform delivers the alarm again, and what was put off is told of then
		r.note(err)
		return alarmPace
	}
	next = max(time.Duration(b.armed-b.clock())*time.Millisecond, alarmPace)
	if failed != nil {
		b.doubt() // the next step looks whether the alarm is there
	}
	for _, t := range told {
		r.start(callbackTime, func(ctx context.Context) error { return b.tellOf(ctx, t) }, func() error {
			if t.last {
				return b.told(context.WithoutCancel(r.ctx), t.sighting)
			}
			return nil
		})
	}
	return next
}

// backOff has the alarm not ring again at once.
func (b *book) backOff() {
	b.notBefore = b.clock() + firstBackOff<<min(b.failures, maxBackOffs)
	b.failures++
}

// endAlarm sets the next alarm when all functions have ended: what was told of is due later.
func (b *book) endAlarm(ctx context.Context) error {
	unlock, err := b.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if cleared, err := b.clearIfEmpty(ctx); cleared || err != nil {
		return err
	}
	return b.rearm(ctx)
}

// start calls a function in a goroutine of its own, which may take a time, or
// as long as it likes if that is 0. If it takes longer, late is called.
func (r *delivery) start(limit time.Duration, fn func(ctx context.Context) error, late func() error) {
	ctx, cancel := context.WithCancelCause(r.ctx)
	var once sync.Once
	end := func(err error) {
		once.Do(func() {
			cancel(err)
			r.ended <- err
		})
	}
	if limit > 0 {
		timer := time.AfterFunc(limit, func() { end(errors.Join(errTooLong, late())) })
		context.AfterFunc(ctx, func() { timer.Stop() })
	}
	r.running, r.started = r.running+1, true
	go func() {
		err := errGoexit
		defer func() {
			if p := recover(); p != nil {
				println("panic: " + panicText(p) + " [recovered by capdo; it is the alarm's error]\n" + stack())
				err = &chain{[]error{errPanic, errors.New(panicText(p))}}
			}
			end(err)
		}()
		err = fn(ctx)
	}()
}

func stack() string {
	b := make([]byte, 16<<10)
	return string(b[:runtime.Stack(b, false)])
}

func panicText(p any) string {
	switch p := p.(type) {
	case error:
		return p.Error()
	case string:
		return p
	}
	return "(a value that is neither an error nor a string)"
}
