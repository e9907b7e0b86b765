//go:build !js

package dodedupe

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"flow.internal/capdo/durable"
)

// away is a namespace whose objects are lost for some time, as when a node
// crashes and other nodes have not yet taken over its objects.
type away struct {
	fakeLedgerObjects
	until time.Time
	err   error
	hangs bool // calls get neither an answer nor an error

	mu   sync.Mutex
	sent []time.Time
	msgs map[string]int
}

func (a *away) call(ctx context.Context, object, method string, msg []byte) ([]byte, error) {
	a.note(method, msg)
	switch {
	case !time.Now().Before(a.until):
		return a.fakeLedgerObjects.call(ctx, object, method, msg)
	case a.hangs:
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return nil, a.err
}

func (a *away) note(method string, msg []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent = append(a.sent, time.Now())
	if a.msgs == nil {
		a.msgs = map[string]int{}
	}
	a.msgs[method+string(msg)]++
}

func newAway(t *testing.T, d time.Duration, err error) (*away, *Ledger) {
	a := &away{until: time.Now().Add(d), err: err}
	a.clock = func() int64 { return time.Now().UnixMilli() }
	l, failed := newLedger(a.call, nil)
	if failed != nil {
		t.Fatal(failed)
	}
	return a, l
}

func internalError() error { return &durable.Error{Message: "internal error; reference = 1"} }

func TestCallsRideOverATakeover(t *testing.T) {
	for name, trouble := range map[string]error{"connections are lost": lost(), "internal errors": internalError(), "calls hang": nil} {
		synctest.Test(t, func(t *testing.T) {
			a, l := newAway(t, 20*time.Second, trouble)
			a.hangs = trouble == nil
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c, err := l.Claim(ctx, []byte("k"), dedupe.ClaimOptions{Lease: time.Minute})
			took := time.Since(begin)
			if err != nil || c.Outcome != dedupe.Acquired || took > 22*time.Second {
				t.Errorf("%s: %v, %v after %v", name, c.Outcome, err, took)
			}
			if len(a.msgs) != 1 {
				t.Errorf("%s: %d different messages: the owner changed", name, len(a.msgs))
			}
			if n := len(a.sent); n > 30 || trouble != nil && n < 10 {
				t.Errorf("%s: %d attempts", name, n)
			}
			if err := l.Complete(ctx, c, []byte("r")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

func TestDeadlineLeavesTheOutcomeUnknown(t *testing.T) {
	for name, trouble := range map[string]error{"connections are lost": lost(), "calls hang": nil} {
		synctest.Test(t, func(t *testing.T) {
			a, l := newAway(t, 20*time.Second, trouble)
			a.hangs = trouble == nil
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			c, err := l.Claim(ctx, []byte("k"), dedupe.ClaimOptions{Lease: time.Minute})
			var e *dedupe.Error
			if took := time.Since(begin); !errors.Is(err, dedupe.ErrUnknownOutcome) || !errors.As(err, &e) || !e.Retryable || c.Owner == "" || took > 5*time.Second {
				t.Errorf("%s: %+v, %v after %v", name, c, err, took)
			}
			if n := len(a.sent); trouble != nil && n < 5 {
				t.Errorf("%s: %d attempts", name, n)
			}
		})
	}
}

// Without a deadline the caller has set no limit for repetitions. Refusals and
// the object's own failures are not repeated.
func TestRepeatedOnlyOnce(t *testing.T) {
	remote := effect.Chain(durable.ErrRemote, &durable.Error{Message: "boom"})
	overloaded := effect.Chain(durable.ErrOverloaded, &durable.Error{Message: "Durable Object is overloaded"})
	for _, c := range []struct {
		name     string
		deadline bool
		err      error
		attempts int
		unknown  bool
	}{
		{"no deadline", false, lost(), 2, true},
		{"the object's code fails", true, remote, 2, true},
		{"overloaded", true, overloaded, 1, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			a, l := newAway(t, time.Hour, c.err)
			ctx := t.Context()
			if c.deadline {
				within, cancel := context.WithTimeout(ctx, time.Minute)
				defer cancel()
				ctx = within
			}
			_, err := l.Claim(ctx, []byte("k"), dedupe.ClaimOptions{Lease: time.Minute})
			if len(a.sent) != c.attempts || errors.Is(err, dedupe.ErrUnknownOutcome) != c.unknown || err == nil {
				t.Errorf("%s: %d attempts, %v", c.name, len(a.sent), err)
			}
		})
	}
}

// If many callers lose their object at once, they must not all come back at
// once.
func TestPausesGrowAndDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		seen := map[time.Duration]bool{}
		for n := 1; n < 20; n++ {
			begin := time.Now()
			if !pause(ctx, n) {
				t.Fatal("there was time")
			}
			took, most := time.Since(begin), min(50*time.Millisecond<<n, 2*time.Second)
			if took < most/2 || took > most {
				t.Errorf("pause %d: %v, want at most %v", n, took, most)
			}
			seen[took] = true
		}
		if len(seen) < 15 {
			t.Errorf("%d different pauses", len(seen))
		}
	})
}

// A claim that waits continues after its object has moved.
func TestAWaitRidesOverATakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, l := newAway(t, 0, lost())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		held, err := l.Claim(ctx, []byte("k"), dedupe.ClaimOptions{Lease: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		a.network = func(int, string) (faulty.Fault, error) {
			if time.Now().Before(a.until) {
				return faulty.Fails, lost()
			}
			return faulty.Fine, nil
		}
		a.until = time.Now().Add(20 * time.Second)
		time.AfterFunc(30*time.Second, func() {
			if err := l.Complete(ctx, held, []byte("r")); err != nil {
				t.Error(err)
			}
		})
		c, err := l.Claim(ctx, []byte("k"), dedupe.ClaimOptions{Lease: time.Minute, Wait: 50 * time.Second})
		if err != nil || c.Outcome != dedupe.Replay {
			t.Errorf("%v, %v", c.Outcome, err)
		}
	})
}
