package engine

import (
	"context"
	"errors"
	"time"

	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/durable"
)

// userAlarm is the own alarm of an object with an embedded ledger. The
// platform's one alarm is due when the first of the ledger's alarm and this one
// is due.
type userAlarm struct {
	at      int64 // when the user wants it; 0 if it is not set
	next    int64 // when it is delivered next: after errors, later than at
	retries int64
}

// Like the platform's alarms, those of users are delivered again up to 6 times,
// after 2 s and then twice as long each time.
const (
	maxRetries      = 6
	firstRetryAfter = 2000
)

// userAlarmName is the name of the stored user alarm: version 1, at, next,
// retries (numbers).
const (
	userAlarmName    = "_capdo_alarm"
	userAlarmVersion = 1
)

// shared is the backend of an object that also stores other things.
type shared struct{ *sqlBackend }

// read returns the user's alarm, or the zero alarm if there is none. It fails
// with [codec.ErrVersion] if a newer program wrote it, and with
// [codec.ErrCorrupt].
func (s shared) read() (u userAlarm, err error) {
	v, err := s.Noted(userAlarmName)
	if err != nil || v == nil {
		return u, err
	}
	r, err := codec.Versioned(v, userAlarmVersion)
	if err != nil {
		return u, err
	}
	u = userAlarm{r.Number(), r.Number(), r.Number()}
	if r.End() != nil {
		return userAlarm{}, codec.ErrCorrupt
	}
	return u, nil
}

func (s shared) write(u userAlarm) error {
	note := codec.AppendNumbers([]byte{userAlarmVersion}, u.at, u.next, u.retries)
	return s.Note(userAlarmName, note)
}

func (s shared) drop() error {
	_, err := s.storage.KV().Delete(userAlarmName)
	return err
}

// Earliest does not fail if the user's alarm cannot be read: a newer program's
// alarm stays, and the object's alarm rings for it from time to time.
func (s shared) Earliest(now int64) (due int64, some bool, err error) {
	due, some, err = s.sqlBackend.Earliest(now)
	if err != nil {
		return due, some, err
	}
	u, err := s.read()
	switch {
	case errors.Is(err, codec.ErrVersion):
		return min(due, now+entry.NewerRetry), true, nil
	case codec.Unreadable(err):
		return due, some, nil
	case err != nil || u.at == 0:
		return due, some, err
	}
	return min(due, u.next), true, nil
}

// Clear deletes the alarm only: there are no entries, and the rest is the
// user's.
func (s shared) Clear(ctx context.Context) error { return s.storage.DeleteAlarm(ctx, nil) }

// Embedded is the engine of an object that also stores other things and has an
// alarm of its own.
type Embedded struct {
	*Engine
	backend shared
	// running is the stored alarm whose handler runs; the zero alarm if none
	// does.
	running userAlarm
}

// NewEmbedded returns the engine of such an object. The config has no backend.
func NewEmbedded(storage *durable.Storage, config Config) *Embedded {
	backend := shared{newSQLBackend(storage)}
	config.Backend, config.Many, config.Shared = backend, true, true
	return &Embedded{Engine: New(config), backend: backend}
}

// SetAlarm sets the object's own alarm, and replaces an earlier one.
func (e *Embedded) SetAlarm(ctx context.Context, at time.Time) error {
	ms := max(at.UnixMilli(), 1)
	return e.changeAlarm(ctx, func() error { return e.backend.write(userAlarm{at: ms, next: ms}) })
}

// GetAlarm returns when the object's own alarm is due, or the zero time if none
// is set or it is being delivered.
func (e *Embedded) GetAlarm() (time.Time, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	u, err := e.backend.read()
	if err != nil || u.at == 0 || u == e.running {
		return time.Time{}, err
	}
	return time.UnixMilli(u.at), nil
}

// DeleteAlarm deletes the object's own alarm, if one is set.
func (e *Embedded) DeleteAlarm(ctx context.Context) error {
	return e.changeAlarm(ctx, e.backend.drop)
}

// changeAlarm changes the object's own alarm, and sets the platform's again.
func (e *Embedded) changeAlarm(ctx context.Context, change func() error) error {
	return e.step(ctx, func(ctx context.Context) error {
		if err := change(); err != nil {
			return err
		}
		if cleared, err := e.clearIfEmpty(ctx); cleared || err != nil {
			return err
		}
		return e.alarm.reset(ctx)
	})
}

// DeleteAll deletes everything that the object has stored, and wakes waiting
// callers.
func (e *Embedded) DeleteAll(ctx context.Context) error {
	return e.step(ctx, func(ctx context.Context) error {
		e.forgetStored()
		e.running = userAlarm{}
		defer e.waiters.wakeAll()
		return e.backend.storage.DeleteAll(ctx, nil)
	})
}

// Alarm handles the ledger's alarm, and calls user if the object's own alarm is
// due; see package dodedupe.
func (e *Embedded) Alarm(
	ctx context.Context, user func(ctx context.Context, info durable.AlarmInfo) error,
) error {
	return e.deliver(ctx, func() (func(context.Context) error, error) {
		u, info, due, err := e.beginUserAlarm(ctx)
		if err != nil || !due {
			return nil, err
		}
		return func(ctx context.Context) error {
			defer e.endUserAlarm()
			if user != nil {
				if err := user(ctx, info); err != nil {
					return err
				}
			}
			return e.dropDelivered(ctx, u)
		}, nil
	})
}

// beginUserAlarm returns the object's own alarm if it is due. It first arranges
// the next delivery, in case this one does not end. While a delivery is
// running, there is no other.
func (e *Embedded) beginUserAlarm(
	ctx context.Context,
) (u userAlarm, info durable.AlarmInfo, due bool, err error) {
	err = e.step(ctx, func(ctx context.Context) error {
		u, err = e.backend.read()
		now := e.Clock()
		// The alarm waits for a program that can read it.
		if errors.Is(err, codec.ErrVersion) {
			return nil
		}
		if err != nil || u.at == 0 || now < u.next {
			return err
		}
		if e.running != (userAlarm{}) {
			return e.postponeRunning(u, now)
		}
		info = durable.AlarmInfo{
			ScheduledTime: time.UnixMilli(u.at),
			RetryCount:    int(u.retries),
			IsRetry:       u.retries > 0,
		}
		due, err = e.arrangeRetry(ctx, &u, now)
		return err
	})
	return u, info, due, err
}

// postponeRunning postpones an alarm while a handler runs, either its own or
// the previous alarm's, which the user has replaced.
func (e *Embedded) postponeRunning(u userAlarm, now int64) error {
	if u != e.running {
		u.next = now + firstRetryAfter
		return e.backend.write(u)
	}
	u.next = now + firstRetryAfter<<u.retries
	e.running = u
	return e.backend.write(u)
}

// arrangeRetry stores when an alarm is delivered next, or removes it if this is
// its last delivery.
func (e *Embedded) arrangeRetry(
	ctx context.Context, u *userAlarm, now int64,
) (due bool, err error) {
	if u.retries == maxRetries {
		e.running = *u
		return true, e.backend.drop()
	}
	u.next, u.retries = now+firstRetryAfter<<u.retries, u.retries+1
	if err := e.backend.write(*u); err != nil {
		return false, err
	}
	e.running = *u
	if err := e.alarm.reset(ctx); err != nil {
		e.running = userAlarm{}
		return false, err
	}
	return true, nil
}

func (e *Embedded) endUserAlarm() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running = userAlarm{}
}

// dropDelivered removes the delivered alarm, unless another one has been set.
func (e *Embedded) dropDelivered(ctx context.Context, u userAlarm) error {
	return e.step(ctx, func(context.Context) error {
		stored, err := e.backend.read()
		// Its next delivery may have been postponed.
		if u.next = stored.next; err != nil || stored != u {
			return err
		}
		return e.backend.drop()
	})
}
