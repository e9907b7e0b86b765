package engine

import (
	"context"

	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
)

const (
	// overdue is the time, in ms, after which the platform must have dropped an
	// alarm that has not rung.
	overdue = 60_000
	// firstBackOff is the time, in ms, until an alarm whose storage failed
	// rings again. It doubles up to maxBackOffs times.
	firstBackOff = 1000
	maxBackOffs  = 5
)

// alarm is what this instance knows about the object's one alarm.
type alarm struct {
	*Config
	at int64 // when it is due at the latest, if this instance knows; else 0
	// stale: the alarm may be missing, because setting it failed, or may be
	// rolled back.
	stale bool
	// notBefore delays an alarm whose storage fails, twice as long each time.
	notBefore, failures int64
	// behind is the smallest amount by which the clock was behind the
	// platform's when the alarm last rang. While an alarm rings, workerd drops
	// a new alarm for the time that it rings for.
	behind int64
}

func (a *alarm) forgetStored() { a.at, a.stale = 0, true }

// ensure makes sure that there is an alarm at the given time or before.
func (a *alarm) ensure(ctx context.Context, at int64) error {
	now := a.Clock()
	if a.at != 0 && a.at <= at && now < a.at+overdue {
		return nil
	}
	due, isDue, err := a.next(now)
	if err != nil || !isDue {
		return err
	}
	set, err := a.Backend.AlarmAt(ctx)
	if err != nil {
		return err
	}
	if set <= now || set > due { // one that is past may have been given up
		return a.set(ctx, due, now)
	}
	a.at, a.stale = set, false
	return nil
}

// tryEnsure sets an alarm that an earlier step failed to set, or that this
// instance does not know. A step that writes nothing ignores a failure: the
// next step tries again.
func (a *alarm) tryEnsure(ctx context.Context, due int64) {
	if a.stale {
		due = 0
	}
	_ = a.ensure(ctx, due)
}

// ensureAny makes sure that there is an alarm, possibly later than at.
func (a *alarm) ensureAny(ctx context.Context, at int64) error {
	a.forgetStored()
	set, err := a.Backend.AlarmAt(ctx)
	if err != nil {
		return err
	}
	if now := a.Clock(); set <= now {
		return a.set(ctx, at, now)
	}
	a.at, a.stale = set, false
	return nil
}

// reset sets the alarm to the time when it is due, even if that is later than
// before.
func (a *alarm) reset(ctx context.Context) error {
	now := a.Clock()
	due, isDue, err := a.next(now)
	if err != nil || !isDue {
		return err
	}
	return a.set(ctx, due, now)
}

// next returns when the alarm is due. If it never is, no alarm is needed.
func (a *alarm) next(now int64) (due int64, isDue bool, err error) {
	a.forgetStored()
	due, _, err = a.Backend.Earliest(now)
	switch {
	case err != nil:
		return 0, false, err
	case due >= entry.Never:
		a.at, a.stale = due, false
		return due, false, nil
	}
	return max(due, a.notBefore) + a.behind, true, nil
}

func (a *alarm) set(ctx context.Context, due, now int64) error {
	err := a.Backend.SetAlarm(ctx, max(due, now))
	if err == nil {
		a.at, a.stale = due, false
	}
	return err
}

// backOff delays the next alarm.
func (a *alarm) backOff() {
	a.notBefore = a.Clock() + firstBackOff<<min(a.failures, maxBackOffs)
	a.failures++
}
