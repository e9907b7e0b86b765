package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"flow.internal/capdo/internal/section"
)

func TestAlarmEmptiesTheObject(t *testing.T) {
	s := newFixture(t)
	for n := range 3 * sweepLimit {
		_, err := s.engine.Claim(t.Context(), fmt.Sprint(n), entry.Request{Owner: "a", Lease: 10, TTL: 1000})
		s.want(err, nil)
	}
	s.want(s.engine.Release(t.Context(), "k", entry.Holder{Owner: "a", Fence: 1}), dedupe.ErrFenced)
	s.now = noon + 999
	s.ring()
	if len(s.backend.Rows) != 3*sweepLimit || s.backend.Alarm != noon+1000 {
		t.Errorf("early: %d records, alarm at noon%+d", len(s.backend.Rows), s.backend.Alarm-noon)
	}
	s.now = noon + 1000
	for left := 2; left > 0; left-- {
		s.ring()
		if len(s.backend.Rows) != left*sweepLimit || s.backend.Alarm != noon+1000 {
			t.Errorf("%d records, alarm at noon%+d; want the next alarm at once", len(s.backend.Rows), s.backend.Alarm-noon)
		}
	}
	s.ring()
	if until := int64(noon) + entry.ClockSlack; len(s.backend.Rows) != 0 || s.backend.Alarm <= until || s.backend.Alarm > until+10 {
		t.Errorf("%d records, alarm at noon%+d; want the fences kept for %d ms after they were issued", len(s.backend.Rows), s.backend.Alarm-noon, entry.ClockSlack)
	}
	s.now = s.backend.Alarm
	s.ring()
	if len(s.backend.Notes) != 0 || s.backend.Alarm != 0 || s.backend.Ops[len(s.backend.Ops)-1] != "clear" {
		t.Errorf("%d records, alarm %d, %v", len(s.backend.Rows), s.backend.Alarm, s.backend.Ops[len(s.backend.Ops)-3:])
	}
}

// Known mistake: alarm errors are swallowed. The next operation must set the
// alarm again.
func TestErrorsOfAnAlarmGetOut(t *testing.T) {
	for _, op := range []string{"sweep", "earliest", "setAlarm"} {
		s := newFixture(t)
		s.claim("a", 1000, 1000, dedupe.Acquired)
		s.backend.Alarm = 0 // the platform removes the alarm when it delivers it
		s.backend.Plan = faulty.Failing(op)
		s.want(s.engine.Alarm(t.Context()), faulty.ErrInjected)
		s.backend.Plan, s.backend.Alarm = nil, 0
		s.claim("a", 1000, 1000, dedupe.Acquired)
		if s.backend.Alarm != noon+1100 {
			t.Errorf("%s: the alarm is at %d", op, s.backend.Alarm)
		}
	}
}

// If storage keeps failing, the alarm must not run in a loop. An alarm that
// cannot postpone the entry must not report the holder.
func TestAlarmWhoseStorageFailsBacksOff(t *testing.T) {
	for _, op := range []string{"put", "sweep", "expired"} {
		s := newFixture(t)
		keys := s.notifying(fineBy)
		s.hold("k", "a", 1000)
		if op == "sweep" {
			s.engine.Notify = nil
			_, err := s.engine.Reserve(t.Context(), "r", entry.Request{Owner: "a", TTL: 1000})
			s.want(err, nil)
		}
		s.now += 1000
		s.backend.Plan = faulty.Failing(op)
		var pauses []int64
		for range 8 {
			s.backend.Alarm = 0
			if err := s.engine.Alarm(t.Context()); !errors.Is(err, faulty.ErrInjected) {
				t.Errorf("%s fails: %v", op, err)
			}
			pauses = append(pauses, s.backend.Alarm-s.now)
			s.now = max(s.backend.Alarm, s.now+1)
		}
		if !slices.Equal(pauses, []int64{1000, 2000, 4000, 8000, 16_000, 32_000, 32_000, 32_000}) {
			t.Errorf("%s fails: the alarm runs again after %d ms", op, pauses)
		}
		if op == "put" && len(*keys) != 0 {
			t.Errorf("reported %q, though it could not be postponed", *keys)
		}
		s.backend.Plan = nil
		s.ring()
		if n := len(*keys); op != "sweep" && n == 0 || s.backend.Alarm <= s.now {
			t.Errorf("%s works again: %d notices, alarm at noon%+d", op, n, s.backend.Alarm-noon)
		}
	}
}

// The platform gives up an alarm that has failed seven times. The next
// operation sets it again: in a new instance at once, in the same instance when
// the alarm is overdue.
func TestNextOperationRestoresTheAlarm(t *testing.T) {
	replay := func(s *fixture) { s.claim("b", 1000, 5000, dedupe.Replay) }
	for name, c := range map[string]struct {
		holds bool
		next  func(s *fixture)
	}{
		"a replay":               {false, replay},
		"a claim in progress":    {true, func(s *fixture) { s.claim("b", 1000, 5000, dedupe.InProgress) }},
		"a claim of another key": {false, func(s *fixture) { s.hold("other", "a", 1000) }},
		"the same owner":         {true, func(s *fixture) { s.claim("a", 1000, 5000, dedupe.Acquired) }},
		"a second completion": {false, func(s *fixture) {
			e, _ := entry.Decode(s.backend.Rows["k"].Record)
			s.want(s.engine.Complete(s.Context(), "k", entry.Holder{Owner: "a", Fence: e.Number}, nil), nil)
		}},
		"a reservation": {false, func(s *fixture) {
			_, err := s.engine.Reserve(s.Context(), "other", entry.Request{Owner: "a", TTL: 1000})
			s.want(err, nil)
		}},
	} {
		for _, evicted := range []bool{true, false} {
			s := newFixture(t)
			a := s.claim("a", 90_000, 100_000, dedupe.Acquired)
			if !c.holds {
				s.want(s.engine.Complete(t.Context(), "k", holderOf(a), nil), nil)
			}
			s.backend.Alarm = 0 // given up
			if evicted {
				s.evict()
			} else {
				s.engine.alarm.at = s.now - overdue
			}
			c.next(s)
			if s.backend.Alarm == 0 || !s.backend.IsArmed(s.now) {
				t.Errorf("%s, evicted %v: no alarm is set", name, evicted)
			}
		}
	}
}

// A fresh instance reads the alarm and does not set it again.
func TestFreshInstanceDoesNotSetAnAlarmThatIsSet(t *testing.T) {
	s := newFixture(t)
	s.claim("a", 1000, 5000, dedupe.Acquired)
	s.evict()
	s.backend.Ops = nil
	s.claim("b", 1000, 5000, dedupe.InProgress)
	s.hold("later", "a", 1000)
	if slices.Contains(s.backend.Ops, "setAlarm") {
		t.Errorf("it did %v", s.backend.Ops)
	}
}

// A caller whose alarm failed gives up. The next caller sets the alarm, even if
// there is nothing to write.
func TestDuplicatesSetTheAlarmThatFailed(t *testing.T) {
	for what, by := range map[string]func(s *fixture, owner string) error{
		"claim": func(s *fixture, owner string) error { _, err := s.claiming(owner, "", 5000)(s.engine); return err },
		"next":  func(s *fixture, owner string) error { _, err := s.numbering("k", owner, "h")(s.engine); return err },
		"reserve": func(s *fixture, owner string) error {
			_, err := s.engine.Reserve(s.Context(), "k", entry.Request{Owner: owner, TTL: 5000})
			return err
		},
	} {
		s := newFixture(t)
		s.backend.Plan = faulty.Failing("setAlarm")
		if err := by(s, "a"); !errors.Is(err, faulty.ErrInjected) {
			t.Errorf("%s, whose alarm fails: %v", what, err)
		}
		s.want(by(s, "b"), nil) // succeeds although the alarm fails again
		s.backend.Plan = nil
		s.want(by(s, "b"), nil)
		if s.backend.Alarm == 0 || !s.backend.IsArmed(s.now) {
			t.Errorf("a duplicate %s leaves the record without an alarm", what)
		}
		s.backend.Ops = nil
		s.want(by(s, "b"), nil)
		if slices.Contains(s.backend.Ops, "setAlarm") {
			t.Errorf("a duplicate %s sets the alarm again: %v", what, s.backend.Ops)
		}
	}
}

// Known mistake: an alarm that runs early by the object's clock is set to the
// same time again. workerd loses such an alarm.
func TestEarlyAlarmIsSetForLater(t *testing.T) {
	s, reported := newFixture(t), &notices{}
	s.engine.Notify = func(_ context.Context, key string, _ *entry.Entry) error {
		reported.add(key)
		return nil
	}
	now := s.engine.Clock()
	s.engine.Clock = func() int64 { return now }
	s.hold("k", "a", 1000)
	at := s.backend.Alarm
	now = at - 400
	s.backend.Alarm = 0 // the platform has no alarm while it delivers one
	if err := s.engine.Alarm(section.WithScheduled(t.Context(), time.UnixMilli(at))); err != nil {
		t.Error(err)
	}
	if reported.count("k") != 0 || s.backend.Alarm != at+400 {
		t.Errorf("%d notices; the alarm is at %d, want %d", reported.count("k"), s.backend.Alarm, at+400)
	}
	now, at = at, s.backend.Alarm
	if err := s.engine.Alarm(section.WithScheduled(t.Context(), time.UnixMilli(at))); err != nil || reported.count("k") != 1 {
		t.Errorf("reported %d times, %v", reported.count("k"), err)
	}
}
