//go:build !js

package dodedupe

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/internal/section"
)

// tellings are what a function of a user was told, in order.
type tellings struct {
	mu   sync.Mutex
	keys []string
}

func (l *tellings) add(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys = append(l.keys, key)
}

func (l *tellings) count(key string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.keys {
		if k == key {
			n++
		}
	}
	return n
}

var noErrors []error

// troubles are what a user's function may do instead of returning nil. None
// delays what another holder is told, or another's alarm.
var troubles = map[string]struct {
	do   func(ctx context.Context, end chan struct{}) error
	want error
}{
	"fails":                    {func(context.Context, chan struct{}) error { return errBoom }, errBoom},
	"panics":                   {func(context.Context, chan struct{}) error { panic("boom") }, errPanic},
	"panics in Go's runtime":   {func(context.Context, chan struct{}) error { return noErrors[0] }, errPanic},
	"exits":                    {func(context.Context, chan struct{}) error { runtime.Goexit(); return nil }, errGoexit},
	"hangs":                    {func(_ context.Context, end chan struct{}) error { <-end; return nil }, errTooLong},
	"hangs until its ctx ends": {func(ctx context.Context, _ chan struct{}) error { <-ctx.Done(); return context.Cause(ctx) }, errTooLong},
}

// A function that is trouble for one key, whose lease ends first. The others
// are told of at once, the next alarm is set, what the function did is the
// alarm's error, and the key is told of again.
func TestTroubleWithOneHolderDoesNotDelayOthers(t *testing.T) {
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, told := newShelf(t), &tellings{}
				s.book.clock = func() int64 { return time.Now().UnixMilli() }
				begin, end := time.Now(), make(chan struct{})
				defer close(end)
				var late time.Duration
				s.book.tell = func(ctx context.Context, key string, _ *entry) error {
					told.add(key)
					if key == "poison" && told.count(key) == 1 {
						return trouble.do(ctx, end)
					}
					if key == "late" {
						late = time.Since(begin)
					}
					return nil
				}
				for n, key := range []string{"poison", "good", "late"} {
					s.hold(key, "a", int64(1000+n))
				}
				h := s.hold("late", "a", 1000)
				s.want(s.book.extend(t.Context(), "late", h, 20_000), nil)
				var errs []error
				for told.count("late") == 0 || told.count("poison") < 2 { // as the platform does: one delivery after the other
					if s.table.alarm == 0 {
						t.Fatalf("no alarm is set, told of %q", told.keys)
					}
					time.Sleep(time.Until(time.UnixMilli(s.table.alarm)))
					errs = append(errs, s.book.alarm(context.Background()))
				}
				if err := errors.Join(errs...); !errors.Is(err, trouble.want) {
					t.Errorf("the alarm's errors are %v, want %v", err, trouble.want)
				}
				if told.count("good") != 1 || told.count("late") != 1 || slices.Index(told.keys, "good") > 1 {
					t.Errorf("told of %q", told.keys)
				}
				if late < 20*time.Second || late > 22*time.Second {
					t.Errorf("one whose lease ended after 20 s was told of after %v", late)
				}
			})
		})
	}
}

// The program ends in the function that is told. What it was to tell others of
// is told by the next one, at once.
func TestCrashInAFunctionDoesNotDelayOthers(t *testing.T) {
	s, told := newShelf(t), &tellings{}
	crash := make(chan struct{})
	defer close(crash)
	s.book.tell = func(_ context.Context, key string, _ *entry) error {
		told.add(key)
		if key == "poison" {
			<-crash // it never comes back
		}
		return nil
	}
	s.hold("poison", "a", 1000)
	s.hold("good", "a", 1000)
	s.now += 1000
	go s.book.alarm(context.Background())
	for told.count("poison") == 0 || told.count("good") == 0 {
		time.Sleep(time.Millisecond)
	}
	after := s.book
	after.mu.Lock()
	alarm := s.table.alarm
	after.mu.Unlock()
	if alarm == 0 || alarm > s.now+1000 {
		t.Errorf("while the function runs the next alarm is at noon%+d", alarm-noon)
	}
}

// Storage that goes on failing does not have the alarm ring in a loop, and
// nobody is told of by an alarm that could not put the entry off.
func TestAlarmWhoseStorageFailsBacksOff(t *testing.T) {
	for _, op := range []string{"put", "sweep", "watched"} {
		s := newShelf(t)
		keys := s.watching(fineBy)
		s.hold("k", "a", 1000)
		if op == "sweep" {
			s.book.tell = nil
			_, err := s.book.reserve(t.Context(), "r", request{owner: "a", ttl: 1000})
			s.want(err, nil)
		}
		s.now += 1000
		s.table.fault = failing(op)
		var pauses []int64
		for range 8 {
			s.table.alarm = 0
			if err := s.book.alarm(t.Context()); !errors.Is(err, errInjected) {
				t.Errorf("%s fails: %v", op, err)
			}
			pauses = append(pauses, s.table.alarm-s.now)
			s.now = max(s.table.alarm, s.now+1)
		}
		if !slices.Equal(pauses, []int64{1000, 2000, 4000, 8000, 16_000, 32_000, 32_000, 32_000}) {
			t.Errorf("%s fails: the alarm rings again after %d ms", op, pauses)
		}
		if op == "put" && len(*keys) != 0 {
			t.Errorf("told of %q, though it could not be put off", *keys)
		}
		s.table.fault = nil
		s.ring()
		if n := len(*keys); op != "sweep" && n == 0 || s.table.alarm <= s.now {
			t.Errorf("%s works again: told %d times, alarm at noon%+d", op, n, s.table.alarm-noon)
		}
	}
}

// Alarms that fail before they tell do not count: a holder is told of, however late.
func TestHolderIsToldOfHoweverManyAlarmsFail(t *testing.T) {
	for _, op := range []string{"setAlarm", "sweep", "put"} {
		s := newShelf(t)
		keys := s.watching(func(string) error { return errBoom })
		s.hold("k", "a", 1000)
		for range 12 {
			s.now += 3 * watchFor
			s.table.alarm, s.table.fault = 0, failing(op)
			s.book.alarm(t.Context())
			s.evict()
			keys2 := keys
			keys = s.watching(func(string) error { return errBoom })
			*keys = append(*keys, *keys2...)
			if len(*keys) > 0 {
				break // it was told of, though something else failed
			}
		}
		s.table.fault = nil
		for range 4 {
			s.now += 30 * 24 * watchFor
			s.book.alarm(t.Context())
		}
		if len(*keys) == 0 {
			t.Errorf("%s failed, and nobody was ever told", op)
		}
	}
}

// The platform gives an alarm up that has failed seven times. Whatever comes
// next sets it again: in a new instance, or in this one once that is overdue.
func TestWhateverComesNextSetsAnAlarmThatWasGivenUp(t *testing.T) {
	replay := func(s *shelf) { s.claim("b", 1000, 5000, dedupe.Replay) }
	for name, c := range map[string]struct {
		holds bool
		next  func(s *shelf)
	}{
		"a replay":            {false, replay},
		"a claim in progress": {true, func(s *shelf) { s.claim("b", 1000, 5000, dedupe.InProgress) }},
		"a claim of another":  {false, func(s *shelf) { s.hold("other", "a", 1000) }},
		"the same owner":      {true, func(s *shelf) { s.claim("a", 1000, 5000, dedupe.Acquired) }},
		"a second completion": {false, func(s *shelf) {
			e, _ := decodeEntry(s.table.rows["k"].record)
			s.want(s.book.complete(s.Context(), "k", holder{"a", e.number}, nil), nil)
		}},
		"a reservation": {false, func(s *shelf) {
			_, err := s.book.reserve(s.Context(), "other", request{owner: "a", ttl: 1000})
			s.want(err, nil)
		}},
	} {
		for _, evicted := range []bool{true, false} {
			s := newShelf(t)
			a := s.claim("a", 90_000, 100_000, dedupe.Acquired)
			if !c.holds {
				s.want(s.book.complete(t.Context(), "k", a.holder(), nil), nil)
			}
			s.table.alarm = 0 // given up
			if evicted {
				s.evict()
			} else {
				s.book.armed = s.now - overdue
			}
			c.next(s)
			if s.table.alarm == 0 || !s.table.alarmed(s.now) {
				t.Errorf("%s, evicted %v: no alarm is set", name, evicted)
			}
		}
	}
}

// A fresh instance asks when the alarm is, and does not set it anew.
func TestFreshInstanceDoesNotSetAnAlarmThatIsSet(t *testing.T) {
	s := newShelf(t)
	s.claim("a", 1000, 5000, dedupe.Acquired)
	s.evict()
	s.table.ops = nil
	s.claim("b", 1000, 5000, dedupe.InProgress)
	s.hold("later", "a", 1000)
	if slices.Contains(s.table.ops, "setAlarm") {
		t.Errorf("it did %v", s.table.ops)
	}
}

// What a user's transaction did is rolled back, and what the instance remembers
// of it is not believed.
func TestNothingIsRememberedOfATransaction(t *testing.T) {
	s := newShelf(t)
	inside := true
	s.book.section = func(context.Context) (bool, func(), error) { return inside, func() {}, nil }
	s.book.many = true
	s.claim("a", 1000, 1000, dedupe.Acquired)
	s.table.rows, s.table.alarm = map[string]fakeRow{}, 0
	inside = false
	s.claim("b", 1000, 5000, dedupe.Acquired)
	if !s.table.alarmed(s.now) {
		t.Errorf("the alarm is at %d", s.table.alarm)
	}
	s.now++
	s.forget() // the fence is stored
	s.claim("c", 1000, 5000, dedupe.Acquired)
	inside = true
	before := s.table.notes[markName]
	s.forget()
	s.table.notes[markName], s.table.rows, inside = before, map[string]fakeRow{}, false
	c := s.claim("d", 1000, 5000, dedupe.Acquired)
	s.now++
	s.forget()
	r, err := versioned(s.table.notes[markName], markVersion)
	if err != nil || r.number() < c.entry.number {
		t.Errorf("the fence that is stored is not that of the last record that was removed: %v", err)
	}
}

// Errors after a write are never definite, whatever their cause says; and so
// say those that cross the wire.
func TestErrorAfterAWriteIsNotDefinite(t *testing.T) {
	for _, cause := range []error{undone{ErrVersion}, undone{errInjected}, errInjected} {
		err := afterWrite(cause)
		if definite(err) || !errors.Is(err, cause) {
			t.Errorf("%v is definite", err)
		}
		if out, thrown := reply(nil, err); thrown == nil || out != nil {
			t.Errorf("%v becomes the answer %x", err, out)
		}
	}
	for _, op := range []string{"earliest", "alarmAt", "setAlarm"} {
		s := newShelf(t)
		s.book.table = undoneTable{s.table, op}
		_, err := s.book.claim(t.Context(), "k", request{owner: "a", lease: 1000, ttl: 1000})
		if err == nil || definite(err) || len(s.table.rows) != 1 {
			t.Errorf("%s fails: %v, %d records", op, err, len(s.table.rows))
		}
	}
}

// undoneTable is one of whose operations fails, and says that nothing was
// changed: true of itself, not of the step that it is part of.
type undoneTable struct {
	*fakeTable
	op string
}

func (u undoneTable) earliest(ctx context.Context, now int64) (int64, bool, error) {
	if u.op == "earliest" {
		return never, false, undone{ErrVersion}
	}
	return u.fakeTable.earliest(ctx, now)
}

func (u undoneTable) alarmAt(ctx context.Context) (int64, error) {
	if u.op == "alarmAt" {
		return 0, undone{ErrVersion}
	}
	return u.fakeTable.alarmAt(ctx)
}

func (u undoneTable) setAlarm(ctx context.Context, at int64) error {
	if u.op == "setAlarm" {
		return undone{ErrVersion}
	}
	return u.fakeTable.setAlarm(ctx, at)
}

// The texts of panics are the users'; those of other values are not printed.
func TestPanicBecomesAnError(t *testing.T) {
	s := newShelf(t)
	s.watching(func(string) error { panic(errors.New("its text")) })
	s.hold("k", "a", 1000)
	s.now += 1000
	if err := s.book.alarm(t.Context()); !errors.Is(err, errPanic) || !strings.Contains(err.Error(), "its text") {
		t.Errorf("%v", err)
	}
}

// A caller whose alarm failed gives up. Whoever comes next sees to it, even if
// there is nothing to write.
func TestDuplicatesSetTheAlarmThatFailed(t *testing.T) {
	for what, by := range map[string]func(s *shelf, owner string) error{
		"claim": func(s *shelf, owner string) error { _, err := s.claiming(owner, "", 5000)(s.book); return err },
		"next":  func(s *shelf, owner string) error { _, err := s.numbering("k", owner, "h")(s.book); return err },
		"reserve": func(s *shelf, owner string) error {
			_, err := s.book.reserve(s.Context(), "k", request{owner: owner, ttl: 5000})
			return err
		},
	} {
		s := newShelf(t)
		s.table.fault = func(_ int, op string) fault {
			if op == "setAlarm" {
				return fails
			}
			return fine
		}
		if err := by(s, "a"); !errors.Is(err, errInjected) {
			t.Errorf("%s, whose alarm fails: %v", what, err)
		}
		s.want(by(s, "b"), nil) // it is answered though the alarm fails again
		s.table.fault = nil
		s.want(by(s, "b"), nil)
		if s.table.alarm == 0 || !s.table.alarmed(s.now) {
			t.Errorf("a duplicate %s leaves the record without an alarm", what)
		}
		s.table.ops = nil
		s.want(by(s, "b"), nil)
		if slices.Contains(s.table.ops, "setAlarm") {
			t.Errorf("a duplicate %s sets the alarm again: %v", what, s.table.ops)
		}
	}
}

// Known mistake: an alarm that rings early by the object's clock is set for the
// same time again, which workerd loses.
func TestAlarmThatIsEarlyByTheObjectsClockIsSetForLater(t *testing.T) {
	s, told := newShelf(t), &tellings{}
	s.book.tell = func(_ context.Context, key string, _ *entry) error {
		told.add(key)
		return nil
	}
	now := s.book.clock()
	s.book.clock = func() int64 { return now }
	s.hold("k", "a", 1000)
	at := s.table.alarm
	now = at - 400
	s.table.alarm = 0 // the platform has none while it rings
	if err := s.book.alarm(section.WithScheduled(t.Context(), time.UnixMilli(at))); err != nil {
		t.Error(err)
	}
	if told.count("k") != 0 || s.table.alarm != at+400 {
		t.Errorf("told %d times; the alarm is at %d, want %d", told.count("k"), s.table.alarm, at+400)
	}
	now, at = at, s.table.alarm
	if err := s.book.alarm(section.WithScheduled(t.Context(), time.UnixMilli(at))); err != nil || told.count("k") != 1 {
		t.Errorf("told %d times, %v", told.count("k"), err)
	}
}
