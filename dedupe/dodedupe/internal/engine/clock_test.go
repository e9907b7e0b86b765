package engine

import (
	"testing"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
)

// Known mistake: a clock that was ahead lengthens leases. A lease from that
// time must end as if it were claimed when it is next read. A later lease must
// have its normal length. Both must hold over evictions.
func TestClockThatWasAheadLengthensNoLease(t *testing.T) {
	for _, ahead := range []int64{entry.ClockSlack + 1, 3_600_000, 30 * 86_400_000} {
		for _, evict := range []bool{false, true} {
			s := newFixture(t)
			claim := func(key, owner string, want dedupe.Outcome) entry.Answer {
				t.Helper()
				a, err := s.engine.Claim(t.Context(), key, entry.Request{Owner: owner, Lease: 30_000, TTL: 600_000})
				if err != nil || a.Outcome != want {
					t.Fatalf("%d ms ahead, evicted %v: %s by %s: %v, %v; want %v", ahead, evict, key, owner, a.Outcome, err, want)
				}
				return a
			}
			s.now += ahead
			first := claim("one", "a", dedupe.Acquired)
			done := claim("done", "a", dedupe.Acquired)
			s.want(s.engine.Complete(t.Context(), "done", holderOf(done), []byte("r")), nil)
			s.now -= ahead
			if evict {
				s.evict()
			}
			if a := claim("one", "b", dedupe.InProgress); a.RetryAfter > 30_000 {
				t.Errorf("retry after %d ms", a.RetryAfter)
			}
			claim("other", "a", dedupe.Acquired)
			if a := claim("done", "b", dedupe.Replay); a.Entry.Until > s.now+entry.ClockSlack {
				t.Errorf("completed in %d ms", a.Entry.Until-s.now)
			}
			if !s.backend.IsArmed(s.now) || s.backend.Alarm > s.now+700_000 {
				t.Errorf("the alarm is in %d ms", s.backend.Alarm-s.now)
			}
			s.now += 30_000
			if a := claim("one", "b", dedupe.Acquired); !a.Entry.TakenOver || a.Entry.Number <= first.Entry.Number {
				t.Errorf("%+v after fence %d", a.Entry, first.Entry.Number)
			}
			claim("other", "b", dedupe.Acquired)
		}
	}
}

// If the clock is set back by less than a minute, it stands still. Nothing that
// ended becomes valid again, and a lease is at most that much longer.
func TestClockThatIsALittleBehindStandsStill(t *testing.T) {
	s := newFixture(t)
	s.claim("a", 1000, 600_000, dedupe.Acquired)
	s.now += 1000
	s.claim("b", 1000, 600_000, dedupe.Acquired)
	s.now -= entry.ClockSlack - 1
	if a := s.claim("c", 1000, 600_000, dedupe.InProgress); a.RetryAfter != 1000 {
		t.Errorf("retry after %d ms", a.RetryAfter)
	}
	s.now += entry.ClockSlack + 1000
	s.claim("c", 1000, 600_000, dedupe.Acquired)
}

// A later attempt's lease has an upper limit, even if it was claimed by a clock
// that was ahead.
func TestLaterLeaseOfAClockThatWasAheadIsBounded(t *testing.T) {
	s := newFixture(t)
	a := s.claim("a", 1000, 30*86_400_000, dedupe.Acquired)
	s.want(s.engine.Release(t.Context(), "k", holderOf(a)), nil)
	s.now += 10 * 86_400_000
	s.claim("b", 30_000, 1, dedupe.Acquired)
	s.now -= 10 * 86_400_000
	if a := s.claim("c", 1000, 1, dedupe.InProgress); a.RetryAfter > entry.MaxLease {
		t.Errorf("retry after %d ms", a.RetryAfter)
	}
	s.now += entry.MaxLease
	s.claim("c", 1000, 1, dedupe.Acquired)
}
