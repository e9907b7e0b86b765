package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
)

func TestKnownMistakes(t *testing.T) {
	faulty.TestMistakes(t, []faulty.Mistake{
		{Name: "record written but its alarm not (a ledger)", Find: missingAlarm},
		{Name: "late Forget deleting a successor (a ledger)", Find: lateForget},
		{Name: "alarm errors swallowed (a ledger)", Find: swallowedErrors},
		{Name: "a sweep that lists the whole object", Find: boundlessSweep},
	})
}

// noAlarms reports that an alarm was set, but does not set it.
type noAlarms struct{ *faulty.Backend }

func (noAlarms) SetAlarm(context.Context, int64) error { return nil }

func missingAlarm(t *testing.T, made bool) string {
	return faulty.Try(4, func(plan faulty.Plan) string {
		s := newFixture(t)
		if made {
			s.engine.Backend = noAlarms{s.backend}
		}
		r := entry.Request{Owner: "a", Lease: 10, TTL: 1000}
		s.backend.Plan = plan
		a, err := s.engine.Claim(t.Context(), "k", r)
		s.backend.Plan = nil
		if err != nil {
			a, err = s.engine.Claim(t.Context(), "k", r)
		}
		if a.Outcome != dedupe.Acquired || err != nil || s.backend.Alarm != noon+1000 {
			return fmt.Sprintf("%v, %v, alarm %d", a.Outcome, err, s.backend.Alarm)
		}
		return ""
	})
}

func lateForget(t *testing.T, made bool) string {
	s := newFixture(t)
	s.claim("a", 1000, 5000, dedupe.Acquired)
	s.now += 10
	found, err := s.engine.Look(t.Context(), "k")
	s.want(err, nil)
	s.forget()
	b := s.claim("b", 1000, 5000, dedupe.Acquired)
	s.now += 10
	if made {
		found.Fence = b.Entry.Number
	}
	s.want(s.engine.Forget(t.Context(), "k", found), nil)
	if err := s.engine.Complete(t.Context(), "k", holderOf(b), nil); err != nil {
		return fmt.Sprint("the successor: ", err)
	}
	return ""
}

// mute swallows the errors of an alarm.
type mute struct{ *faulty.Backend }

func (m mute) Sweep(now int64, limit int, keep func(int64) error) error {
	m.Backend.Sweep(now, limit, keep)
	return nil
}

func swallowedErrors(t *testing.T, made bool) string {
	for _, op := range []string{"earliest", "clear", "sweep"} {
		s := newFixture(t)
		if made {
			s.engine.Backend = mute{s.backend}
		}
		s.claim("a", 10, 1000, dedupe.Acquired)
		s.now += 1000 + entry.ClockSlack
		s.backend.Plan = faulty.Failing(op)
		if err := s.engine.Alarm(t.Context()); !errors.Is(err, faulty.ErrInjected) {
			return fmt.Sprintf("%s fails, but the alarm returns %v", op, err)
		}
	}
	return ""
}

// greedy removes everything in one sweep.
type greedy struct{ *faulty.Backend }

func (g greedy) Sweep(now int64, _ int, keep func(int64) error) error {
	return g.Backend.Sweep(now, 1<<30, keep)
}

// boundlessSweep checks how much an alarm does. TestKnownMistakeOfASweep checks
// in workerd what SQLite reads for it.
func boundlessSweep(t *testing.T, made bool) string {
	s := newFixture(t)
	if made {
		s.engine.Backend = greedy{s.backend}
	}
	const records = 3*sweepLimit + 1
	for n := range records {
		_, err := s.engine.Claim(t.Context(), fmt.Sprint(n), entry.Request{Owner: "a", Lease: 10, TTL: 1000})
		s.want(err, nil)
	}
	s.now += 1000
	s.ring()
	if left := len(s.backend.Rows); left != records-sweepLimit || s.backend.Alarm > s.now {
		return fmt.Sprintf("one alarm left %d of %d records, and the next alarm is at noon%+d", left, records, s.backend.Alarm-noon)
	}
	return ""
}
