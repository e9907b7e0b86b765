package dedupe_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/dedupe/memdedupe"
)

var errWork = errors.New("the work failed")

func work(result string, err error) func(context.Context, dedupe.Claim) ([]byte, error) {
	return func(context.Context, dedupe.Claim) ([]byte, error) { return []byte(result), err }
}

func options(lease time.Duration) dedupe.DoOptions {
	return dedupe.DoOptions{ClaimOptions: dedupe.ClaimOptions{Lease: lease}}
}

func wantOutcome(t *testing.T, l dedupe.Ledger, want dedupe.Outcome, result string) {
	t.Helper()
	c, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute})
	if err != nil || c.Outcome != want || string(c.Result) != result {
		t.Errorf("the next claim: %v with %q, %v; want %v", c.Outcome, c.Result, err, want)
	}
}

func TestDoRunsWorkOnceAndReplays(t *testing.T) {
	l := memdedupe.NewLedger(nil)
	for range 2 {
		got, err := dedupe.Do(t.Context(), l, []byte("k"), options(time.Minute), work("result", nil))
		if string(got) != "result" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	got, err := dedupe.Do(t.Context(), l, []byte("k"), options(time.Minute), func(context.Context, dedupe.Claim) ([]byte, error) { panic("again") })
	if string(got) != "result" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDoDisposesOfAFailureAsTheCallerChooses(t *testing.T) {
	for _, c := range []struct {
		d      dedupe.Disposition
		want   dedupe.Outcome
		result string
	}{{dedupe.ReleaseClaim, dedupe.Acquired, ""}, {dedupe.StoreResult, dedupe.Replay, "failure"}, {dedupe.LeaveToLease, dedupe.InProgress, ""}} {
		l := memdedupe.NewLedger(nil)
		o := options(time.Minute)
		o.OnFailure = func(err error) dedupe.Disposition {
			if err != errWork {
				t.Errorf("OnFailure is asked about %v", err)
			}
			return c.d
		}
		got, err := dedupe.Do(t.Context(), l, []byte("k"), o, work("failure", errWork))
		if !errors.Is(err, errWork) || string(got) != "failure" {
			t.Errorf("%q, %v", got, err)
		}
		wantOutcome(t, l, c.want, c.result)
	}
	// The default disposition.
	for err, want := range map[error]dedupe.Outcome{errWork: dedupe.InProgress, dedupe.NoEffect(errWork): dedupe.Acquired} {
		l := memdedupe.NewLedger(nil)
		_, got := dedupe.Do(t.Context(), l, []byte("k"), options(time.Minute), work("", err))
		if !errors.Is(got, errWork) || got.Error() != errWork.Error() || errors.Is(got, dedupe.ErrNoEffect) != (want == dedupe.Acquired) {
			t.Errorf("%v", got)
		}
		wantOutcome(t, l, want, "")
	}
	if dedupe.NoEffect(nil) != nil {
		t.Error("nil became an error")
	}
}

// Known mistake: a claim that has taken over is released by work that did
// nothing. Then the next holder does not check whether the first attempt had an
// effect.
func TestDoRemembersAnAmbiguousAttempt(t *testing.T) {
	gone, leave := context.WithCancel(t.Context())
	leave()
	for name, second := range map[string]func(l dedupe.Ledger) error{
		"work that did nothing": func(l dedupe.Ledger) error {
			_, err := dedupe.Do(t.Context(), l, []byte("k"), options(50*time.Millisecond), work("", dedupe.NoEffect(errWork)))
			return err
		},
		"a caller who left": func(l dedupe.Ledger) error {
			_, err := dedupe.Do(gone, l, []byte("k"), options(50*time.Millisecond), work("", nil))
			return err
		},
	} {
		l := memdedupe.NewLedger(nil)
		if _, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
		if err := second(l); err == nil {
			t.Errorf("%s: no error", name)
		}
		c, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute, Wait: time.Second})
		if err != nil || c.Outcome != dedupe.Acquired || !c.TakenOver {
			t.Errorf("%s: the third holder got %+v, %v", name, c, err)
		}
	}
}

func TestDoLeavesAPanicToTheLease(t *testing.T) {
	l := memdedupe.NewLedger(nil)
	func() {
		defer func() {
			if recover() != "boom" {
				t.Error("the panic was not repeated")
			}
		}()
		dedupe.Do(t.Context(), l, []byte("k"), options(time.Minute), func(context.Context, dedupe.Claim) ([]byte, error) { panic("boom") })
	}()
	wantOutcome(t, l, dedupe.InProgress, "")
}

func TestDoKeepsTheLeaseAlive(t *testing.T) {
	l := memdedupe.NewLedger(nil)
	_, err := dedupe.Do(t.Context(), l, []byte("k"), options(1500*time.Millisecond), func(ctx context.Context, _ dedupe.Claim) ([]byte, error) {
		time.Sleep(2 * time.Second)
		wantOutcome(t, l, dedupe.InProgress, "")
		return nil, ctx.Err()
	})
	if err != nil {
		t.Error(err)
	}
}

func TestDoEndsWorkWhoseClaimIsOver(t *testing.T) {
	l := memdedupe.NewLedger(nil)
	_, err := dedupe.Do(t.Context(), l, []byte("k"), options(60*time.Millisecond), func(ctx context.Context, _ dedupe.Claim) ([]byte, error) {
		l.Forget(t.Context(), []byte("k"))
		wantOutcome(t, l, dedupe.Acquired, "")
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	if !errors.Is(err, dedupe.ErrFenced) {
		t.Errorf("%v", err)
	}
	// The successor's claim was not released.
	wantOutcome(t, l, dedupe.InProgress, "")
}

func TestDoCompletesThoughItsContextHasEnded(t *testing.T) {
	l := memdedupe.NewLedger(nil)
	ctx, cancel := context.WithCancel(t.Context())
	got, err := dedupe.Do(ctx, l, []byte("k"), options(time.Minute), func(context.Context, dedupe.Claim) ([]byte, error) {
		cancel()
		return []byte("done"), nil
	})
	if string(got) != "done" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	wantOutcome(t, l, dedupe.Replay, "done")
}

func TestDoSaysThatAKeyIsInProgress(t *testing.T) {
	l := memdedupe.NewLedger(nil)
	wantOutcome(t, l, dedupe.Acquired, "")
	_, err := dedupe.Do(t.Context(), l, []byte("k"), options(time.Minute), work("", nil))
	var p *dedupe.InProgressError
	if !errors.Is(err, dedupe.ErrInProgress) || !errors.As(err, &p) || p.RetryAfter <= 0 || p.Attempt != 1 {
		t.Errorf("%v", err)
	}
}

func TestObservedReportsWhatHappensWithoutKeys(t *testing.T) {
	now := time.Unix(1000, 0)
	var mu sync.Mutex
	var got []string
	hashes := map[uint64]bool{}
	hash := func(key []byte) uint64 { return uint64(len(key)) + uint64(key[0])<<8 }
	l := dedupe.Observed(memdedupe.NewLedger(func() time.Time { return now }), hash, func(e dedupe.Event) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, e.Op+" "+string(e.Result))
		hashes[e.KeyHash] = true
		if (e.Err != nil) != (e.Result == dedupe.EventFailed || e.Result == dedupe.EventFenced || e.Result == dedupe.EventMismatched) || e.Took < 0 {
			t.Errorf("%+v", e)
		}
	})
	key, o := []byte("k"), dedupe.ClaimOptions{Lease: time.Second}
	first, _ := l.Claim(t.Context(), key, o)
	l.Claim(t.Context(), key, o)
	l.Claim(t.Context(), key, dedupe.ClaimOptions{Lease: time.Second, Fingerprint: []byte("f")})
	l.Claim(t.Context(), key, dedupe.ClaimOptions{Lease: -1})
	now = now.Add(time.Second)
	second, _ := l.Claim(t.Context(), key, o)
	l.Complete(t.Context(), first, nil)
	l.Extend(t.Context(), second, time.Second)
	l.Complete(t.Context(), second, nil)
	l.Claim(t.Context(), key, o)
	l.Release(t.Context(), second)
	l.Forget(t.Context(), key)
	want := []string{"Claim acquired", "Claim in_progress", "Claim mismatched", "Claim failed", "Claim expired", "Complete fenced", "Extend done",
		"Complete done", "Claim replayed", "Release fenced", "Forget done"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	if len(hashes) != 1 || !hashes['k'<<8+1] {
		t.Errorf("hashes of the key: %v", hashes)
	}
}

func TestObservedLedgerConforms(t *testing.T) {
	dedupetest.TestLedger(t, func(*testing.T) dedupe.Ledger {
		return dedupe.Observed(memdedupe.NewLedger(nil), nil, func(dedupe.Event) {})
	})
}

// deadlines records whether calls have a deadline. A ledger would repeat lost
// calls until that deadline.
type deadlines struct {
	dedupe.Ledger
	seen map[string]bool
}

func (d deadlines) Extend(ctx context.Context, c dedupe.Claim, lease time.Duration) error {
	_, d.seen["Extend"] = ctx.Deadline()
	return d.Ledger.Extend(ctx, c, lease)
}

func (d deadlines) Release(ctx context.Context, c dedupe.Claim) error {
	_, d.seen["Release"] = ctx.Deadline()
	return d.Ledger.Release(ctx, c)
}

// If the caller has no deadline, Do must not give one to its own calls before
// or after the work. Otherwise a call would wait for the lease.
func TestDoGivesCallsNoDeadlineThatItsCallerDidNot(t *testing.T) {
	for _, has := range []bool{false, true} {
		d := deadlines{memdedupe.NewLedger(nil), map[string]bool{}}
		ctx := t.Context()
		if has {
			within, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			ctx = within
		}
		opts := dedupe.DoOptions{ClaimOptions: dedupe.ClaimOptions{Owner: "again", Lease: dedupe.MaxLease}}
		_, err := dedupe.Do(ctx, d, []byte("k"), opts, func(context.Context, dedupe.Claim) ([]byte, error) {
			return nil, dedupe.NoEffect(errors.New("nothing was done"))
		})
		if !errors.Is(err, dedupe.ErrNoEffect) || d.seen["Extend"] != has || d.seen["Release"] {
			t.Errorf("with a deadline %v: %v, %v", has, d.seen, err)
		}
	}
}
