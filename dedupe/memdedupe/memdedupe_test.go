package memdedupe_test

import (
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/dedupe/memdedupe"
)

func TestLedger(t *testing.T) {
	dedupetest.TestLedger(t, func(*testing.T) dedupe.Ledger { return memdedupe.NewLedger(nil) })
}

func TestSequencer(t *testing.T) {
	dedupetest.TestSequencer(t, func(*testing.T) dedupe.Sequencer { return memdedupe.NewSequencer(nil) })
}

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

// The clock is a month ahead for a moment. A lease given in that moment ends as
// if it were given after the clock is corrected. Other leases do not change,
// and fences still grow.
func TestClockThatWasAhead(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	l := memdedupe.NewLedger(func() time.Time { return now })
	claim := func(key, owner string, want dedupe.Outcome) dedupe.Claim {
		t.Helper()
		c, err := l.Claim(t.Context(), []byte(key), dedupe.ClaimOptions{Owner: owner, Lease: 30 * time.Second, TTL: time.Hour})
		if err != nil || c.Outcome != want {
			t.Fatalf("%s by %s: %v, %v", key, owner, c.Outcome, err)
		}
		return c
	}
	const month = 30 * 24 * time.Hour
	now = now.Add(month)
	first := claim("one", "a", dedupe.Acquired)
	now = now.Add(-month)
	if c := claim("one", "b", dedupe.InProgress); c.RetryAfter > 30*time.Second {
		t.Errorf("retry after %v of a lease of 30 s", c.RetryAfter)
	}
	claim("other", "a", dedupe.Acquired)
	now = now.Add(30 * time.Second)
	if c := claim("one", "b", dedupe.Acquired); c.Fence <= first.Fence || !c.TakenOver {
		t.Errorf("%+v", c)
	}
	claim("other", "b", dedupe.Acquired)
}
