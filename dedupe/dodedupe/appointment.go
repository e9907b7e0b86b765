package dodedupe

import (
	"context"
	"errors"
	"time"

	"flow.internal/capdo/durable"
)

// appointment is an alarm of the object that a ledger is embedded in. The platform's one alarm is due when the first of the ledger's and this
// is.
type appointment struct {
	at      int64 // when the user wants it; 0: not
	next    int64 // when it is delivered next: later than that, after errors
	retries int64
}

// Like the platform's alarms, appointments are delivered again up to 6 times, after 2 s and then twice as long each time.
const (
	maxRetries      = 6
	firstRetryAfter = 2000
)

// appointments is the table of an object that has other things to keep, too.
type appointments struct {
	*rows
	delivering bool // the appointment that is stored, whose handler is running
}

// appointmentKey is where the appointment is: version 1, at, next, retries (uvarints).
const appointmentKey = "_capdo_alarm"

func (a *appointments) read() (p appointment, err error) {
	v, ok, err := a.storage.KV().Get(appointmentKey)
	if err != nil || !ok {
		return p, err
	}
	b, _ := v.([]byte)
	m, err := unpack(b)
	if err != nil {
		return p, err
	}
	p = appointment{m.number(), m.number(), m.number()}
	return p, m.end()
}

func (a *appointments) write(p appointment) error {
	return a.storage.KV().Put(appointmentKey, appendNumbers(message(), p.at, p.next, p.retries))
}

func (a *appointments) drop() error {
	a.delivering = false
	_, err := a.storage.KV().Delete(appointmentKey)
	return err
}

func (a *appointments) earliest(ctx context.Context) (due int64, some bool, err error) {
	due, some, err = a.rows.earliest(ctx)
	if err != nil {
		return due, some, err
	}
	p, err := a.read()
	if p.at != 0 {
		due, some = min(due, p.next), true
	}
	return due, some, err
}

// clear finds no entries, and leaves the rest to its owner.
func (a *appointments) clear(ctx context.Context) error { return a.storage.DeleteAlarm(ctx, nil) }

// SetAlarm sets the object's own alarm, in place of one that is set; see [durable.Operations.SetAlarm]. Unlike that it is not part of a
// [durable.Transaction].
func (e *Embedded) SetAlarm(ctx context.Context, at time.Time) error {
	e.book.mu.Lock()
	defer e.book.mu.Unlock()
	e.user.delivering = false
	ms := max(at.UnixMilli(), 1)
	if err := e.user.write(appointment{at: ms, next: ms}); err != nil {
		return err
	}
	return e.rearm(ctx)
}

// GetAlarm returns when the object's own alarm is due, the zero time if none is set. While one is delivered it is not set any more.
func (e *Embedded) GetAlarm() (time.Time, error) {
	e.book.mu.Lock()
	defer e.book.mu.Unlock()
	p, err := e.user.read()
	if err != nil || p.at == 0 || e.user.delivering {
		return time.Time{}, err
	}
	return time.UnixMilli(p.at), nil
}

// DeleteAlarm deletes the object's own alarm, if one is set.
func (e *Embedded) DeleteAlarm(ctx context.Context) error {
	e.book.mu.Lock()
	defer e.book.mu.Unlock()
	if err := e.user.drop(); err != nil {
		return err
	}
	return e.rearm(ctx)
}

// rearm sets the platform's alarm anew.
func (e *Embedded) rearm(ctx context.Context) error {
	if cleared, err := e.book.clearIfEmpty(ctx); cleared || err != nil {
		return err
	}
	e.book.armed = 0
	return e.book.arm(ctx, 0)
}

// Alarm does what the ledger's alarm has to do, and calls user if the object's own alarm is due. It is to be called by the class's Alarm method.
// The object's own alarm is delivered as the platform delivers alarms: at least once, and again after errors and crashes, up to 6 times,
// after 2 s first. A class that sets none may pass nil.
func (e *Embedded) Alarm(ctx context.Context, user func(ctx context.Context, info durable.AlarmInfo) error) error {
	if err := e.keepAppointment(ctx, user); err != nil {
		return errors.Join(err, e.book.alarm(ctx))
	}
	return e.book.alarm(ctx)
}

// keepAppointment calls user if it is time. The next delivery is arranged before, in case that this one does not end.
func (e *Embedded) keepAppointment(ctx context.Context, user func(ctx context.Context, info durable.AlarmInfo) error) error {
	info, due, err := e.beginAppointment(ctx)
	if err != nil || !due {
		return err
	}
	defer func() {
		e.book.mu.Lock()
		e.user.delivering = false
		e.book.mu.Unlock()
	}()
	if err := user(ctx, info); err != nil {
		return err
	}
	e.book.mu.Lock()
	defer e.book.mu.Unlock()
	if !e.user.delivering { // user has set another one
		return nil
	}
	return e.user.drop()
}

func (e *Embedded) beginAppointment(ctx context.Context) (info durable.AlarmInfo, due bool, err error) {
	e.book.mu.Lock()
	defer e.book.mu.Unlock()
	p, err := e.user.read()
	now := e.book.clock()
	if err != nil || p.at == 0 || now < p.next {
		return info, false, err
	}
	info = durable.AlarmInfo{ScheduledTime: time.UnixMilli(p.at), RetryCount: int(p.retries), IsRetry: p.retries > 0}
	if p.retries == maxRetries {
		return info, true, e.user.drop()
	}
	p.next, p.retries = now+firstRetryAfter<<p.retries, p.retries+1
	if err := e.user.write(p); err != nil {
		return info, false, err
	}
	e.user.delivering = true
	return info, true, e.rearm(ctx)
}
