package engine

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
)

func TestFencesGrowWhateverHappensBetween(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := newFixture(t)
		last, history := int64(0), []string(nil)
		for range 60 {
			step := r.IntN(7)
			history = append(history, fmt.Sprint(step, "@", s.now-noon))
			switch step {
			case 0, 1:
				a, err := s.engine.Claim(t.Context(), "k", entry.Request{Owner: fmt.Sprint(r.Int()), Lease: 1 + r.Int64N(3), TTL: 1 + r.Int64N(3)})
				if err != nil {
					t.Fatal(err)
				}
				if a.Outcome == dedupe.Acquired {
					if a.Entry.Number <= last {
						t.Fatalf("seed %d: fence %d after %d: %v", seed, a.Entry.Number, last, history)
					}
					last = a.Entry.Number
				}
			case 2:
				s.forget()
			case 3:
				s.evict()
			case 4:
				s.ring()
			case 5:
				s.engine.Release(t.Context(), "k", entry.Holder{Owner: "x", Fence: last})
			case 6:
				s.now += r.Int64N(3)
			}
		}
	}
}

func TestManyFencesWithinAMillisecond(t *testing.T) {
	s := newFixture(t)
	last := int64(0)
	for n := range 3000 {
		a := s.claim("same", 10, 10, dedupe.Acquired)
		if a.Entry.Number <= last {
			t.Fatalf("claim %d has fence %d after %d", n, a.Entry.Number, last)
		}
		last = a.Entry.Number
		s.want(s.engine.Release(t.Context(), "k", holderOf(a)), nil)
		if n%100 == 99 {
			s.forget()
			s.evict()
		}
	}
}

// The object also remembers the fence. So a caller that repairs a record in the
// same millisecond as its claim gets another fence.
func TestFencesGrowOverARecordThatBecameUnreadable(t *testing.T) {
	s := newFixture(t)
	first := s.claim("a", 1000, 5000, dedupe.Acquired)
	row := s.backend.Rows["k"]
	s.backend.Rows["k"] = faulty.Row{Record: []byte{entry.Version}, Due: row.Due}
	s.forget()
	if again := s.claim("b", 1000, 5000, dedupe.Acquired); again.Entry.Number <= first.Entry.Number {
		t.Errorf("fence %d after %d", again.Entry.Number, first.Entry.Number)
	}
}

// Known mistake: a fence that grows only in memory. Here the record was
// forgotten or has expired, the instance is a new one, and its clock is behind.
func TestFencesGrowOverEvictionAndForgetting(t *testing.T) {
	gone := map[string]func(s *fixture){
		"forgotten": (*fixture).forget,
		"expired":   func(s *fixture) { s.now += 2000; s.ring(); s.ring() },
		"forgotten, unreadable": func(s *fixture) {
			row := s.backend.Rows["k"]
			row.Record = slices.Clone(row.Record)
			row.Record[0] = entry.Version + 1
			s.backend.Rows["k"] = row
			s.forget()
		},
		"expired, of a newer program": func(s *fixture) {
			row := s.backend.Rows["k"]
			row.Record = slices.Clone(row.Record)
			row.Record[0] = entry.Version + 1
			s.backend.Rows["k"] = row
			s.now += 2000
			s.ring()
		},
	}
	for name, remove := range gone {
		for _, many := range []bool{true, false} {
			for _, behind := range []int64{0, 3, 1000, 59_000} {
				s := newFixture(t)
				s.engine.Many = many
				a := s.claim("a", 1000, 1000, dedupe.Acquired)
				for range 5 { // makes fences run ahead of the clock
					s.want(s.engine.Release(t.Context(), "k", holderOf(a)), nil)
					a = s.claim("a", 1000, 1000, dedupe.Acquired)
				}
				remove(s)
				if _, ok := s.backend.Rows["k"]; ok {
					t.Fatalf("%s: the record still exists", name)
				}
				s.evict()
				s.engine.Many = many
				s.now = noon - behind
				if b := s.claim("b", 1000, 1000, dedupe.Acquired); b.Entry.Number <= a.Entry.Number {
					t.Errorf("%s, many %v, %d ms behind: fence %d after %d", name, many, behind, b.Entry.Number, a.Entry.Number)
				}
			}
		}
	}
}

// A bucket that has other records keeps the fence, whatever the clock does.
func TestFenceOfABucketDoesNotDependOnTheClock(t *testing.T) {
	s := newFixture(t)
	s.hold("other", "a", 1000)
	a := s.claim("a", 1000, 1000, dedupe.Acquired)
	s.now += 3_600_000
	s.forget()
	s.evict()
	s.now = noon - 40*86_400_000
	if b := s.claim("b", 1000, 1000, dedupe.Acquired); b.Entry.Number <= a.Entry.Number {
		t.Errorf("fence %d after %d", b.Entry.Number, a.Entry.Number)
	}
}

// If a newer program wrote the fence, it cannot be read. Then no claim
// succeeds, because its fence might not be new.
func TestFenceOfANewerProgramIsNotGuessed(t *testing.T) {
	for want, value := range map[error][]byte{codec.ErrVersion: {fenceVersion + 1, 1}, codec.ErrCorrupt: {}} {
		s := newFixture(t)
		s.backend.Notes[fenceName] = value
		_, err := s.engine.Claim(t.Context(), "k", entry.Request{Owner: "a", Lease: 1, TTL: 1})
		if !errors.Is(err, want) || !effect.Definite(err) || len(s.backend.Rows) != 0 || !bytes.Equal(s.backend.Notes[fenceName], value) {
			t.Errorf("%v, want %v; %d records", err, want, len(s.backend.Rows))
		}
	}
}
