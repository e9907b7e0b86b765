package engine

import (
	"fmt"
	"slices"
	"testing"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
)

// step makes a step of an engine. prepare sets up the situation and returns the
// operation on the key k.
func step(prepare operation) func(t *testing.T) *faulty.Step {
	return func(t *testing.T) *faulty.Step {
		f := newFixture(t)
		do := prepare(f)
		other := func() error {
			_, err := f.engine.Claim(t.Context(), "z", entry.Request{Owner: "z", Lease: 10, TTL: 10_000_000})
			return err
		}
		return &faulty.Step{
			Do:      func() (string, error) { return faulty.Answered(do(f.engine)) },
			Evict:   f.evict,
			State:   f.backend.State,
			IsEmpty: func() bool { return len(f.backend.Rows)+len(f.backend.Notes) == 0 },
			IsArmed: func() bool { return f.backend.IsArmed(f.now + firstBackOff) },
			Alarm:   &f.backend.Alarm,
			Other:   other,
			Fence:   func() int64 { e, _ := entry.Decode(f.backend.Rows["k"].Record); return e.Number },
			Log:     &f.backend.Log,
		}
	}
}

// held claims the key k for a, for 1 s in a window of 5 s.
func (s *fixture) held() entry.Holder {
	s.Helper()
	a := s.claim("a", 1000, 5000, dedupe.Acquired)
	return holderOf(a)
}

func (s *fixture) completed() entry.Holder {
	s.Helper()
	h := s.held()
	s.want(s.engine.Complete(s.Context(), "k", h, []byte("r")), nil)
	return h
}

// claiming returns a claim of k.
func (s *fixture) claiming(owner, fingerprint string, ttl int64) func(e *Engine) (string, error) {
	return func(e *Engine) (string, error) {
		a, err := e.Claim(s.Context(), "k", entry.Request{Owner: owner, Fingerprint: fingerprint, Lease: 1000, TTL: ttl})
		return fmt.Sprint(a.Outcome, a.Entry.Attempt, a.Entry.TakenOver, a.Entry.Owner, string(a.Entry.Result), a.RetryAfter), err
	}
}

func (s *fixture) forgetting() func(e *Engine) (string, error) {
	found, err := s.engine.Look(s.Context(), "k")
	s.want(err, nil)
	return func(e *Engine) (string, error) { return "", e.Forget(s.Context(), "k", found) }
}

func (s *fixture) numbering(key, owner, hash string) func(e *Engine) (string, error) {
	return func(e *Engine) (string, error) {
		n, inserted, err := e.Sequence().Next(s.Context(), key, entry.Request{Owner: owner, Fingerprint: hash, TTL: 5000})
		return fmt.Sprint(n.Number, inserted), err
	}
}

func (s *fixture) ringing() func(e *Engine) (string, error) {
	return func(e *Engine) (string, error) {
		// The platform removes the alarm before it delivers it. After the last
		// error it does not restore it.
		s.backend.Alarm = 0
		return "", e.Alarm(s.Context())
	}
}

// fill claims two other keys. One ends before k, the other later.
func (s *fixture) fill() {
	for key, ttl := range map[string]int64{"early": 2000, "late": 9000} {
		_, err := s.engine.Claim(s.Context(), key, entry.Request{Owner: "o", Lease: 100, TTL: ttl})
		s.want(err, nil)
	}
}

type operation = func(s *fixture) func(e *Engine) (string, error)

// changing returns a change by a holder.
func changing(prepare func(s *fixture) entry.Holder, change func(e *Engine, h entry.Holder, s *fixture) error) operation {
	return func(s *fixture) func(e *Engine) (string, error) {
		h := prepare(s)
		return func(e *Engine) (string, error) { return "", change(e, h, s) }
	}
}

func completeIt(e *Engine, h entry.Holder, s *fixture) error {
	return e.Complete(s.Context(), "k", h, []byte("r"))
}

func extendIt(e *Engine, h entry.Holder, s *fixture) error {
	return e.Extend(s.Context(), "k", h, 2000)
}

func releaseIt(e *Engine, h entry.Holder, s *fixture) error { return e.Release(s.Context(), "k", h) }

// later lets time pass after prepare.
func later[T any](ms int64, prepare func(s *fixture) T) func(s *fixture) T {
	return func(s *fixture) T {
		v := prepare(s)
		s.now += ms
		return v
	}
}

func leaseBeyondWindow(s *fixture) entry.Holder {
	a := s.claim("a", 2000, 500, dedupe.Acquired)
	return holderOf(a)
}

func stranger(s *fixture) entry.Holder { h := (*fixture).held(s); h.Fence++; return h }

func released(s *fixture) entry.Holder {
	h := s.held()
	s.want(s.engine.Release(s.Context(), "k", h), nil)
	return h
}

func numberedOnce(s *fixture) entry.Holder {
	_, err := s.numbering("k", "a", "h")(s.engine)
	s.want(err, nil)
	return entry.Holder{}
}

func nothing(*fixture) entry.Holder { return entry.Holder{} }

// claims returns a claim of k in a situation.
func claims(prepare func(s *fixture) entry.Holder, owner, fingerprint string, ttl int64) operation {
	return func(s *fixture) func(e *Engine) (string, error) {
		prepare(s)
		return s.claiming(owner, fingerprint, ttl)
	}
}

func full(prepare func(s *fixture) entry.Holder) func(s *fixture) entry.Holder {
	return func(s *fixture) entry.Holder { s.fill(); return prepare(s) }
}

func forgets(prepare func(s *fixture) entry.Holder) operation {
	return func(s *fixture) func(e *Engine) (string, error) { prepare(s); return s.forgetting() }
}

func numbers(prepare func(s *fixture) entry.Holder, key, owner, hash string) operation {
	return func(s *fixture) func(e *Engine) (string, error) { prepare(s); return s.numbering(key, owner, hash) }
}

func ringsOn(prepare func(s *fixture) entry.Holder) operation {
	return func(s *fixture) func(e *Engine) (string, error) { prepare(s); return s.ringing() }
}

func unreadable(s *fixture) entry.Holder {
	s.backend.Rows["k"] = faulty.Row{Record: []byte{9}, Due: entry.Never}
	return entry.Holder{}
}

// looks returns a read of k, as Forget and a waiter do it.
func looks(prepare func(s *fixture) entry.Holder) operation {
	return func(s *fixture) func(e *Engine) (string, error) {
		prepare(s)
		return func(e *Engine) (string, error) {
			found, err := e.Look(s.Context(), "k")
			return fmt.Sprint(found), err
		}
	}
}

func waits(prepare func(s *fixture) entry.Holder) operation {
	return func(s *fixture) func(e *Engine) (string, error) {
		prepare(s)
		return func(e *Engine) (string, error) {
			a, err := e.Wait(s.Context(), "k", "", 0)
			return fmt.Sprint(a.Outcome, a.RetryAfter), err
		}
	}
}

var operations = map[string]operation{
	"claim of a new key":                       claims(nothing, "a", "", 5000),
	"claim of a new key among others":          claims(full(nothing), "a", "", 5000),
	"claim of a new key that ends first":       claims(full(nothing), "a", "", 1000),
	"claim that takes over":                    claims(later(1000, (*fixture).held), "b", "", 5000),
	"claim that takes over, the same owner":    claims(later(1000, (*fixture).held), "a", "", 5000),
	"claim after the window":                   claims(later(5000, (*fixture).held), "b", "", 7000),
	"claim after release":                      claims(released, "b", "other", 5000),
	"claim by the same owner again":            claims((*fixture).held, "a", "", 5000),
	"claim of a key in progress":               claims((*fixture).held, "b", "", 5000),
	"claim of a key that is completed":         claims((*fixture).completed, "b", "", 5000),
	"claim that mismatches":                    claims((*fixture).held, "b", "other", 5000),
	"claim of an unreadable record":            claims(unreadable, "b", "", 5000),
	"completion":                               changing((*fixture).held, completeIt),
	"completion among others":                  changing(full((*fixture).held), completeIt),
	"completion after the lease":               changing(later(1500, (*fixture).held), completeIt),
	"completion after the window":              changing(later(1000, leaseBeyondWindow), completeIt),
	"completion that ends sooner":              changing(later(10, leaseBeyondWindow), completeIt),
	"second completion":                        changing((*fixture).completed, completeIt),
	"completion that is fenced":                changing(stranger, completeIt),
	"extension":                                changing((*fixture).held, extendIt),
	"extension beyond the window":              changing(later(4500, (*fixture).held), extendIt),
	"extension that is shorter":                changing(func(s *fixture) entry.Holder { a := s.claim("a", 3000, 5000, dedupe.Acquired); return holderOf(a) }, extendIt),
	"extension that is fenced":                 changing(stranger, extendIt),
	"release":                                  changing((*fixture).held, releaseIt),
	"release that ends sooner":                 changing(later(10, leaseBeyondWindow), releaseIt),
	"second release":                           changing(released, releaseIt),
	"release that is fenced":                   changing((*fixture).completed, releaseIt),
	"forget of the only key":                   forgets(later(10, (*fixture).held)),
	"forget of one key of several":             forgets(later(10, full((*fixture).completed))),
	"forget of the key that ends first":        forgets(later(10, func(s *fixture) entry.Holder { s.fill(); s.claim("a", 1, 1000, dedupe.Acquired); return entry.Holder{} })),
	"forget within the millisecond of a claim": forgets((*fixture).held),
	"forget of an unreadable record":           forgets(unreadable),
	"forget of nothing":                        forgets(nothing),
	"look":                                     looks((*fixture).held),
	"look at nothing":                          looks(nothing),
	"look at what is unreadable":               looks(unreadable),
	"wait for a key that is free":              waits(nothing),
	"wait for a key in progress":               waits((*fixture).held),
	"wait for a key that is completed":         waits((*fixture).completed),
	"first number":                             numbers(nothing, "k", "a", "h"),
	"second number":                            numbers(numberedOnce, "l", "b", "h"),
	"number of the same owner again":           numbers(numberedOnce, "k", "a", "h"),
	"number that another was given":            numbers(numberedOnce, "k", "b", "h"),
	"number that mismatches":                   numbers(numberedOnce, "k", "b", "other"),
	"number after the TTL":                     numbers(later(5000, numberedOnce), "k", "b", "other"),
	"alarm of nothing":                         ringsOn(nothing),
	"alarm that is early":                      ringsOn(later(10, full((*fixture).held))),
	"alarm of one key of several":              ringsOn(later(2000, full((*fixture).held))),
	"alarm of everything":                      ringsOn(later(9000, full((*fixture).held))),
	"alarm of a sequence":                      ringsOn(later(5000, numberedOnce)),
	"alarm of a sequence that is early":        ringsOn(later(10, numberedOnce)),
}

func TestFaultsInEveryStep(t *testing.T) {
	steps := map[string]func(t *testing.T) *faulty.Step{}
	for name, prepare := range operations {
		steps[name] = func(t *testing.T) *faulty.Step {
			s := step(prepare)(t)
			s.OnlyReads = slices.Contains([]string{"claim of a key in progress", "claim of a key that is completed", "number that another was given"}, name)
			return s
		}
	}
	faulty.TestSteps(t, steps)
}
