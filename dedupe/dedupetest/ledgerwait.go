package dedupetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"flow.internal/capdo/dedupe"
)

// waiters claims a key n times concurrently, with a wait, then calls do. It
// returns the claims, and checks that they waited for do.
func (l ledgerTest) waiters(n int, key string, do func()) []dedupe.Claim {
	l.Helper()
	const wait = 20 * time.Second
	claims := make([]dedupe.Claim, n)
	errs := make([]error, n)
	begin := time.Now()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			o := long("")
			o.Wait = wait
			claims[i], errs[i] = l.ledger.Claim(l.Context(), []byte(key), o)
		})
	}
	time.Sleep(100 * time.Millisecond)
	do()
	wg.Wait()
	if took := time.Since(begin); took < 90*time.Millisecond || took > wait/2 {
		l.Errorf("the waiters waited for %v", took)
	}
	if err := errors.Join(errs...); err != nil {
		l.Fatal(err)
	}
	return claims
}

func (l ledgerTest) wakeByCompletion() {
	c := l.claim("key", long("a"), dedupe.Acquired)
	for _, got := range l.waiters(8, "key", func() { l.complete(c, "result") }) {
		if got.Outcome != dedupe.Replay || string(got.Result) != "result" {
			l.Errorf("a waiter got %+v", got)
		}
	}
}

func (l ledgerTest) wakeByRelease() {
	c := l.claim("key", long("a"), dedupe.Acquired)
	got := l.waiters(1, "key", func() {
		if err := l.ledger.Release(l.Context(), c); err != nil {
			l.Error(err)
		}
	})
	if got[0].Outcome != dedupe.Acquired || got[0].Attempt != 2 {
		l.Errorf("the waiter got %+v", got[0])
	}
}

func (l ledgerTest) wakeByExpiry() {
	l.claim("key", lease("a", 250*time.Millisecond), dedupe.Acquired)
	got := l.waiters(1, "key", func() {})
	if got[0].Outcome != dedupe.Acquired || !got[0].TakenOver {
		l.Errorf("the waiter got %+v", got[0])
	}
}

func (l ledgerTest) wakeByForget() {
	l.claim("key", long("a"), dedupe.Acquired)
	got := l.waiters(1, "key", func() { l.forgetKey("key") })
	if got[0].Outcome != dedupe.Acquired || got[0].Attempt != 1 || got[0].TakenOver {
		l.Errorf("the waiter got %+v", got[0])
	}
}

func (l ledgerTest) boundedWait() {
	l.claim("key", long("a"), dedupe.Acquired)
	o := long("b")
	o.Wait = 100 * time.Millisecond
	begin := time.Now()
	l.claim("key", o, dedupe.InProgress)
	if took := time.Since(begin); took < 90*time.Millisecond || took > 10*time.Second {
		l.Errorf("a wait of %v took %v", o.Wait, took)
	}
	o.Wait = time.Minute
	begin = time.Now()
	l.claim("free", o, dedupe.Acquired)
	if took := time.Since(begin); took > 10*time.Second {
		l.Errorf("the claim of a free key waited for %v", took)
	}
}

func (l ledgerTest) cancelledWait() {
	c := l.claim("key", long("a"), dedupe.Acquired)
	cause := errors.New("cause")
	ctx, cancel := context.WithCancelCause(l.Context())
	o := long("b")
	o.Wait = time.Minute
	time.AfterFunc(200*time.Millisecond, func() { cancel(cause) })
	begin := time.Now()
	_, err := l.ledger.Claim(ctx, []byte("key"), o)
	l.wantError(err, "Claim", cause)
	if errors.Is(err, dedupe.ErrUnknownOutcome) {
		l.Errorf("%v; want a definite error", err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		l.Errorf("the wait ended after %v", took)
	}
	if err := l.ledger.Release(l.Context(), c); err != nil {
		l.Fatal(err)
	}
	time.Sleep(slack)
	l.claim("key", long("c"), dedupe.Acquired) // the canceled waiter does not hold it
}

func (l ledgerTest) waitMismatch() {
	l.claim("key", long("a"), dedupe.Acquired)
	o := long("b")
	o.Wait, o.Fingerprint = time.Minute, []byte("other")
	_, err := l.ledger.Claim(l.Context(), []byte("key"), o)
	l.wantError(err, "Claim", dedupe.ErrMismatch)
}
