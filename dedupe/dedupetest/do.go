package dedupetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
)

// doTest is a situation in which dedupe.Do must keep its promises although
// something around it misbehaves.
type doTest struct {
	name string
	run  func(l ledgerTest, key string)
}

// doTests take about 5 s in total, because they run concurrently.
var doTests = []doTest{
	{"the lease is kept until work has returned, though its caller has left", ledgerTest.doLeft},
	{"the lease is kept until the result is stored", ledgerTest.doStores},
	{"the context of work ends when Extend hangs", ledgerTest.doHangs},
	{"the context of work ends when Extend hangs and ignores its context", ledgerTest.doHangsOn},
	{"the context of work ends when Extend fails", ledgerTest.doCannotExtend},
	{"a completion that is refused is repeated", ledgerTest.doRefused},
	{"a completion whose answer is lost is repeated", ledgerTest.doLost},
	{"a claim whose answer is lost is asked for again", ledgerTest.doClaimLost},
	{"work is told that it has taken over", ledgerTest.doTakesOver},
	{"work with a result that is too large is not done again", ledgerTest.doLarge},
	{"a failure leaves the claim to its lease", ledgerTest.doFails},
	{"a failure that did nothing releases the claim", ledgerTest.doNothing},
	{"a caller that leaves before work begins releases the claim", ledgerTest.doLeavesBefore},
}

// doAmidFaults runs all doTests concurrently, each on its own key.
func (l ledgerTest) doAmidFaults() {
	var wg sync.WaitGroup
	for n, test := range doTests {
		wg.Go(func() {
			test.run(ledgerTest{named{l.TB, test.name}, l.ledger}, fmt.Sprint("do ", n))
		})
	}
	wg.Wait()
}

// named adds the situation's name to error messages.
type named struct {
	tb
	name string
}

type tb = testing.TB // embedding TB would hide the field name

func (n named) Errorf(format string, args ...any) {
	n.Helper()
	n.tb.Errorf("Do: "+n.name+": "+format, args...)
}

func (n named) Fatalf(format string, args ...any) {
	n.Helper()
	n.tb.Fatalf("Do: "+n.name+": "+format, args...)
}

// doLease is long enough to be extended on a busy machine.
const doLease = 3 * time.Second

// troubled is a ledger with faults around it.
type troubled struct {
	dedupe.Ledger
	claim func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error)
	// trouble, if set, replaces Extend.
	trouble atomic.Pointer[func(ctx context.Context) error]
	// complete returns two errors. If before is set, Complete fails with it and
	// does not run. If after is set, Complete runs and fails with it.
	complete func() (before, after error)
}

func (l *troubled) Claim(
	ctx context.Context, key []byte, o dedupe.ClaimOptions,
) (dedupe.Claim, error) {
	if l.claim != nil {
		return l.claim(ctx, key, o)
	}
	return l.Ledger.Claim(ctx, key, o)
}

func (l *troubled) Extend(ctx context.Context, c dedupe.Claim, lease time.Duration) error {
	if extend := l.trouble.Load(); extend != nil {
		return (*extend)(ctx)
	}
	return l.Ledger.Extend(ctx, c, lease)
}

func (l *troubled) Complete(ctx context.Context, c dedupe.Claim, result []byte) error {
	if l.complete == nil {
		return l.Ledger.Complete(ctx, c, result)
	}
	before, after := l.complete()
	if before != nil {
		return before
	}
	if err := l.Ledger.Complete(ctx, c, result); err != nil {
		return err
	}
	return after
}

func overloaded(op string) error {
	return &dedupe.Error{Op: op, Retryable: true, Err: dedupe.ErrOverloaded}
}

func lost(op string) error {
	return &dedupe.Error{Op: op, Retryable: true, Err: dedupe.ErrUnknownOutcome}
}

func doOptions() dedupe.DoOptions {
	return dedupe.DoOptions{ClaimOptions: dedupe.ClaimOptions{Lease: doLease, TTL: time.Hour}}
}

// doOnce does a key's work on a ledger around this one. It expects one run and
// a stored result.
func (l ledgerTest) doOnce(
	ctx context.Context, around dedupe.Ledger, key string,
	work func(ctx context.Context, claim dedupe.Claim),
) {
	l.Helper()
	runs := 0
	got, err := dedupe.Do(ctx, around, []byte(key), doOptions(), func(
		ctx context.Context, claim dedupe.Claim,
	) ([]byte, error) {
		runs++
		work(ctx, claim)
		return []byte("result"), nil
	})
	if string(got) != "result" || err != nil || runs != 1 {
		l.Errorf("%q, %v after %d runs", got, err, runs)
		return
	}
	l.wantReplay(key, long("next"), "result")
}

// watchHeld checks that a key stays in progress until stop is called.
func (l ledgerTest) watchHeld(key string) (stop func()) {
	over, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case <-over:
				return
			case <-time.After(100 * time.Millisecond):
			}
			c, err := l.ledger.Claim(l.Context(), []byte(key), long("other"))
			select {
			case <-over: // the answer may describe a later state
				return
			default:
			}
			if err != nil || c.Outcome != dedupe.InProgress {
				l.Errorf("the key is not in progress: %v, %v", c.Outcome, err)
				return
			}
		}
	}()
	return func() { close(over); <-watched }
}

func (l ledgerTest) doLeft(key string) {
	ctx, leave := context.WithCancel(l.Context())
	l.doOnce(ctx, l.ledger, key, func(ctx context.Context, _ dedupe.Claim) {
		leave()
		defer l.watchHeld(key)()
		if <-ctx.Done(); context.Cause(ctx) != context.Canceled {
			l.Errorf("the context of work ended: %v", context.Cause(ctx))
		}
		time.Sleep(doLease * 3 / 2)
	})
}

func (l ledgerTest) doStores(key string) {
	var begin time.Time
	var stop func()
	around := &troubled{Ledger: l.ledger, complete: func() (before, after error) {
		if time.Since(begin) < doLease*3/2 {
			return overloaded("Complete"), nil
		}
		stop()
		return nil, nil
	}}
	l.doOnce(l.Context(), around, key,
		func(context.Context, dedupe.Claim) { begin, stop = time.Now(), l.watchHeld(key) })
}

func (l ledgerTest) doHangs(key string) {
	l.doEnds(key, func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) })
}

func (l ledgerTest) doHangsOn(key string) {
	over := make(chan struct{})
	defer close(over)
	l.doEnds(key, func(context.Context) error { <-over; return overloaded("Extend") })
}

func (l ledgerTest) doCannotExtend(key string) {
	l.doEnds(key, func(context.Context) error { return overloaded("Extend") })
}

// doEnds checks that the context of work ends with the lease.
func (l ledgerTest) doEnds(key string, extend func(ctx context.Context) error) {
	begin, around := time.Now(), &troubled{Ledger: l.ledger}
	_, err := dedupe.Do(l.Context(), around, []byte(key), doOptions(), func(
		ctx context.Context, _ dedupe.Claim,
	) ([]byte, error) {
		around.trouble.Store(&extend)
		select {
		case <-ctx.Done():
		case <-time.After(20 * doLease):
		}
		return nil, context.Cause(ctx)
	})
	if took := time.Since(begin); !errors.Is(err, dedupe.ErrLeaseExpired) || took < doLease {
		l.Errorf("the context of work ended after %v, of a lease of %v: %v", took, doLease, err)
	}
	next := long("next")
	next.Wait = 5 * time.Second // the holder stops first
	l.claim(key, next, dedupe.Acquired)
}

func (l ledgerTest) doRefused(key string) {
	n := 0
	around := &troubled{Ledger: l.ledger, complete: func() (before, after error) {
		if n++; n <= 2 {
			return overloaded("Complete"), nil
		}
		return nil, nil
	}}
	l.doOnce(l.Context(), around, key, func(context.Context, dedupe.Claim) {})
}

func (l ledgerTest) doLost(key string) {
	n := 0
	around := &troubled{Ledger: l.ledger, complete: func() (before, after error) {
		switch n++; n {
		case 1:
			return lost("Complete"), nil
		case 2, 3:
			return nil, lost("Complete")
		}
		return nil, nil
	}}
	l.doOnce(l.Context(), around, key, func(context.Context, dedupe.Claim) {})
}

func (l ledgerTest) doClaimLost(key string) {
	n := 0
	around := &troubled{Ledger: l.ledger, claim: func(
		ctx context.Context, key []byte, o dedupe.ClaimOptions,
	) (dedupe.Claim, error) {
		c, err := l.ledger.Claim(ctx, key, o)
		if n++; n == 1 && err == nil {
			return dedupe.Claim{Ledger: c.Ledger, Key: c.Key, Owner: c.Owner}, lost("Claim")
		}
		return c, err
	}}
	l.doOnce(l.Context(), around, key, func(_ context.Context, c dedupe.Claim) {
		if c.Attempt != 1 || c.TakenOver {
			l.Errorf("%+v", c)
		}
	})
}

func (l ledgerTest) doTakesOver(key string) {
	before := l.claim(key, dedupe.ClaimOptions{Lease: time.Millisecond,
		TTL: time.Hour}, dedupe.Acquired)
	time.Sleep(20 * time.Millisecond)
	l.doOnce(l.Context(), l.ledger, key, func(_ context.Context, c dedupe.Claim) {
		if string(c.Key) != key || c.Attempt != 2 || !c.TakenOver || c.Fence <= before.Fence {
			l.Errorf("attempt %d, taken over: %v, fence %d after %d", c.Attempt, c.TakenOver,
				c.Fence, before.Fence)
		}
	})
}

func (l ledgerTest) doLarge(key string) {
	runs := 0
	for n := range 3 {
		got, err := dedupe.Do(l.Context(), l.ledger, []byte(key), doOptions(), func(
			context.Context, dedupe.Claim,
		) ([]byte, error) {
			runs++
			return make([]byte, dedupe.MaxResultSize+1), nil
		})
		if !errors.Is(err, dedupe.ErrResultTooLarge) || runs != 1 || (len(got) > 0) != (n == 0) {
			l.Errorf("call %d: %d bytes, %v after %d runs", n, len(got), err, runs)
		}
	}
	l.wantReplay(key, long("next"), dedupe.ResultOmitted)
}

func (l ledgerTest) doFails(key string) {
	l.doFailing(key, context.DeadlineExceeded, dedupe.InProgress)
}

func (l ledgerTest) doNothing(key string) {
	l.doFailing(key, dedupe.NoEffect(errors.New("refused")), dedupe.Acquired)
}

func (l ledgerTest) doFailing(key string, failure error, next dedupe.Outcome) {
	o := doOptions()
	o.Lease = time.Minute
	_, err := dedupe.Do(l.Context(), l.ledger, []byte(key), o,
		func(context.Context, dedupe.Claim) ([]byte, error) { return nil, failure })
	if !errors.Is(err, failure) {
		l.Errorf("%v", err)
	}
	l.claim(key, long("next"), next)
}

func (l ledgerTest) doLeavesBefore(key string) {
	ctx, leave := context.WithCancel(l.Context())
	var ran atomic.Bool
	around := &troubled{Ledger: l.ledger, claim: func(
		ctx context.Context, key []byte, o dedupe.ClaimOptions,
	) (dedupe.Claim, error) {
		defer leave()
		return l.ledger.Claim(ctx, key, o)
	}}
	o := doOptions()
	o.Lease = time.Minute // time for the release
	_, err := dedupe.Do(ctx, around, []byte(key), o,
		func(context.Context, dedupe.Claim) ([]byte, error) { ran.Store(true); return nil, nil })
	if !errors.Is(err, context.Canceled) || ran.Load() {
		l.Errorf("%v; work ran: %v", err, ran.Load())
	}
	l.claim(key, long("next"), dedupe.Acquired)
}
