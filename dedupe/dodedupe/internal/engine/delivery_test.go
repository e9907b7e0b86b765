package engine

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

	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
)

// notices records the calls of a user's function, in order.
type notices struct {
	mu   sync.Mutex
	keys []string
}

func (l *notices) add(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys = append(l.keys, key)
}

func (l *notices) count(key string) (n int) {
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

// troubles are what a user's function may do instead of returning nil. None of
// them delays another holder's notice or another alarm.
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

// The function misbehaves for one key, whose lease ends first. The other
// holders must be reported at once and the next alarm set. The alarm returns
// the function's error, and the key is reported again.
func TestFailingNoticeDoesNotDelayOthers(t *testing.T) {
	for name, trouble := range troubles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, reported := newFixture(t), &notices{}
				s.engine.Clock = func() int64 { return time.Now().UnixMilli() }
				begin, end := time.Now(), make(chan struct{})
				defer close(end)
				var late time.Duration
				s.engine.Notify = func(ctx context.Context, key string, _ *entry.Entry) error {
					reported.add(key)
					if key == "poison" && reported.count(key) == 1 {
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
				s.want(s.engine.Extend(t.Context(), "late", h, 20_000), nil)
				var errs []error
				// The platform delivers one alarm after the other.
				for reported.count("late") == 0 || reported.count("poison") < 2 {
					if s.backend.Alarm == 0 {
						t.Fatalf("no alarm is set, notices: %q", reported.keys)
					}
					time.Sleep(time.Until(time.UnixMilli(s.backend.Alarm)))
					errs = append(errs, s.engine.Alarm(context.Background()))
				}
				if err := errors.Join(errs...); !errors.Is(err, trouble.want) {
					t.Errorf("the alarm's errors are %v, want %v", err, trouble.want)
				}
				if reported.count("good") != 1 || reported.count("late") != 1 || slices.Index(reported.keys, "good") > 1 {
					t.Errorf("reported %q", reported.keys)
				}
				if late < 20*time.Second || late > 22*time.Second {
					t.Errorf("a holder whose lease ended after 20 s was reported after %v", late)
				}
			})
		})
	}
}

// The program crashes in a call of the function. The next program must report
// the remaining holders at once.
func TestCrashInAFunctionDoesNotDelayOthers(t *testing.T) {
	s, reported := newFixture(t), &notices{}
	crash := make(chan struct{})
	defer close(crash)
	s.engine.Notify = func(_ context.Context, key string, _ *entry.Entry) error {
		reported.add(key)
		if key == "poison" {
			<-crash // never returns
		}
		return nil
	}
	s.hold("poison", "a", 1000)
	s.hold("good", "a", 1000)
	s.now += 1000
	go s.engine.Alarm(context.Background())
	for reported.count("poison") == 0 || reported.count("good") == 0 {
		time.Sleep(time.Millisecond)
	}
	after := s.engine
	after.mu.Lock()
	alarm := s.backend.Alarm
	after.mu.Unlock()
	if alarm == 0 || alarm > s.now+1000 {
		t.Errorf("while the function runs the next alarm is at noon%+d", alarm-noon)
	}
}

// Alarms that fail before they report a holder do not count: the holder is
// still reported, however late.
func TestHolderIsReportedAfterFailedAlarms(t *testing.T) {
	for _, op := range []string{"setAlarm", "sweep", "put"} {
		s := newFixture(t)
		keys := s.notifying(func(string) error { return errBoom })
		s.hold("k", "a", 1000)
		for range 12 {
			s.now += 3 * noticePeriod
			s.backend.Alarm, s.backend.Plan = 0, faulty.Failing(op)
			s.engine.Alarm(t.Context())
			s.evict()
			keys2 := keys
			keys = s.notifying(func(string) error { return errBoom })
			*keys = append(*keys, *keys2...)
			if len(*keys) > 0 {
				break // it was reported, although something else failed
			}
		}
		s.backend.Plan = nil
		for range 4 {
			s.now += 30 * 24 * noticePeriod
			s.engine.Alarm(t.Context())
		}
		if len(*keys) == 0 {
			t.Errorf("%s failed, and the holder was never reported", op)
		}
	}
}

// The texts of panics belong to users. Values of other types are not printed.
func TestPanicBecomesAnError(t *testing.T) {
	s := newFixture(t)
	s.notifying(func(string) error { panic(errors.New("its text")) })
	s.hold("k", "a", 1000)
	s.now += 1000
	if err := s.engine.Alarm(t.Context()); !errors.Is(err, errPanic) || !strings.Contains(err.Error(), "its text") {
		t.Errorf("%v", err)
	}
}
