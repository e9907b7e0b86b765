package engine

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/internal/section"
)

const (
	// callbackTime is the time limit for one call of OnExpired. Then its ctx
	// ends, and the alarm no longer waits for it.
	callbackTime = 5 * time.Minute
	// deliveryTime is how long an alarm that waits for calls continues to
	// handle records that become due. An alarm may take 15 minutes
	// (https://developers.cloudflare.com/durable-objects/platform/limits/).
	deliveryTime = 9 * time.Minute
	// deliveryPace is the shortest time between two turns.
	deliveryPace = 100 * time.Millisecond
	// callbackLimit is how many calls may run at once.
	callbackLimit = 1000
)

// Errors of a user's function that did not return.
var (
	errPanic   = errors.New("a function panicked")
	errGoexit  = errors.New("a function ended its goroutine")
	errTooLong = errors.New("a function took longer than 5 minutes")
)

// dueFunc returns the function for a user's alarm, or nil if none is due.
type dueFunc func() (func(ctx context.Context) error, error)

// delivery is one delivery of the alarm. Each user function runs in a goroutine
// of its own, so it delays nothing else, however long it takes.
type delivery struct {
	expiry
	ctx     context.Context
	user    dueFunc
	ended   chan error // of functions
	running int
	started bool
	errs    []error
}

// Alarm calls Notify for holders that died, and removes expired records. It may
// come early, late or twice. If it fails, the platform delivers it again.
// Before it calls a function, it has postponed the entry and set the next
// alarm, so no notice is lost if the program ends or the platform drops this
// alarm.
func (e *Engine) Alarm(ctx context.Context) error { return e.deliver(ctx, nil) }

// deliver is Alarm, and also calls the function that user returns. That
// function has no time limit.
func (e *Engine) deliver(ctx context.Context, user dueFunc) error {
	d := &delivery{
		expiry: expiry{e.core},
		ctx:    ctx,
		user:   user,
		ended:  make(chan error, callbackLimit+1),
	}
	begin := time.Now()
	next := begin.Add(d.turn())
	// Most functions end before it fires, so that no timer outlasts them.
	timer := time.NewTimer(deliveryPace)
	defer timer.Stop()
	for d.running > 0 {
		select {
		case err := <-d.ended:
			d.running--
			d.note(err)
		case <-timer.C:
			// After deliveryTime it only waits.
			if !time.Now().Before(next) && time.Since(begin) < deliveryTime {
				next = time.Now().Add(d.turn())
			}
			timer.Reset(max(time.Until(next), deliveryPace))
		}
	}
	if d.started {
		d.note(d.end())
	}
	return errors.Join(d.errs...)
}

func (d *delivery) note(err error) {
	if err != nil {
		d.errs = append(d.errs, err)
	}
}

// turn handles everything that is due, sets the next alarm, and starts the
// calls of functions. It returns the time until more is due.
func (d *delivery) turn() (next time.Duration) {
	if d.user != nil {
		fn, err := d.user()
		d.note(err)
		if fn != nil {
			d.start(0, fn, nil)
		}
	}
	next = deliveryTime
	d.note(d.step(d.ctx, func(ctx context.Context) error {
		notices, failed := d.expire(ctx)
		if failed != nil {
			d.note(failed)
		}
		// The platform delivers the alarm again. Postponed holders are notified
		// then.
		if err := d.setNext(ctx); err != nil {
			next = deliveryPace
			return err
		}
		next = max(time.Duration(d.alarm.at-d.Clock())*time.Millisecond, deliveryPace)
		if failed != nil {
			d.forgetStored() // the next step checks whether the alarm is set
		}
		for _, n := range notices {
			d.startNotice(n)
		}
		return nil
	}))
	return next
}

// expire removes expired records, and returns the notices to give.
func (d *delivery) expire(ctx context.Context) ([]notice, error) {
	d.alarm.forgetStored()
	d.alarm.behind = 0
	if at := section.Scheduled(ctx); !at.IsZero() {
		d.alarm.behind = min(max(at.UnixMilli()-d.Clock(), 0), entry.ClockSlack)
	}
	now := d.clock.now()
	failed := d.sweep(now)
	notices, err := d.postpone(now, min(noticeLimit, callbackLimit-d.running))
	if failed = errors.Join(failed, err); failed != nil {
		d.forgetStored()
		d.alarm.backOff()
		return notices, failed
	}
	d.alarm.notBefore, d.alarm.failures = 0, 0
	return notices, nil
}

// setNext sets the next alarm, or empties the object.
func (d *delivery) setNext(ctx context.Context) error {
	cleared, err := d.clearIfEmpty(ctx)
	if err != nil || cleared {
		return err
	}
	return d.alarm.ensure(ctx, 0)
}

// end sets the next alarm when all functions have ended. Entries whose notice
// succeeded are due later than before.
func (d *delivery) end() error {
	return d.step(d.ctx, func(ctx context.Context) error {
		if cleared, err := d.clearIfEmpty(ctx); cleared || err != nil {
			return err
		}
		return d.alarm.reset(ctx)
	})
}

func (d *delivery) startNotice(n notice) {
	tell := func(ctx context.Context) error { return d.notify(ctx, n) }
	d.start(callbackTime, tell, func() error {
		if !n.last {
			return nil
		}
		return d.settled(d.ctx, n.Keyed)
	})
}

// start calls a function in a goroutine of its own. If the function takes
// longer than limit, start calls late; a limit of 0 means none.
func (d *delivery) start(
	limit time.Duration, fn func(ctx context.Context) error, late func() error,
) {
	ctx, cancel := context.WithCancelCause(d.ctx)
	var once sync.Once
	end := func(err error) {
		once.Do(func() {
			cancel(err)
			d.ended <- err
		})
	}
	if limit > 0 {
		timer := time.AfterFunc(limit, func() { end(errors.Join(errTooLong, late())) })
		context.AfterFunc(ctx, func() { timer.Stop() })
	}
	d.running, d.started = d.running+1, true
	go func() {
		err := errGoexit
		defer func() {
			if p := recover(); p != nil {
				text := panicText(p)
				println("panic: " + text +
					" [recovered by capdo; it is the alarm's error]\n" + stack())
				err = effect.Chain(errPanic, errors.New(text))
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
