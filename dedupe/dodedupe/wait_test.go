//go:build !js

package dodedupe

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"flow.internal/capdo/dedupe"
)

// Known mistake: a change that wakes nobody. Whatever lets a waiter in wakes
// him at once, also if it failed after it was stored.
func TestEveryChangeWakesThoseWhoWait(t *testing.T) {
	changes := map[string]func(s *shelf, h holder) error{
		"complete": func(s *shelf, h holder) error { return s.book.complete(s.Context(), "k", h, []byte("r")) },
		"release":  func(s *shelf, h holder) error { return s.book.release(s.Context(), "k", h) },
		"forget": func(s *shelf, h holder) error {
			return s.book.forget(s.Context(), "k", lookFence, h.fence)
		},
		"completeTx": func(s *shelf, h holder) error {
			_, failed, err := s.book.completeTx(s.Context(), "k", h, func() ([]byte, error) { return []byte("r"), nil })
			return errors.Join(failed, err)
		},
		"deletion of everything": func(s *shelf, _ holder) error {
			s.book.mu.Lock()
			defer s.book.mu.Unlock()
			s.book.doubt()
			defer s.book.wakeAll()
			return s.table.clear(s.Context())
		},
	}
	for name, change := range changes {
		for _, op := range []string{"", "put", "remove", "earliest", "alarmAt", "setAlarm", "clear"} {
			if name == "completeTx" && op == "put" {
				continue // it is rolled back
			}
			synctest.Test(t, func(t *testing.T) {
				s := newShelf(t)
				a := s.claim("a", 60_000, 1000, dedupe.Acquired)
				got := make(chan answer, 1)
				begin := time.Now()
				go func() {
					a, err := s.book.wait(context.Background(), "k", "", 30_000)
					if err != nil {
						t.Error(err)
					}
					got <- a
				}()
				synctest.Wait()
				s.book.mu.Lock()
				failing := true
				s.table.fault = func(_ int, o string) fault { // under the book's lock
					if o == op && failing {
						failing = false
						return performsThenFails
					}
					return fine
				}
				s.book.mu.Unlock()
				err := change(s, a.holder())
				if err != nil && !errors.Is(err, errInjected) {
					t.Error(err)
				}
				<-got
				if took := time.Since(begin); took > 0 {
					t.Errorf("%s, and %q fails: the waiter was told after %v", name, op, took)
				}
			})
		}
	}
}

// A wait is bounded by what its caller allows, in all, whatever is lost of it;
// and what is lost of it is no outcome of the claim, which is known: the key is
// in progress, and who waited holds nothing.
func TestWaitIsBoundedWhateverIsLost(t *testing.T) {
	for n := range 6 {
		for _, kind := range []fault{fails, performsThenFails} {
			synctest.Test(t, func(t *testing.T) {
				f, awaits := &fakeLedgerObjects{clock: func() int64 { return time.Now().UnixMilli() }}, 0
				f.network = func(_ int, method string) (fault, error) {
					if method == methodAwait {
						if awaits++; awaits <= n {
							return kind, lost()
						}
					}
					return fine, nil
				}
				l := fakeLedger(t, f, PerKey())
				held, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Hour})
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				c, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Owner: "waiter", Lease: time.Minute, Wait: 10 * time.Second})
				took := time.Since(begin)
				if err != nil || c.Outcome != dedupe.InProgress || took > 10*time.Second || n < 2 && took < 9900*time.Millisecond {
					t.Errorf("%d waits are lost, fault %d: %v, %v after %v", n, kind, c.Outcome, err, took)
				}
				if err := l.Release(t.Context(), held); err != nil {
					t.Error(err)
				}
				if c, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute}); c.Outcome != dedupe.Acquired || err != nil {
					t.Errorf("after the release: %v, %v", c.Outcome, err)
				}
			})
		}
	}
}

// What a wait ends with that is definite is the claim's error, and never an unknown outcome.
func TestErrorsOfAWaitAreDefinite(t *testing.T) {
	for _, cause := range []error{undone{dedupe.ErrOverloaded}, undone{dedupe.ErrMismatch}, undone{ErrVersion}, errors.ErrUnsupported} {
		f := &fakeLedgerObjects{network: func(_ int, method string) (fault, error) {
			if method == methodAwait {
				return fails, cause
			}
			return fine, nil
		}}
		l := fakeLedger(t, f, PerKey())
		o := dedupe.ClaimOptions{Lease: time.Hour}
		if _, err := l.Claim(t.Context(), []byte("k"), o); err != nil {
			t.Fatal(err)
		}
		o.Wait = time.Minute
		if _, err := l.Claim(t.Context(), []byte("k"), o); !errors.Is(err, cause) || errors.Is(err, dedupe.ErrUnknownOutcome) {
			t.Errorf("%v, want %v", err, cause)
		}
	}
}

// An object whose program is older does not take a name, and claims all the same.
func TestClaimInALongScopeOfAnObjectThatIsOlder(t *testing.T) {
	f := &fakeLedgerObjects{}
	l := fakeLedger(t, f, Buckets(1))
	l.scope = fmt.Sprintf("%01500d", 0)
	l.call = func(ctx context.Context, object, method string, msg []byte) ([]byte, error) {
		if method == methodClaim && len(msg) > 1000 {
			return reply(nil, undone{ErrMalformed})
		}
		return f.call(ctx, object, method, msg)
	}
	c, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute})
	if c.Outcome != dedupe.Acquired || err != nil {
		t.Errorf("%v, %v", c.Outcome, err)
	}
}

// Known mistake: who is told of a holder does not know the scope, because an
// object does not know a name that is long.
func TestLongNameIsKnownToWhoIsTold(t *testing.T) {
	for _, m := range []Mapping{PerKey(), Buckets(2)} {
		for _, size := range []int{10, 700, 1500, 60_000} {
			f := &fakeLedgerObjects{clock: func() int64 { return noon }}
			l := fakeLedger(t, f, m)
			l.scope = fmt.Sprintf("%0*d", size, 0)
			object, inside := m.place(kindLedger, l.scope, []byte("k"))
			o := f.object(object)
			tell := func(context.Context, string, *entry) error { return nil }
			o.one.tell, o.many.tell = tell, tell
			for range 2 {
				if _, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute}); err != nil {
					t.Fatal(err)
				}
			}
			name, err := o.book(inside).rememberedName(t.Context())
			if want := len(object) > 1024; err != nil || want && name != object || !want && name != "" {
				t.Errorf("%v, a scope of %d bytes: a name of %d bytes is kept, of %d; %v", m, size, len(name), len(object), err)
			}
			if e := newExpired(object, inside, &entry{}); e.Scope != l.scope || string(e.Key) != "k" {
				t.Errorf("%v: told of key %q in a scope of %d bytes", m, e.Key, len(e.Scope))
			}
		}
	}
}

// Nobody tells an object that a caller has gone. One who is there asks again.
func TestACallerWaitsInSlices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(t)
		s.claim("a", 3_600_000, 3_600_000, dedupe.Acquired)
		begin := time.Now()
		a, err := s.book.wait(t.Context(), "k", "", maxWait)
		if took := time.Since(begin); err != nil || a.outcome != dedupe.InProgress || took != waitSlice*time.Millisecond {
			t.Errorf("%v, %v after %v", a.outcome, err, took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		awaits := 0
		f := &fakeLedgerObjects{clock: func() int64 { return time.Now().UnixMilli() }}
		f.network = func(_ int, method string) (fault, error) {
			if method == methodAwait {
				awaits++
			}
			return fine, nil
		}
		l := fakeLedger(t, f, PerKey())
		held, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(45*time.Second, func() {
			if err := l.Complete(t.Context(), held, []byte("result")); err != nil {
				t.Error(err)
			}
		})
		begin := time.Now()
		c, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute, Wait: dedupe.MaxWait})
		if took := time.Since(begin); err != nil || c.Outcome != dedupe.Replay || took != 45*time.Second || awaits != 5 {
			t.Errorf("%v, %v after %v, in %d waits", c.Outcome, err, took, awaits)
		}
	})
}
