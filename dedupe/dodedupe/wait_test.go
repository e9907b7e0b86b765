//go:build !js

package dodedupe

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
)

// A wait takes at most the time that its caller allows, whatever is lost. A
// lost wait does not make the claim's outcome unknown: the key is in progress,
// and the waiter holds nothing.
func TestWaitIsBoundedWhateverIsLost(t *testing.T) {
	for n := range 6 {
		for _, kind := range []faulty.Fault{faulty.Fails, faulty.PerformsThenFails} {
			synctest.Test(t, func(t *testing.T) {
				f, awaits := &fakeLedgerObjects{clock: func() int64 { return time.Now().UnixMilli() }}, 0
				f.network = func(_ int, method string) (faulty.Fault, error) {
					if method == wire.MethodAwait {
						if awaits++; awaits <= n {
							return kind, lost()
						}
					}
					return faulty.Fine, nil
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

// A caller that leaves during a wait gets the cause, and nothing is claimed for
// it afterwards, even if the key becomes free at once.
func TestNothingIsClaimedForACallerThatHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeLedgerObjects{clock: func() int64 { return time.Now().UnixMilli() }}
		var hasLeft atomic.Bool
		f.network = func(_ int, method string) (faulty.Fault, error) {
			if hasLeft.Load() && method == wire.MethodClaim {
				t.Error("a claim for a caller that has left")
			}
			return faulty.Fine, nil
		}
		l := fakeLedger(t, f, PerKey())
		held, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		ctx, leave := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		released := make(chan struct{})
		time.AfterFunc(2*time.Second, func() {
			defer close(released)
			hasLeft.Store(true)
			leave(gone)
			if err := l.Release(t.Context(), held); err != nil {
				t.Error(err)
			}
		})
		o := dedupe.ClaimOptions{Lease: time.Hour, Wait: 10 * time.Second}
		if _, err := l.Claim(ctx, []byte("k"), o); !errors.Is(err, gone) {
			t.Errorf("%v, want %v", err, gone)
		}
		<-released
		hasLeft.Store(false)
		c, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute})
		if c.Outcome != dedupe.Acquired || err != nil {
			t.Errorf("afterwards: %v, %v", c.Outcome, err)
		}
	})
}

// A definite error that ends a wait is the claim's error. It never becomes an
// unknown outcome.
func TestErrorsOfAWaitAreDefinite(t *testing.T) {
	for _, cause := range []error{effect.None(dedupe.ErrOverloaded), effect.None(dedupe.ErrMismatch), effect.None(ErrVersion), errors.ErrUnsupported} {
		f := &fakeLedgerObjects{network: func(_ int, method string) (faulty.Fault, error) {
			if method == wire.MethodAwait {
				return faulty.Fails, cause
			}
			return faulty.Fine, nil
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

// Known mistake: OnExpired does not know the scope, because an object does not
// know its own name if that is long.
func TestOnExpiredKnowsALongName(t *testing.T) {
	for _, m := range []Mapping{PerKey(), Buckets(2)} {
		for _, size := range []int{10, 700, 1500, 60_000} {
			f := &fakeLedgerObjects{clock: func() int64 { return faulty.Noon }}
			l := fakeLedger(t, f, m)
			l.scope = fmt.Sprintf("%0*d", size, 0)
			object, innerKey := m.locate(kindLedger, l.scope, []byte("k"))
			o := f.object(object)
			tell := func(context.Context, string, *entry.Entry) error { return nil }
			o.one.Notify, o.many.Notify = tell, tell
			for range 2 {
				if _, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute}); err != nil {
					t.Fatal(err)
				}
			}
			name, err := o.engine(innerKey).Name().Stored()
			if want := len(object) > 1024; err != nil || want && name != object || !want && name != "" {
				t.Errorf("%v, a scope of %d bytes: %d of %d bytes of the name are kept; %v", m, size, len(name), len(object), err)
			}
			if e := newExpired(object, innerKey, &entry.Entry{}); e.Scope != l.scope || string(e.Key) != "k" {
				t.Errorf("%v: got a notice of key %q in a scope of %d bytes", m, e.Key, len(e.Scope))
			}
		}
	}
}

// A caller whose wait is longer than a slice asks again.
func TestACallerWaitsInSlices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		awaits := 0
		f := &fakeLedgerObjects{clock: func() int64 { return time.Now().UnixMilli() }}
		f.network = func(_ int, method string) (faulty.Fault, error) {
			if method == wire.MethodAwait {
				awaits++
			}
			return faulty.Fine, nil
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
