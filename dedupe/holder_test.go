//go:build !js

package dedupe_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/memdedupe"
)

// faulty is a ledger whose operations fail as long as an error is set for them.
type faulty struct {
	dedupe.Ledger
	extend, complete func() error
	claimed          func(*dedupe.Claim) error // called after a claim
	extensions       int
	completions      int
}

func newFaulty() *faulty { return &faulty{Ledger: memdedupe.NewLedger(nil)} }

func (f *faulty) Claim(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
	c, err := f.Ledger.Claim(ctx, key, o)
	if err == nil && f.claimed != nil {
		err = f.claimed(&c)
	}
	return c, err
}

func (f *faulty) Extend(ctx context.Context, c dedupe.Claim, lease time.Duration) error {
	f.extensions++
	if f.extend != nil {
		if err := f.extend(); err != nil {
			return err
		}
	}
	return f.Ledger.Extend(ctx, c, lease)
}

func (f *faulty) Complete(ctx context.Context, c dedupe.Claim, result []byte) error {
	f.completions++
	if f.complete != nil {
		if err := f.complete(); err != nil {
			return err
		}
	}
	return f.Ledger.Complete(ctx, c, result)
}

func refused() error { return &dedupe.Error{Op: "any", Retryable: true, Err: dedupe.ErrOverloaded} }

// hang is a call that gets no answer until its context ends.
func (f *faulty) hang(ctx context.Context) error {
	<-ctx.Done()
	return &dedupe.Error{Op: "any", Err: context.Cause(ctx)}
}

type hanging struct {
	*faulty
	hangs int // number of completions that hang first
}

func (h *hanging) Complete(ctx context.Context, c dedupe.Claim, result []byte) error {
	if h.hangs--; h.hangs >= 0 {
		return h.hang(ctx)
	}
	return h.faulty.Complete(ctx, c, result)
}

// began runs f in a synctest bubble, with a function that returns the time
// since the start.
func began(t *testing.T, f func(t *testing.T, since func() time.Duration)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		f(t, func() time.Duration { return time.Since(begin) })
	})
}

func TestDoGivesUpCompletingWhenTheLeaseIsOver(t *testing.T) {
	for name, c := range map[string]struct {
		lease  time.Duration
		extend func() error
		after  time.Duration
	}{
		"it cannot extend either":         {30 * time.Second, refused, 30 * time.Second},
		"a short lease":                   {100 * time.Millisecond, refused, time.Second},
		"it can extend":                   {30 * time.Second, nil, 5 * time.Minute},
		"it can extend, with short lease": {100 * time.Millisecond, nil, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			began(t, func(t *testing.T, since func() time.Duration) {
				f := newFaulty()
				f.extend, f.complete = c.extend, refused
				got, err := dedupe.Do(t.Context(), f, []byte("k"), options(c.lease), work("receipt", nil))
				if string(got) != "receipt" || !errors.Is(err, dedupe.ErrOverloaded) || since() != c.after {
					t.Errorf("%q, %v after %v, want %v", got, err, since(), c.after)
				}
				if f.completions < 3 || f.completions > 10+int(c.after/time.Second) {
					t.Errorf("%d completions in %v", f.completions, since())
				}
			})
		})
	}
}

func TestDoCompletesAfterAPartition(t *testing.T) {
	began(t, func(t *testing.T, since func() time.Duration) {
		f := newFaulty()
		partitioned := func() error {
			if since() < time.Hour {
				return refused()
			}
			return nil
		}
		f.extend, f.complete = partitioned, partitioned
		got, err := dedupe.Do(t.Context(), f, []byte("k"), options(time.Minute), func(ctx context.Context, _ dedupe.Claim) ([]byte, error) {
			<-ctx.Done()
			if since() != time.Minute || context.Cause(ctx) != dedupe.ErrLeaseExpired {
				t.Errorf("after %v: %v", since(), context.Cause(ctx))
			}
			time.Sleep(59*time.Minute - time.Second) // ignores its context
			return []byte("receipt"), nil
		})
		if string(got) != "receipt" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		wantOutcome(t, f, dedupe.Replay, "receipt")
	})
}

func TestDoTriesAgainWhenCompleteHangs(t *testing.T) {
	began(t, func(t *testing.T, since func() time.Duration) {
		h := &hanging{newFaulty(), 2}
		if _, err := dedupe.Do(t.Context(), h, []byte("k"), options(30*time.Second), work("receipt", nil)); err != nil || since() > 25*time.Second {
			t.Errorf("%v after %v", err, since())
		}
		wantOutcome(t, h, dedupe.Replay, "receipt")
	})
}

// slow is a ledger whose first extensions hang.
type slow struct {
	*faulty
	hangs int
}

func (s *slow) Extend(ctx context.Context, c dedupe.Claim, lease time.Duration) error {
	if s.hangs--; s.hangs >= 0 {
		return s.hang(ctx)
	}
	return s.faulty.Extend(ctx, c, lease)
}

func TestAnExtendThatHangsLeavesTimeForAnother(t *testing.T) {
	began(t, func(t *testing.T, since func() time.Duration) {
		_, err := dedupe.Do(t.Context(), &slow{newFaulty(), 1}, []byte("k"), options(30*time.Second), func(ctx context.Context, _ dedupe.Claim) ([]byte, error) {
			time.Sleep(5 * time.Minute)
			return nil, context.Cause(ctx)
		})
		if err != nil {
			t.Errorf("%v", err)
		}
	})
}

func TestDoDoesNotRepeatWhatCannotHelp(t *testing.T) {
	for _, definite := range []error{
		&dedupe.Error{Op: "Complete", Err: dedupe.ErrFenced}, &dedupe.Error{Op: "Complete", Err: dedupe.ErrForeignClaim},
		&dedupe.Error{Op: "Complete", Err: errors.New("the record is corrupt")}, errors.New("not an *Error"),
	} {
		began(t, func(t *testing.T, since func() time.Duration) {
			f := newFaulty()
			f.complete = func() error { return definite }
			_, err := dedupe.Do(t.Context(), f, []byte("k"), options(time.Minute), work("", nil))
			if !errors.Is(err, definite) || f.completions != 1 || since() != 0 {
				t.Errorf("%v after %d completions and %v", err, f.completions, since())
			}
		})
	}
}

// After a lost answer the result may be stored, whatever a later attempt
// returns.
func TestAnUnknownOutcomeStaysUnknown(t *testing.T) {
	began(t, func(t *testing.T, since func() time.Duration) {
		f, n := newFaulty(), 0
		f.extend = refused
		f.complete = func() error {
			if n++; n == 1 {
				return &dedupe.Error{Op: "Complete", Retryable: true, Err: dedupe.ErrUnknownOutcome}
			}
			return refused()
		}
		_, err := dedupe.Do(t.Context(), f, []byte("k"), options(time.Minute), work("", nil))
		if !errors.Is(err, dedupe.ErrUnknownOutcome) || !errors.Is(err, dedupe.ErrOverloaded) {
			t.Errorf("%v", err)
		}
	})
}

// A caller may leave at any point of Do: work that has begun is completed.
func TestTheCallerMayLeaveAtEveryPoint(t *testing.T) {
	for _, point := range []string{"before", "waiting", "claimed", "working", "worked", "extending", "completing"} {
		began(t, func(t *testing.T, since func() time.Duration) {
			f, runs := newFaulty(), 0
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			leave := func(at string) {
				if at == point {
					cancel()
				}
			}
			o := options(time.Minute)
			if point == "waiting" {
				wantOutcome(t, f, dedupe.Acquired, "")
				o.Wait = 10 * time.Second
				time.AfterFunc(time.Second, cancel)
			}
			f.claimed = func(*dedupe.Claim) error { leave("claimed"); return nil }
			f.extend = func() error { leave("extending"); return nil }
			f.complete = func() error {
				leave("completing")
				if f.completions < 3 {
					return refused()
				}
				return nil
			}
			leave("before")
			_, err := dedupe.Do(ctx, f, []byte("k"), o, func(context.Context, dedupe.Claim) ([]byte, error) {
				runs++
				leave("working")
				time.Sleep(5 * time.Minute)
				leave("worked")
				return []byte("done"), nil
			})
			f.claimed = nil
			switch point {
			case "before", "claimed":
				if runs != 0 || !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %d runs, %v", point, runs, err)
				}
				wantOutcome(t, f, dedupe.Acquired, "")
			case "waiting":
				if runs != 0 || !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %d runs, %v", point, runs, err)
				}
			default:
				if runs != 1 || err != nil {
					t.Errorf("%s: %d runs, %v", point, runs, err)
				}
				wantOutcome(t, f, dedupe.Replay, "done")
			}
		})
	}
}

// A slow claim is extended before the work. If its caller has left by then, it
// is still released.
func TestASlowClaimIsReleasedIfItsCallerHasLeft(t *testing.T) {
	began(t, func(t *testing.T, _ func() time.Duration) {
		f := newFaulty()
		ctx, leave := context.WithCancel(t.Context())
		f.claimed = func(*dedupe.Claim) error {
			time.Sleep(20 * time.Second)
			leave()
			return nil
		}
		_, err := dedupe.Do(ctx, f, []byte("k"), options(30*time.Second), func(context.Context, dedupe.Claim) ([]byte, error) {
			t.Error("the work ran although its caller has left")
			return nil, nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		f.claimed = nil
		if c, err := f.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{}); c.Outcome != dedupe.Acquired || err != nil {
			t.Errorf("the next claim: %v, %v", c.Outcome, err)
		}
	})
}

// After a wait, or for a claim that its owner already held, Do does not know how
// much of the lease is left.
func TestDoExtendsALeaseThatItDoesNotKnow(t *testing.T) {
	began(t, func(t *testing.T, since func() time.Duration) {
		f := newFaulty()
		o := options(30 * time.Second)
		o.Owner = "me"
		f.Claim(t.Context(), []byte("k"), o.ClaimOptions)
		time.Sleep(29 * time.Second)
		f.extend = func() error {
			if f.extensions == 1 {
				return nil
			}
			return refused()
		}
		_, err := dedupe.Do(t.Context(), f, []byte("k"), o, func(ctx context.Context, c dedupe.Claim) ([]byte, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		if !errors.Is(err, dedupe.ErrLeaseExpired) || since() != 59*time.Second {
			t.Errorf("%v after %v", err, since())
		}
	})
	began(t, func(t *testing.T, since func() time.Duration) {
		f := newFaulty()
		o := options(3 * time.Second)
		f.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: 20 * time.Second})
		o.Wait = time.Minute
		f.extend = refused
		_, err := dedupe.Do(t.Context(), f, []byte("k"), o, func(context.Context, dedupe.Claim) ([]byte, error) {
			t.Error("the work ran with a lease of unknown length")
			return nil, nil
		})
		if !errors.Is(err, dedupe.ErrOverloaded) || f.extensions != 1 {
			t.Errorf("%v after %d extensions", err, f.extensions)
		}
	})
	began(t, func(t *testing.T, since func() time.Duration) {
		f := newFaulty()
		dedupe.Do(t.Context(), f, []byte("k"), options(30*time.Second), work("", nil))
		if f.extensions != 0 {
			t.Errorf("%d extensions of a new lease", f.extensions)
		}
	})
}

// A fenced Extend after the work proves nothing: the claim may have ended
// because the result was stored.
func TestDoAsksWhetherItsResultIsStored(t *testing.T) {
	began(t, func(t *testing.T, since func() time.Duration) {
		f := newFaulty()
		f.complete = func() error {
			if f.completions == 1 {
				c, _ := f.Ledger.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Second, Owner: "owner"})
				f.Ledger.Complete(t.Context(), c, []byte("receipt"))
			}
			if since() < 25*time.Second {
				return &dedupe.Error{Op: "Complete", Retryable: true, Err: dedupe.ErrUnknownOutcome}
			}
			return nil
		}
		o := options(30 * time.Second)
		o.Owner = "owner"
		got, err := dedupe.Do(t.Context(), f, []byte("k"), o, work("receipt", nil))
		// One extension before the work, and one that is fenced.
		if string(got) != "receipt" || err != nil || f.extensions != 2 {
			t.Errorf("%q, %v, %d extensions", got, err, f.extensions)
		}
	})
}

// If work ends without a return, the claim is left to its lease, and nothing
// keeps extending it.
func TestPanicAndGoexitKeepTheClaim(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("boom") }, "Goexit": runtime.Goexit} {
		began(t, func(t *testing.T, since func() time.Duration) {
			f, over := newFaulty(), make(chan struct{})
			go func() {
				defer close(over)
				defer func() { recover() }()
				dedupe.Do(t.Context(), f, []byte("k"), options(time.Minute), func(context.Context, dedupe.Claim) ([]byte, error) { end(); return nil, nil })
			}()
			<-over
			wantOutcome(t, f, dedupe.InProgress, "")
			time.Sleep(time.Minute)
			c, err := f.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute})
			if err != nil || c.Outcome != dedupe.Acquired || !c.TakenOver || f.extensions != 0 {
				t.Errorf("%s: %v, %v, %d extensions", name, c.Outcome, err, f.extensions)
			}
		})
	}
}

func TestCompleteIsRepeatedUntilItsContextEnds(t *testing.T) {
	began(t, func(t *testing.T, since func() time.Duration) {
		f := newFaulty()
		c, _ := f.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Hour})
		f.complete = refused
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := dedupe.Complete(ctx, f, c, []byte("r")); !errors.Is(err, dedupe.ErrOverloaded) || since() != 20*time.Second {
			t.Errorf("%v after %v", err, since())
		}
		h := &hanging{f, 1}
		f.complete = nil
		if err := dedupe.Complete(t.Context(), h, c, []byte("r")); err != nil {
			t.Errorf("%v", err)
		}
		wantOutcome(t, f, dedupe.Replay, "r")
	})
	l := memdedupe.NewLedger(nil)
	c, _ := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Hour})
	if err := dedupe.Complete(t.Context(), l, c, make([]byte, dedupe.MaxResultSize+1)); !errors.Is(err, dedupe.ErrResultTooLarge) {
		t.Errorf("%v", err)
	}
	wantOutcome(t, l, dedupe.Replay, dedupe.ResultOmitted)
}

// A failure that should be stored but is too large is stored without its text.
func TestALargeFailureIsFinal(t *testing.T) {
	l, o := memdedupe.NewLedger(nil), options(time.Minute)
	o.OnFailure = func(error) dedupe.Disposition { return dedupe.StoreResult }
	_, err := dedupe.Do(t.Context(), l, []byte("k"), o, work(strings.Repeat("f", dedupe.MaxResultSize+1), errWork))
	if !errors.Is(err, errWork) || !errors.Is(err, dedupe.ErrResultTooLarge) {
		t.Errorf("%v", err)
	}
	_, err = dedupe.Do(t.Context(), l, []byte("k"), o, func(context.Context, dedupe.Claim) ([]byte, error) { panic("again") })
	if e := (*dedupe.Error)(nil); !errors.As(err, &e) || e.Op != "Do" || !errors.Is(err, dedupe.ErrResultTooLarge) {
		t.Errorf("%v", err)
	}
}

// A lease that cannot be extended before the work is given up. Nothing was
// done.
func TestDoDoesNotWaitForAHangingExtend(t *testing.T) {
	began(t, func(t *testing.T, since func() time.Duration) {
		o := options(30 * time.Second)
		o.Owner = "me"
		_, err := dedupe.Do(t.Context(), &slow{newFaulty(), 1}, []byte("k"), o, func(context.Context, dedupe.Claim) ([]byte, error) {
			t.Error("the work ran with a lease of unknown length")
			return nil, nil
		})
		if !errors.Is(err, context.DeadlineExceeded) || since() != 30*time.Second {
			t.Errorf("%v after %v", err, since())
		}
	})
}
