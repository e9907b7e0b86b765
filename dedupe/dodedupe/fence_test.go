//go:build !js

package dodedupe

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"flow.internal/capdo/dedupe"
)

// Known mistake: a fence that grows in memory only. The record is gone, by
// Forget or by its end, the instance is another, and its clock is behind.
func TestFencesGrowOverEvictionAndForgetting(t *testing.T) {
	gone := map[string]func(s *shelf){
		"forgotten": (*shelf).forget,
		"expired":   func(s *shelf) { s.now += 2000; s.ring(); s.ring() },
		"forgotten, unreadable": func(s *shelf) {
			row := s.table.rows["k"]
			row.record = slices.Clone(row.record)
			row.record[0] = entryVersion + 1
			s.table.rows["k"] = row
			s.forget()
		},
		"expired, of a newer program": func(s *shelf) {
			row := s.table.rows["k"]
			row.record = slices.Clone(row.record)
			row.record[0] = entryVersion + 1
			s.table.rows["k"] = row
			s.now += 2000
			s.ring()
		},
	}
	for name, remove := range gone {
		for _, many := range []bool{true, false} {
			for _, behind := range []int64{0, 3, 1000, 59_000} {
				s := newShelf(t)
				s.book.many = many
				a := s.claim("a", 1000, 1000, dedupe.Acquired)
				for range 5 { // fences ahead of the clock
					s.want(s.book.release(t.Context(), "k", a.holder()), nil)
					a = s.claim("a", 1000, 1000, dedupe.Acquired)
				}
				remove(s)
				if _, ok := s.table.rows["k"]; ok {
					t.Fatalf("%s: the record is there", name)
				}
				s.evict()
				s.book.many = many
				s.now = noon - behind
				if b := s.claim("b", 1000, 1000, dedupe.Acquired); b.entry.number <= a.entry.number {
					t.Errorf("%s, many %v, %d ms behind: fence %d after %d", name, many, behind, b.entry.number, a.entry.number)
				}
			}
		}
	}
}

// A bucket that keeps other records keeps the fence whatever the clock does.
func TestFenceOfABucketDoesNotDependOnTheClock(t *testing.T) {
	s := newShelf(t)
	s.hold("other", "a", 1000)
	a := s.claim("a", 1000, 1000, dedupe.Acquired)
	s.now += 3_600_000
	s.forget()
	s.evict()
	s.now = noon - 40*86_400_000
	if b := s.claim("b", 1000, 1000, dedupe.Acquired); b.entry.number <= a.entry.number {
		t.Errorf("fence %d after %d", b.entry.number, a.entry.number)
	}
}

// A fence that cannot be read, because a newer program wrote it, lets nobody
// claim rather than be given again.
func TestFenceOfANewerProgramIsNotGuessed(t *testing.T) {
	for want, value := range map[error][]byte{ErrVersion: {markVersion + 1, 1}, ErrCorrupt: {}} {
		s := newShelf(t)
		s.table.notes[markName] = value
		_, err := s.book.claim(t.Context(), "k", request{owner: "a", lease: 1, ttl: 1})
		if !errors.Is(err, want) || !definite(err) || len(s.table.rows) != 0 || !bytes.Equal(s.table.notes[markName], value) {
			t.Errorf("%v, want %v; %d records", err, want, len(s.table.rows))
		}
	}
}

// Known mistake: a clock that was ahead lengthens leases. What was claimed
// meanwhile ends as if it was claimed when it is next looked at; what is
// claimed after is as long as it says; and all of it over evictions.
func TestClockThatWasAheadLengthensNoLease(t *testing.T) {
	for _, ahead := range []int64{clockSlack + 1, 3_600_000, 30 * 86_400_000} {
		for _, evict := range []bool{false, true} {
			s := newShelf(t)
			claim := func(key, owner string, want dedupe.Outcome) answer {
				t.Helper()
				a, err := s.book.claim(t.Context(), key, request{owner: owner, lease: 30_000, ttl: 600_000})
				if err != nil || a.outcome != want {
					t.Fatalf("%d ms ahead, evicted %v: %s by %s: %v, %v; want %v", ahead, evict, key, owner, a.outcome, err, want)
				}
				return a
			}
			s.now += ahead
			first := claim("one", "a", dedupe.Acquired)
			done := claim("done", "a", dedupe.Acquired)
			s.want(s.book.complete(t.Context(), "done", done.holder(), []byte("r")), nil)
			s.now -= ahead
			if evict {
				s.evict()
			}
			if a := claim("one", "b", dedupe.InProgress); a.retryAfter > 30_000 {
				t.Errorf("retry after %d ms", a.retryAfter)
			}
			claim("other", "a", dedupe.Acquired)
			if a := claim("done", "b", dedupe.Replay); a.entry.until > s.now+clockSlack {
				t.Errorf("completed in %d ms", a.entry.until-s.now)
			}
			if !s.table.alarmed(s.now) || s.table.alarm > s.now+700_000 {
				t.Errorf("the alarm is in %d ms", s.table.alarm-s.now)
			}
			s.now += 30_000
			if a := claim("one", "b", dedupe.Acquired); !a.entry.takenOver || a.entry.number <= first.entry.number {
				t.Errorf("%+v after fence %d", a.entry, first.entry.number)
			}
			claim("other", "b", dedupe.Acquired)
		}
	}
}

// Set back by less than a minute, the clock stands still: nothing that was over
// counts again, and a lease is longer by that at most.
func TestClockThatIsALittleBehindStandsStill(t *testing.T) {
	s := newShelf(t)
	s.claim("a", 1000, 600_000, dedupe.Acquired)
	s.now += 1000
	s.claim("b", 1000, 600_000, dedupe.Acquired)
	s.now -= clockSlack - 1
	if a := s.claim("c", 1000, 600_000, dedupe.InProgress); a.retryAfter != 1000 {
		t.Errorf("retry after %d ms", a.retryAfter)
	}
	s.now += clockSlack + 1000
	s.claim("c", 1000, 600_000, dedupe.Acquired)
}

// A later attempt's lease is not known to be shorter than a lease may be.
func TestLaterLeaseOfAClockThatWasAheadIsBounded(t *testing.T) {
	s := newShelf(t)
	a := s.claim("a", 1000, 30*86_400_000, dedupe.Acquired)
	s.want(s.book.release(t.Context(), "k", a.holder()), nil)
	s.now += 10 * 86_400_000
	s.claim("b", 30_000, 1, dedupe.Acquired)
	s.now -= 10 * 86_400_000
	if a := s.claim("c", 1000, 1, dedupe.InProgress); a.retryAfter > maxLease {
		t.Errorf("retry after %d ms", a.retryAfter)
	}
	s.now += maxLease
	s.claim("c", 1000, 1, dedupe.Acquired)
}

// Known mistake: a takeover beyond the window that looks fresh, of an object
// with an alarm that tells, late or not.
func TestTakeoverBeyondTheWindowIsKnown(t *testing.T) {
	for _, tells := range []bool{true, false} {
		for _, late := range []int64{0, 99, 100, 3_600_000} {
			s := newShelf(t)
			if tells {
				s.watching(fineBy)
			}
			ask := func(owner, fingerprint string) (answer, error) {
				return s.book.claim(t.Context(), "k", request{owner: owner, fingerprint: fingerprint, lease: 30_000, ttl: 1000})
			}
			a, err := ask("a", "1")
			s.want(err, nil)
			s.want(s.book.extend(t.Context(), "k", a.holder(), 60_000), nil)
			s.now += 60_000 + late
			known := tells || late < dedupe.KeptAfter(1000) // an alarm that has not rung has nobody forgotten
			_, mismatch := ask("b", "2")
			if errors.Is(mismatch, dedupe.ErrMismatch) != known {
				t.Errorf("another fingerprint %d ms later: %v", late, mismatch)
			}
			if !known {
				continue
			}
			if b, err := ask("b", "1"); err != nil || !b.entry.takenOver || b.entry.attempt != 2 {
				t.Errorf("%d ms later, tells %v: taken over %v, attempt %d, %v", late, tells, b.entry.takenOver, b.entry.attempt, err)
			}
		}
	}
}

// What a late attempt stores is kept for a tenth of the TTL at least.
func TestResultOfALateAttemptIsKept(t *testing.T) {
	const day = 86_400_000
	for _, before := range []int64{1, 1000, day / 10, day / 2} { // the end of the window
		s := newShelf(t)
		a := s.claim("a", 30_000, day, dedupe.Acquired)
		s.want(s.book.release(t.Context(), "k", a.holder()), nil)
		s.now += day - before
		b := s.claim("b", 30_000, day, dedupe.Acquired)
		s.now += 1000
		s.want(s.book.complete(t.Context(), "k", b.holder(), []byte("r")), nil)
		kept := max(noon+day, s.now+day/10)
		for _, at := range []int64{s.now + 29_001, kept - 1} {
			s.now = at
			s.evict()
			s.claim("c", 30_000, day, dedupe.Replay)
		}
		s.now = kept
		if c := s.claim("c", 30_000, day, dedupe.Acquired); c.entry.attempt != 1 {
			t.Errorf("%d ms before the end: %+v", before, c.entry)
		}
	}
}

// Known mistake: an older program unhooks newer records. It leaves them whole,
// watched and expiring, whatever they are and whatever it is asked.
func TestOlderProgramLeavesNewerRecords(t *testing.T) {
	s := newShelf(t)
	s.watching(fineBy)
	var whole [][]byte
	for n := range 3 * watchLimit {
		s.hold(fmt.Sprint(n), "a", 1000)
	}
	for key, row := range s.table.rows {
		row.record = slices.Clone(row.record)
		row.record[0] = entryVersion + 1
		s.table.rows[key] = row
		whole = append(whole, row.record)
	}
	s.now += 1000
	s.evict()
	s.watching(func(key string) error { t.Errorf("the older program tells of %s", key); return nil })
	s.hold("its own", "a", 500_000)
	for range 10 {
		s.ring()
		if _, err := s.book.claim(t.Context(), "1", request{owner: "b", lease: 1, ttl: 1}); !errors.Is(err, ErrVersion) || !definite(err) {
			t.Errorf("a claim: %v", err)
		}
	}
	left := 0
	for _, row := range s.table.rows {
		if slices.ContainsFunc(whole, func(b []byte) bool { return bytes.Equal(b, row.record) }) && row.watched && row.due < never {
			left++
		}
	}
	if left != 3*watchLimit || s.table.alarm > s.now+newerRetry {
		t.Errorf("%d of %d are left whole, the alarm is in %d ms", left, 3*watchLimit, s.table.alarm-s.now)
	}
	for key, row := range s.table.rows { // the newer one again
		if row.record[0] == entryVersion+1 {
			row.record[0] = entryVersion
			s.table.rows[key] = row
		}
	}
	s.evict()
	keys := s.watching(fineBy)
	for range 10 {
		s.now = max(s.now, min(s.table.alarm, s.now+newerRetry))
		s.ring()
	}
	if len(*keys) != 3*watchLimit {
		t.Errorf("told of %d of %d holders", len(*keys), 3*watchLimit)
	}
}
