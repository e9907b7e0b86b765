package engine

import (
	"context"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"flow.internal/capdo/internal/budget"
)

func TestWaitersLeaveNothingBehind(t *testing.T) {
	s, room := newFixture(t), budget.New(10)
	s.engine.Waiters = room
	s.claim("a", 1000, 5000, dedupe.Acquired)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := s.engine.Wait(ctx, "k", "", 60_000)
	s.want(err, context.DeadlineExceeded)
	if a, err := s.engine.Wait(t.Context(), "k", "", 20); a.Outcome != dedupe.InProgress || err != nil {
		t.Errorf("%+v, %v", a, err)
	}
	if len(s.engine.waiters.keys) != 0 || !room.Take("", 5) {
		t.Errorf("%d keys still have waiters, or their room was not returned", len(s.engine.waiters.keys))
	}
}

func TestWaitersAreLimited(t *testing.T) {
	s, other, room := newFixture(t), newFixture(t), budget.New(10)
	s.engine.Waiters, other.engine.Waiters = room, room
	other.engine.Tenant = func() (string, error) { return "another", nil }
	a := s.claim("a", 1000, 5000, dedupe.Acquired)
	other.claim("a", 1000, 5000, dedupe.Acquired)
	var joined []*waiting
	for n := range 5 { // as many as fit
		_, p, err := s.engine.lookOrJoin(t.Context(), "k", "", true)
		if p == nil || err != nil {
			t.Fatalf("caller %d: %v, %v", n, p, err)
		}
		joined = append(joined, p)
	}
	before := maps.Clone(s.backend.Rows)
	_, err := s.engine.Wait(t.Context(), "k", "", 20)
	s.want(err, dedupe.ErrOverloaded)
	if !effect.Definite(err) {
		t.Errorf("%v is not definite", err)
	}
	// This call need not wait.
	if a, err := s.engine.Wait(t.Context(), "k", "", 0); a.Outcome != dedupe.InProgress || err != nil {
		t.Errorf("without a wait: %+v, %v", a, err)
	}
	if !maps.EqualFunc(before, s.backend.Rows, func(a, b faulty.Row) bool { return string(a.Record) == string(b.Record) && a.Due == b.Due }) {
		t.Error("the refused wait changed a record")
	}
	if a, err := other.engine.Wait(t.Context(), "k", "", 1); a.Outcome != dedupe.InProgress || err != nil {
		t.Errorf("a wait in another scope: %+v, %v", a, err)
	}
	s.engine.waiters.leave("k", joined[0])
	if a, err := s.engine.Wait(t.Context(), "k", "", 1); a.Outcome != dedupe.InProgress || err != nil {
		t.Errorf("after one waiter has left: %+v, %v", a, err)
	}
	s.want(s.engine.Complete(t.Context(), "k", holderOf(a), nil), nil)
	for _, p := range joined[1:] {
		<-p.changed
		s.engine.waiters.leave("k", p)
	}
	if len(s.engine.waiters.keys) != 0 || !room.Take("", 5) {
		t.Errorf("%d keys still have waiters, or their room was not returned", len(s.engine.waiters.keys))
	}
}

// Known mistake: a change that does not wake waiters. Every change that lets a
// waiter in must wake it at once, even if it failed after it was stored.
func TestEveryChangeWakesThoseWhoWait(t *testing.T) {
	changes := map[string]func(s *fixture, h entry.Holder) error{
		"complete": func(s *fixture, h entry.Holder) error { return s.engine.Complete(s.Context(), "k", h, []byte("r")) },
		"release":  func(s *fixture, h entry.Holder) error { return s.engine.Release(s.Context(), "k", h) },
		"forget": func(s *fixture, h entry.Holder) error {
			return s.engine.Forget(s.Context(), "k", entry.Found{What: entry.Readable, Fence: h.Fence})
		},
		"completion in a transaction": func(s *fixture, h entry.Holder) error {
			result, err := s.engine.Transactions().Complete(s.Context(), "k", h, func() ([]byte, error) { return []byte("r"), nil })
			return errors.Join(result.Failed, err)
		},
		"deletion of everything": func(s *fixture, _ entry.Holder) error {
			s.engine.mu.Lock()
			defer s.engine.mu.Unlock()
			s.engine.forgetStored()
			defer s.engine.waiters.wakeAll()
			return s.backend.Clear(s.Context())
		},
	}
	for name, change := range changes {
		for _, op := range []string{"", "put", "remove", "earliest", "alarmAt", "setAlarm", "clear"} {
			if name == "completion in a transaction" && op == "put" {
				continue // the change is rolled back
			}
			synctest.Test(t, func(t *testing.T) {
				s := newFixture(t)
				a := s.claim("a", 60_000, 1000, dedupe.Acquired)
				got := make(chan entry.Answer, 1)
				begin := time.Now()
				go func() {
					a, err := s.engine.Wait(context.Background(), "k", "", 30_000)
					if err != nil {
						t.Error(err)
					}
					got <- a
				}()
				synctest.Wait()
				s.engine.mu.Lock()
				failing := true
				// This runs under the engine's lock.
				s.backend.Plan = func(_ int, o string) faulty.Fault {
					if o == op && failing {
						failing = false
						return faulty.PerformsThenFails
					}
					return faulty.Fine
				}
				s.engine.mu.Unlock()
				err := change(s, holderOf(a))
				if err != nil && !errors.Is(err, faulty.ErrInjected) {
					t.Error(err)
				}
				<-got
				if took := time.Since(begin); took > 0 {
					t.Errorf("%s, and %q fails: the waiter woke after %v", name, op, took)
				}
			})
		}
	}
}

// An object is not notified when a caller leaves. So a wait is short, and a
// caller that is still there asks again.
func TestAWaitIsOfASlice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFixture(t)
		s.claim("a", 3_600_000, 3_600_000, dedupe.Acquired)
		begin := time.Now()
		a, err := s.engine.Wait(t.Context(), "k", "", maxWait)
		if took := time.Since(begin); err != nil || a.Outcome != dedupe.InProgress || took != WaitSlice*time.Millisecond {
			t.Errorf("%v, %v after %v", a.Outcome, err, took)
		}
	})
}
