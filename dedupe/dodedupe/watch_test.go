//go:build !js

package dodedupe

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"

	"flow.internal/capdo/dedupe"
)

// watching has the shelf's book tell of holders, and returns the keys that it tells of.
func (s *shelf) watching(tell func(key string) error) *[]string {
	keys := &[]string{}
	var mu sync.Mutex
	s.book.tell = func(_ context.Context, key string, _ *entry) error {
		mu.Lock()
		*keys = append(*keys, key)
		mu.Unlock()
		return tell(key)
	}
	return keys
}

func (s *shelf) hold(key, owner string, lease int64) holder {
	s.Helper()
	a, err := s.book.claim(s.Context(), key, request{owner: owner, lease: lease, ttl: 24 * 60 * 60 * 1000})
	if err != nil || a.outcome != dedupe.Acquired {
		s.Fatalf("%v, %v", a.outcome, err)
	}
	return a.holder()
}

func fineBy(string) error { return nil }

func TestHolderIsToldOfOnceWhenItsLeaseIsOver(t *testing.T) {
	s := newShelf(t)
	keys := s.watching(fineBy)
	s.hold("k", "a", 1000)
	if s.table.alarm != noon+1000 {
		t.Errorf("the alarm is set for noon%+d", s.table.alarm-noon)
	}
	s.now += 999
	s.ring()
	if len(*keys) > 0 || s.table.alarm != noon+1000 {
		t.Errorf("too early: %q, alarm at noon%+d", *keys, s.table.alarm-noon)
	}
	s.now++
	for range 3 {
		s.ring()
	}
	if !slices.Equal(*keys, []string{"k"}) {
		t.Errorf("told of %q", *keys)
	}
}

func TestHolderThatLivesIsNotToldOf(t *testing.T) {
	for what, live := range map[string]func(s *shelf, h holder) error{
		"completes": func(s *shelf, h holder) error { return s.book.complete(s.Context(), "k", h, nil) },
		"releases":  func(s *shelf, h holder) error { return s.book.release(s.Context(), "k", h) },
		"extends":   func(s *shelf, h holder) error { return s.book.extend(s.Context(), "k", h, 5000) },
		"is forgotten": func(s *shelf, h holder) error {
			s.now++
			return s.book.forget(s.Context(), "k", lookFence, h.fence)
		},
	} {
		s := newShelf(t)
		keys := s.watching(fineBy)
		h := s.hold("k", "a", 1000)
		s.want(live(s, h), nil)
		s.now += 1000
		s.ring()
		if len(*keys) > 0 {
			t.Errorf("one that %s is told of", what)
		}
		if row, ok := s.table.rows["k"]; ok {
			if _, err := decodeEntry(row.record); err != nil {
				t.Errorf("one that %s leaves a record: %v", what, err)
			}
		}
	}
}

func TestHolderThatIsLateButLivesIsWatchedAgain(t *testing.T) {
	s := newShelf(t)
	keys := s.watching(fineBy)
	h := s.hold("k", "a", 1000)
	s.now += 1000
	s.ring()
	s.want(s.book.extend(t.Context(), "k", h, 1000), nil)
	s.ring()
	if len(*keys) != 1 {
		t.Errorf("told %d times", len(*keys))
	}
	s.now += 1000
	s.ring()
	if len(*keys) != 2 {
		t.Errorf("told %d times", len(*keys))
	}
}

// A function that fails is called again, less and less often, for an hour, and its error is the alarm's.
func TestFailureIsToldOfAgainForAnHour(t *testing.T) {
	s, boom := newShelf(t), errors.New("boom")
	var at []int64
	keys := s.watching(func(string) error { at = append(at, s.now-noon-1000); return boom })
	s.hold("k", "a", 1000)
	for range 100 {
		s.now = max(s.now, s.table.alarm)
		told := len(*keys)
		err := s.book.alarm(t.Context())
		switch {
		case len(*keys) == told && err != nil:
			t.Fatal(err)
		case len(*keys) == told: // the window is over
			if last := at[len(at)-1]; last < watchFor || last > 2*watchFor || len(at) > 20 {
				t.Errorf("told after %d ms", at)
			}
			if !slices.Equal(at[:5], []int64{0, 1000, 2000, 4000, 8000}) {
				t.Errorf("told after %d ms", at[:5])
			}
			return
		case !errors.Is(err, boom):
			t.Fatalf("the alarm's error is %v", err)
		}
		s.evict()
		s.book.tell = func(context.Context, string, *entry) error {
			*keys = append(*keys, "k")
			at = append(at, s.now-noon-1000)
			return boom
		}
	}
	t.Error("it goes on for ever")
}

// Failures do not keep others from their turn.
func TestFailuresDoNotStarveOthers(t *testing.T) {
	s := newShelf(t)
	keys := s.watching(func(key string) error {
		if key == "good" {
			return nil
		}
		return errors.New("boom")
	})
	for n := range 3 * watchLimit {
		s.hold("bad "+strconv.Itoa(n), "a", 1000)
	}
	s.hold("good", "a", 1001)
	s.now += 1001
	for range 4 {
		s.book.alarm(t.Context())
		if s.table.alarm > s.now+1000 {
			t.Errorf("the next alarm is in %d ms", s.table.alarm-s.now)
		}
	}
	if !slices.Contains(*keys, "good") || len(*keys) != 3*watchLimit+1 {
		t.Errorf("told of %d holders", len(*keys))
	}
}

// The alarm's error has all that failed.
func TestAlarmThatFailsTwiceSaysBoth(t *testing.T) {
	s, boom := newShelf(t), errors.New("boom")
	s.watching(func(string) error { return boom })
	s.hold("k", "a", 1000)
	s.now += 1000
	s.table.fault = func(_ int, op string) fault {
		if op == "sweep" {
			return fails
		}
		return fine
	}
	if err := s.book.alarm(t.Context()); !errors.Is(err, boom) || !errors.Is(err, errInjected) {
		t.Errorf("%v, want both", err)
	}
}

// An entry whose window ends with its lease is told of before it is removed.
func TestHolderIsToldOfThoughItsWindowIsOver(t *testing.T) {
	s, fails := newShelf(t), errors.New("fails")
	keys := s.watching(func(string) error { err := fails; fails = nil; return err })
	s.claim("a", 1000, 10, dedupe.Acquired)
	s.now += 1000
	if err := s.book.alarm(t.Context()); err == nil || len(s.table.rows) != 1 {
		t.Errorf("%v, %d rows", err, len(s.table.rows))
	}
	s.now += 1000
	s.ring()
	s.ring()
	if len(*keys) != 2 || len(s.table.rows) > 0 {
		t.Errorf("told of %q, %d rows are left", *keys, len(s.table.rows))
	}
}

// A program that tells nobody removes what an earlier one watched.
func TestWatchedEntriesOfAProgramThatTellsNobodyAreRemoved(t *testing.T) {
	s := newShelf(t)
	s.watching(fineBy)
	s.claim("a", 1000, 2000, dedupe.Acquired)
	s.evict()
	s.now += 1000
	s.ring()
	s.now += 1000
	s.ring()
	if len(s.table.rows) > 0 {
		t.Errorf("%d rows are left", len(s.table.rows))
	}
}

// A watched record that is corrupt is left as it is, and has no alarm of its own.
func TestWatchedRecordThatIsCorruptIsLeftAlone(t *testing.T) {
	s := newShelf(t)
	keys := s.watching(fineBy)
	corrupt := []byte{entryVersion, 9, 9}
	s.table.rows["k"] = fakeRow{corrupt, true, noon}
	s.ring()
	if row := s.table.rows["k"]; !slices.Equal(row.record, corrupt) || row.due != never || len(*keys) > 0 || s.table.alarm != 0 {
		t.Errorf("%+v, told of %q, alarm at %d", row, *keys, s.table.alarm)
	}
}

// While it is told of, the claim can be taken over, and is then not touched.
func TestClaimThatMovesOnWhileItIsToldOfIsNotTouched(t *testing.T) {
	s := newShelf(t)
	s.hold("k", "a", 1000)
	var next holder
	s.watching(func(string) error {
		if next.owner == "" {
			next = s.hold("k", "b", 5000)
		}
		return errors.New("fails")
	})
	s.hold("k", "a", 1000) // watched from now on
	s.want(s.book.extend(t.Context(), "k", s.hold("k", "a", 1000), 1001), nil)
	s.now += 1001
	s.book.alarm(t.Context())
	e, err := decodeEntry(s.table.rows["k"].record)
	if err != nil || !e.holds(next) || e.watch != e.until || e.until != s.now+5000 {
		t.Errorf("%+v, %v", e, err)
	}
}
