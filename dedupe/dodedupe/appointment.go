package dodedupe

import (
	"context"
	"errors"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/plain"
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
	running appointment // which is stored, and whose handler runs; the zero one if none does
}

// appointmentKey is where the appointment is: version 1, at, next, retries (uvarints).
const (
	appointmentKey     = "_capdo_alarm"
	appointmentVersion = 1
)

// read returns the appointment, the zero one if there is none. It fails with
// ErrVersion for one that a newer program wrote, and with ErrCorrupt.
func (a *appointments) read() (p appointment, err error) {
	v, ok, err := plain.Get(a.storage.KV(), appointmentKey)
	if err != nil || !ok {
		return p, err
	}
	r, err := versioned(notedBytes(v, ok), appointmentVersion)
	if err != nil {
		return p, err
	}
	p = appointment{r.number(), r.number(), r.number()}
	if r.end() != nil {
		return appointment{}, ErrCorrupt
	}
	return p, nil
}

func (a *appointments) write(p appointment) error {
	return plain.Put(a.storage.KV(), appointmentKey, appendNumbers([]byte{appointmentVersion}, p.at, p.next, p.retries))
}

func (a *appointments) drop() error {
	_, err := a.storage.KV().Delete(appointmentKey)
	return err
}

// earliest has the ledger go on where the appointment cannot be read: one that
// a newer program wrote stays, and an alarm comes for it from time to time.
func (a *appointments) earliest(ctx context.Context, now int64) (due int64, some bool, err error) {
	due, some, err = a.rows.earliest(ctx, now)
	if err != nil {
		return due, some, err
	}
	p, err := a.read()
	switch {
	case errors.Is(err, ErrVersion):
		return min(due, now+newerRetry), true, nil
	case isUnreadable(err):
		return due, some, nil
	case p.at != 0:
		return min(due, p.next), true, err
	}
	return due, some, err
}

// clear finds no entries, and leaves the rest to its owner.
func (a *appointments) clear(ctx context.Context) error { return a.storage.DeleteAlarm(ctx, nil) }

// SetAlarm sets the object's own alarm, in place of one that is set; see
// [durable.Operations.SetAlarm]. It works within a
// [durable.Storage.Transaction], and is rolled back with it.
func (e *Embedded) SetAlarm(ctx context.Context, at time.Time) error {
	ms := max(at.UnixMilli(), 1)
	return e.changeAlarm(ctx, func() error { return e.user.write(appointment{at: ms, next: ms}) })
}

// GetAlarm returns when the object's own alarm is due, the zero time if none is
// set. While one is delivered it is not set any more. It fails with
// [ErrVersion] for one that a newer program has set.
func (e *Embedded) GetAlarm() (time.Time, error) {
	e.book.mu.Lock()
	defer e.book.mu.Unlock()
	p, err := e.user.read()
	if err != nil || p.at == 0 || p == e.user.running {
		return time.Time{}, err
	}
	return time.UnixMilli(p.at), nil
}

// DeleteAlarm deletes the object's own alarm, if one is set.
func (e *Embedded) DeleteAlarm(ctx context.Context) error { return e.changeAlarm(ctx, e.user.drop) }

// changeAlarm changes the object's own alarm, and sets the platform's anew.
func (e *Embedded) changeAlarm(ctx context.Context, change func() error) error {
	unlock, err := e.book.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := change(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	if cleared, err := e.book.clearIfEmpty(ctx); cleared || err != nil {
		return err
	}
	return e.book.rearm(ctx)
}

// Alarm does what the ledger's alarm has to do, and calls user if the object's
// own alarm is due. It is to be called by the class's Alarm method. The
// object's own alarm is delivered as the platform delivers alarms: at least
// once, and again after errors, panics and crashes, up to 6 times, after 2 s
// first. A class that sets none may pass nil. user and [EmbedOptions.OnExpired]
// may run at the same time: neither waits for the other.
func (e *Embedded) Alarm(ctx context.Context, user func(ctx context.Context, info durable.AlarmInfo) error) error {
	return e.book.ring(ctx, func() (func(context.Context) error, error) {
		p, info, due, err := e.beginAppointment(ctx)
		if err != nil || !due {
			return nil, err
		}
		return func(ctx context.Context) error {
			defer e.endAppointment()
			if user != nil {
				if err := user(ctx, info); err != nil {
					return err
				}
			}
			return e.keptAppointment(ctx, p)
		}, nil
	})
}

// beginAppointment returns the object's own alarm if it is due. Its next
// delivery is arranged before, in case that this one does not end; one that
// takes longer than until then is not delivered again meanwhile.
func (e *Embedded) beginAppointment(ctx context.Context) (p appointment, info durable.AlarmInfo, due bool, err error) {
	unlock, err := e.book.lock(ctx)
	if err != nil {
		return p, info, false, err
	}
	defer unlock()
	p, err = e.user.read()
	now := e.book.clock()
	if err != nil || p.at == 0 || now < p.next {
		if errors.Is(err, ErrVersion) { // it waits for the program that knows it
			err = nil
		}
		return p, info, false, err
	}
	if p == e.user.running {
		p.next = now + firstRetryAfter<<p.retries
		e.user.running = p
		return p, info, false, e.user.write(p)
	}
	if e.user.running != (appointment{}) { // the user has set another one, and the handler of the one before still runs
		p.next = now + firstRetryAfter
		return p, info, false, e.user.write(p)
	}
	info = durable.AlarmInfo{ScheduledTime: time.UnixMilli(p.at), RetryCount: int(p.retries), IsRetry: p.retries > 0}
	if p.retries == maxRetries {
		e.user.running = p
		return p, info, true, e.user.drop()
	}
	p.next, p.retries = now+firstRetryAfter<<p.retries, p.retries+1
	if err := e.user.write(p); err != nil {
		return p, info, false, err
	}
	e.user.running = p
	if err := e.book.rearm(ctx); err != nil {
		e.user.running = appointment{}
		return p, info, false, err
	}
	return p, info, true, nil
}

func (e *Embedded) endAppointment() {
	e.book.mu.Lock()
	defer e.book.mu.Unlock()
	e.user.running = appointment{}
}

// keptAppointment drops the alarm that has been delivered, unless another one is set by now.
func (e *Embedded) keptAppointment(ctx context.Context, p appointment) error {
	unlock, err := e.book.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	stored, err := e.user.read()
	if p.next = stored.next; err != nil || stored != p { // that may have been put off
		return err
	}
	return e.user.drop()
}
