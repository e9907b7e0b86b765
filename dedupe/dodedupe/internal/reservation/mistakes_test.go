package reservation

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
)

func TestKnownMistakes(t *testing.T) {
	faulty.TestMistakes(t, []faulty.Mistake{
		{Name: "record written but its alarm not (a store)", Find: missingAlarm},
		{Name: "alarm errors swallowed (a store)", Find: swallowedErrors},
	})
}

// noAlarms reports that an alarm was set, but does not set it.
type noAlarms struct{ *faulty.Storage }

func (noAlarms) SetAlarm(context.Context, int64) error { return nil }

func missingAlarm(t *testing.T, made bool) string {
	return faulty.Try(3, func(plan faulty.Plan) string {
		f := newFixture(t)
		if made {
			f.key.Storage = noAlarms{f.storage}
		}
		f.storage.Plan = plan
		inserted, err := f.put(1, 1000)
		f.storage.Plan = nil
		if err != nil { // repeat like the provider
			inserted, err = f.put(1, 1000)
		}
		if !inserted || err != nil || f.storage.Alarm != faulty.Noon+1000 {
			return fmt.Sprintf("inserted %v, %v, alarm %d", inserted, err, f.storage.Alarm)
		}
		return ""
	})
}

// mute swallows the errors of an alarm.
type mute struct{ *faulty.Storage }

func (m mute) Clear(ctx context.Context) error { m.Storage.Clear(ctx); return nil }

func swallowedErrors(t *testing.T, made bool) string {
	for _, op := range []string{"get", "clear"} {
		f := newFixture(t)
		if made {
			f.key.Storage = mute{f.storage}
		}
		f.wantPut(1, 1000, true)
		f.now += 1000
		f.storage.Plan = faulty.Failing(op)
		if err := f.key.Alarm(t.Context()); !errors.Is(err, faulty.ErrInjected) {
			return fmt.Sprintf("%s fails, but the alarm returns %v", op, err)
		}
	}
	return ""
}
