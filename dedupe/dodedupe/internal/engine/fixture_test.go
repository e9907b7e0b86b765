package engine

import (
	"errors"
	"flag"
	"testing"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"pgregory.net/rapid"
)

// noon is the time when the tests begin, in ms.
const noon = faulty.Noon

// fixture is an engine with a clock and a backend that the test controls.
type fixture struct {
	*testing.T
	now     int64
	backend *faulty.Backend
	engine  *Engine
}

func newFixture(t *testing.T) *fixture {
	s := &fixture{T: t, now: noon, backend: faulty.NewBackend()}
	s.evict()
	return s
}

// evict clears the memory of the object.
func (s *fixture) evict() {
	s.engine = New(Config{Backend: s.backend, Clock: func() int64 { return s.now }, Many: true})
}

func (s *fixture) claim(owner string, lease, ttl int64, want dedupe.Outcome) entry.Answer {
	s.Helper()
	a, err := s.engine.Claim(s.Context(), "k", entry.Request{Owner: owner, Lease: lease, TTL: ttl})
	if err != nil || a.Outcome != want {
		s.Fatalf("claim by %s at noon%+d: %v, %v; want %v", owner, s.now-noon, a.Outcome, err, want)
	}
	return a
}

func (s *fixture) want(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%v, want %v", err, want)
	}
}

func (s *fixture) ring() {
	s.Helper()
	if err := s.engine.Alarm(s.Context()); err != nil {
		s.Error(err)
	}
}

func (s *fixture) forget() {
	s.Helper()
	found, err := s.engine.Look(s.Context(), "k")
	if err == nil {
		err = s.engine.Forget(s.Context(), "k", found)
	}
	if err != nil {
		s.Error(err)
	}
}

// holderOf returns the holder of a claim.
func holderOf(a entry.Answer) entry.Holder {
	return entry.Holder{Owner: a.Entry.Owner, Fence: a.Entry.Number}
}

var (
	someKey    = rapid.SampledFrom([]string{"a", "b", "c"})
	anOwner    = rapid.SampledFrom([]string{"x", "y", "z"})
	aPrint     = rapid.SampledFrom([]string{"", "", "", "", "", "other"})
	someResult = rapid.SampledFrom([]string{"", "1", "2", "3"})
)

// The walks of this package are longer than rapid's default, and leave no
// files. For more, run go test -rapid.checks=10000.
func init() {
	for name, value := range map[string]string{"rapid.checks": "1000", "rapid.steps": "80", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
}
