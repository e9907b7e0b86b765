package memdedupe_test

import (
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/dedupe/memdedupe"
)

func newStore(*testing.T) dedupe.Store { return memdedupe.NewStore(nil) }

func TestStore(t *testing.T)  { dedupetest.TestStore(t, newStore) }
func TestHammer(t *testing.T) { dedupetest.Hammer(t, newStore) }

func TestClockDoesNotRunBackwards(t *testing.T) {
	now := time.Unix(1000, 0)
	m := memdedupe.NewStore(func() time.Time { return now })
	put := func(ttl time.Duration, want bool) {
		t.Helper()
		if got, err := m.PutIfAbsent(t.Context(), []byte("key"), ttl); got != want || err != nil {
			t.Errorf("at %v: %v, %v", now, got, err)
		}
	}
	put(time.Second, true)
	now = now.Add(time.Second)
	put(time.Second, true)
	now = now.Add(-time.Hour)
	put(time.Second, false)
	if err := m.Forget(t.Context(), []byte("key")); err != nil {
		t.Error(err)
	}
	put(time.Second, true) // expires at 1002 s, although the clock shows an hour less
	now = time.Unix(1001, 999e6)
	put(time.Second, false)
	now = time.Unix(1002, 0)
	put(time.Second, true)
}
