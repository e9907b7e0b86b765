package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
)

// Known mistake: an older program removes newer records from the alarm's index.
// It must leave them whole, with their notices and expiry, whatever they are
// and whatever it is asked.
func TestOlderProgramLeavesNewerRecords(t *testing.T) {
	s := newFixture(t)
	s.notifying(fineBy)
	var whole [][]byte
	for n := range 3 * noticeLimit {
		s.hold(fmt.Sprint(n), "a", 1000)
	}
	for key, row := range s.backend.Rows {
		row.Record = slices.Clone(row.Record)
		row.Record[0] = entry.Version + 1
		s.backend.Rows[key] = row
		whole = append(whole, row.Record)
	}
	s.now += 1000
	s.evict()
	s.notifying(func(key string) error { t.Errorf("the older program reports %s", key); return nil })
	s.hold("its own", "a", 500_000)
	for range 10 {
		s.ring()
		if _, err := s.engine.Claim(t.Context(), "1", entry.Request{Owner: "b", Lease: 1, TTL: 1}); !errors.Is(err, codec.ErrVersion) || !effect.Definite(err) {
			t.Errorf("a claim: %v", err)
		}
	}
	left := 0
	for _, row := range s.backend.Rows {
		if slices.ContainsFunc(whole, func(b []byte) bool { return bytes.Equal(b, row.Record) }) && row.Notify && row.Due < entry.Never {
			left++
		}
	}
	if left != 3*noticeLimit || s.backend.Alarm > s.now+entry.NewerRetry {
		t.Errorf("%d of %d are unchanged, the alarm is in %d ms", left, 3*noticeLimit, s.backend.Alarm-s.now)
	}
	for key, row := range s.backend.Rows { // back to the newer program
		if row.Record[0] == entry.Version+1 {
			row.Record[0] = entry.Version
			s.backend.Rows[key] = row
		}
	}
	s.evict()
	keys := s.notifying(fineBy)
	for range 10 {
		s.now = max(s.now, min(s.backend.Alarm, s.now+entry.NewerRetry))
		s.ring()
	}
	if len(*keys) != 3*noticeLimit {
		t.Errorf("reported %d of %d holders", len(*keys), 3*noticeLimit)
	}
}

// notifying makes the engine report holders to tell. It returns the keys that
// were reported.
func (s *fixture) notifying(tell func(key string) error) *[]string {
	keys := &[]string{}
	var mu sync.Mutex
	s.engine.Notify = func(_ context.Context, key string, _ *entry.Entry) error {
		mu.Lock()
		*keys = append(*keys, key)
		mu.Unlock()
		return tell(key)
	}
	return keys
}

func (s *fixture) hold(key, owner string, lease int64) entry.Holder {
	s.Helper()
	a, err := s.engine.Claim(s.Context(), key, entry.Request{Owner: owner, Lease: lease, TTL: 24 * 60 * 60 * 1000})
	if err != nil || a.Outcome != dedupe.Acquired {
		s.Fatalf("%v, %v", a.Outcome, err)
	}
	return holderOf(a)
}

func fineBy(string) error { return nil }

func TestHolderIsReportedOnce(t *testing.T) {
	s := newFixture(t)
	keys := s.notifying(fineBy)
	s.hold("k", "a", 1000)
	if s.backend.Alarm != noon+1000 {
		t.Errorf("the alarm is set for noon%+d", s.backend.Alarm-noon)
	}
	s.now += 999
	s.ring()
	if len(*keys) > 0 || s.backend.Alarm != noon+1000 {
		t.Errorf("too early: %q, alarm at noon%+d", *keys, s.backend.Alarm-noon)
	}
	s.now++
	for range 3 {
		s.ring()
	}
	if !slices.Equal(*keys, []string{"k"}) {
		t.Errorf("reported: %q", *keys)
	}
}

func TestLiveHolderIsNotReported(t *testing.T) {
	for what, live := range map[string]func(s *fixture, h entry.Holder) error{
		"completes": func(s *fixture, h entry.Holder) error { return s.engine.Complete(s.Context(), "k", h, nil) },
		"releases":  func(s *fixture, h entry.Holder) error { return s.engine.Release(s.Context(), "k", h) },
		"extends":   func(s *fixture, h entry.Holder) error { return s.engine.Extend(s.Context(), "k", h, 5000) },
		"is forgotten": func(s *fixture, h entry.Holder) error {
			s.now++
			return s.engine.Forget(s.Context(), "k", entry.Found{What: entry.Readable, Fence: h.Fence})
		},
	} {
		s := newFixture(t)
		keys := s.notifying(fineBy)
		h := s.hold("k", "a", 1000)
		s.want(live(s, h), nil)
		s.now += 1000
		s.ring()
		if len(*keys) > 0 {
			t.Errorf("a claim that %s was reported", what)
		}
		if row, ok := s.backend.Rows["k"]; ok {
			if _, err := entry.Decode(row.Record); err != nil {
				t.Errorf("a claim that %s leaves a record: %v", what, err)
			}
		}
	}
}

func TestLateExtendIsReportedAgain(t *testing.T) {
	s := newFixture(t)
	keys := s.notifying(fineBy)
	h := s.hold("k", "a", 1000)
	s.now += 1000
	s.ring()
	s.want(s.engine.Extend(t.Context(), "k", h, 1000), nil)
	s.ring()
	if len(*keys) != 1 {
		t.Errorf("reported %d times", len(*keys))
	}
	s.now += 1000
	s.ring()
	if len(*keys) != 2 {
		t.Errorf("reported %d times", len(*keys))
	}
}

// A function that fails is called again, less and less often, for an hour. The
// alarm returns its error.
func TestFailedNoticeIsRepeatedForAnHour(t *testing.T) {
	s, boom := newFixture(t), errors.New("boom")
	var at []int64
	keys := s.notifying(func(string) error { at = append(at, s.now-noon-1000); return boom })
	s.hold("k", "a", 1000)
	for range 100 {
		s.now = max(s.now, s.backend.Alarm)
		before := len(*keys)
		err := s.engine.Alarm(t.Context())
		switch {
		case len(*keys) == before && err != nil:
			t.Fatal(err)
		case len(*keys) == before: // the window has ended
			if last := at[len(at)-1]; last < noticePeriod || last > 2*noticePeriod || len(at) > 20 {
				t.Errorf("notices after %d ms", at)
			}
			if !slices.Equal(at[:5], []int64{0, 1000, 2000, 4000, 8000}) {
				t.Errorf("notices after %d ms", at[:5])
			}
			return
		case !errors.Is(err, boom):
			t.Fatalf("the alarm's error is %v", err)
		}
		s.evict()
		s.engine.Notify = func(context.Context, string, *entry.Entry) error {
			*keys = append(*keys, "k")
			at = append(at, s.now-noon-1000)
			return boom
		}
	}
	t.Error("the notices never end")
}

// Failures must not prevent the notices of others.
func TestFailuresDoNotStarveOthers(t *testing.T) {
	s := newFixture(t)
	keys := s.notifying(func(key string) error {
		if key == "good" {
			return nil
		}
		return errors.New("boom")
	})
	for n := range 3 * noticeLimit {
		s.hold("bad "+strconv.Itoa(n), "a", 1000)
	}
	s.hold("good", "a", 1001)
	s.now += 1001
	for range 4 {
		s.engine.Alarm(t.Context())
		if s.backend.Alarm > s.now+1000 {
			t.Errorf("the next alarm is in %d ms", s.backend.Alarm-s.now)
		}
	}
	if !slices.Contains(*keys, "good") || len(*keys) != 3*noticeLimit+1 {
		t.Errorf("reported %d holders", len(*keys))
	}
}

// The alarm's error contains all failures.
func TestAlarmThatFailsTwiceSaysBoth(t *testing.T) {
	s, boom := newFixture(t), errors.New("boom")
	s.notifying(func(string) error { return boom })
	s.hold("k", "a", 1000)
	s.now += 1000
	s.backend.Plan = faulty.Failing("sweep")
	if err := s.engine.Alarm(t.Context()); !errors.Is(err, boom) || !errors.Is(err, faulty.ErrInjected) {
		t.Errorf("%v, want both", err)
	}
}

// An entry whose window ends with its lease is reported before it is removed.
func TestHolderIsReportedAfterItsWindow(t *testing.T) {
	s, failure := newFixture(t), errors.New("fails")
	keys := s.notifying(func(string) error { err := failure; failure = nil; return err })
	s.claim("a", 1000, 10, dedupe.Acquired)
	s.now += 1000
	if err := s.engine.Alarm(t.Context()); err == nil || len(s.backend.Rows) != 1 {
		t.Errorf("%v, %d rows", err, len(s.backend.Rows))
	}
	s.now += 1000
	s.ring()
	s.ring()
	if len(*keys) != 2 || len(s.backend.Rows) > 0 {
		t.Errorf("reported %q, %d rows are left", *keys, len(s.backend.Rows))
	}
}

// A program without OnExpired removes entries that are due for a notice.
func TestEntriesAreRemovedWithoutOnExpired(t *testing.T) {
	s := newFixture(t)
	s.notifying(fineBy)
	s.claim("a", 1000, 2000, dedupe.Acquired)
	s.evict()
	s.now += 1000
	s.ring()
	s.now += 1000
	s.ring()
	if len(s.backend.Rows) > 0 {
		t.Errorf("%d rows are left", len(s.backend.Rows))
	}
}

// A corrupt record that is due for a notice is left unchanged, and gets no
// alarm of its own.
func TestCorruptRecordDueForANoticeIsLeftAlone(t *testing.T) {
	s := newFixture(t)
	keys := s.notifying(fineBy)
	corrupt := []byte{entry.Version, 9, 9}
	s.backend.Rows["k"] = faulty.Row{Record: corrupt, Notify: true, Due: noon}
	s.ring()
	if row := s.backend.Rows["k"]; !slices.Equal(row.Record, corrupt) || row.Due != entry.Never || len(*keys) > 0 || s.backend.Alarm != 0 {
		t.Errorf("%+v, reported %q, alarm at %d", row, *keys, s.backend.Alarm)
	}
}

// A claim can be taken over while it is being reported. Then it is not changed.
func TestClaimTakenOverDuringItsNotice(t *testing.T) {
	s := newFixture(t)
	s.hold("k", "a", 1000)
	var next entry.Holder
	s.notifying(func(string) error {
		if next.Owner == "" {
			next = s.hold("k", "b", 5000)
		}
		return errors.New("fails")
	})
	s.hold("k", "a", 1000) // with a notice
	s.want(s.engine.Extend(t.Context(), "k", s.hold("k", "a", 1000), 1001), nil)
	s.now += 1001
	s.engine.Alarm(t.Context())
	e, err := entry.Decode(s.backend.Rows["k"].Record)
	if err != nil || !e.HeldBy(next) || e.NotifyAt != e.Until || e.Until != s.now+5000 {
		t.Errorf("%+v, %v", e, err)
	}
}
