package dedupetest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
)

// TestLedger checks everything that [dedupe.Ledger] promises. newLedger returns
// a ledger without records, for example one with its own scope. Each subtest
// calls it once. Subtests run one after another and take about 10 s together.
func TestLedger(t *testing.T, newLedger func(t *testing.T) dedupe.Ledger) {
	for _, test := range ledgerTests {
		t.Run(test.name, func(t *testing.T) { test.run(ledgerTest{t, newLedger(t)}) })
	}
	t.Run("Do keeps its promises when something around it misbehaves",
		func(t *testing.T) { ledgerTest{t, newLedger(t)}.doAmidFaults() })
}

var ledgerTests = []struct {
	name string
	run  func(l ledgerTest)
}{
	{"the first claim acquires and a repeat is in progress", ledgerTest.firstClaim},
	{"one of many concurrent claims acquires", ledgerTest.concurrentClaims},
	{"the same owner is given the same claim again", ledgerTest.sameOwner},
	{"a completed key is replayed with its result", ledgerTest.replay},
	{"a second completion by the holder changes nothing", ledgerTest.secondCompletion},
	{"a holder whose lease was taken over is fenced (known mistake: late Forget deleting a successor)", ledgerTest.staleHolder},
	{"a claim with another owner or fence is fenced and changes nothing", ledgerTest.wrongHolder},
	{"a claim that was completed, released or forgotten is over", ledgerTest.overHolder},
	{"fences grow over release, expiry, completion and Forget", ledgerTest.fences},
	{"an expired lease can be taken over (known mistake: in-progress records with the done-TTL)",
		ledgerTest.takeover},
	{"an expired lease that nobody has taken can be completed", ledgerTest.lateHolder},
	{"an extended lease lasts and is never shortened", ledgerTest.extend},
	{"a lease of 0 is the default", ledgerTest.defaultLease},
	{"a released key is acquired at once and its attempts are counted", ledgerTest.release},
	{"the key of a claim that failed is free (known mistake: uniqueness lock left behind when the insert fails)", ledgerTest.failedClaim},
	{"another fingerprint mismatches, in progress and completed (known mistake: payload hash stored and never compared)", ledgerTest.fingerprint},
	{"an honest retry after completion is replayed (known mistake: complete dropping the fingerprint)", ledgerTest.honestRetry},
	{"the window begins when the key is first seen (known mistake: sub-second TTL becoming 24 h)",
		ledgerTest.window},
	{"what becomes of an attempt is remembered beyond the window (known mistake: a takeover beyond the window that looks fresh)", ledgerTest.beyondWindow},
	{"a long TTL is kept (known mistake: ttl*1000 overflowing to inserted every time)",
		ledgerTest.longTTL},
	{"a completed key outlives its lease", ledgerTest.outliveLease},
	{"a result that is too large is refused and the key stays in progress", ledgerTest.largeResult},
	{"a waiter is woken by the completion", ledgerTest.wakeByCompletion},
	{"a waiter is woken by the release and acquires", ledgerTest.wakeByRelease},
	{"a waiter acquires when the lease is over", ledgerTest.wakeByExpiry},
	{"a waiter is woken by Forget and acquires (known mistake: a change that wakes nobody)",
		ledgerTest.wakeByForget},
	{"a wait is bounded", ledgerTest.boundedWait},
	{"a wait ends with its context and claims nothing", ledgerTest.cancelledWait},
	{"a waiter with another fingerprint mismatches", ledgerTest.waitMismatch},
	{"forget makes a key claimable at once and leaves others alone", ledgerTest.forget},
	{"an invalid claim is refused and changes nothing", ledgerTest.invalidClaim},
	{"a claim that does not hold a key of this ledger is refused", ledgerTest.invalidHolder},
	{"owner and fingerprint have up to 64 bytes", ledgerTest.sizes},
	{"keys that look alike are apart", ledgerTest.lookalikes},
	{"key, fingerprint and result belong to the caller", ledgerTest.copies},
	{"a context that has ended changes nothing", ledgerTest.endedContext},
	{"errors do not tell keys, owners or results", ledgerTest.errorText},
	{"work is done once by many callers of Do", ledgerTest.do},
	{"the ledger has a name", ledgerTest.name},
}

// ledgerTest is one test of one ledger.
type ledgerTest struct {
	testing.TB
	ledger dedupe.Ledger
}

// long returns options for a claim whose lease lasts.
func long(owner string) dedupe.ClaimOptions {
	return dedupe.ClaimOptions{Owner: owner, Lease: time.Minute, TTL: time.Hour}
}

// lease returns options for a claim that others can soon take over.
func lease(owner string, d time.Duration) dedupe.ClaimOptions {
	return dedupe.ClaimOptions{Owner: owner, Lease: d, TTL: time.Hour}
}

func (l ledgerTest) claim(key string, o dedupe.ClaimOptions, want dedupe.Outcome) dedupe.Claim {
	l.Helper()
	c, err := l.ledger.Claim(l.Context(), []byte(key), o)
	if err != nil || c.Outcome != want {
		l.Fatalf("claim by %q: %v, %v; want %v", o.Owner, c.Outcome, err, want)
	}
	return c
}

func (l ledgerTest) complete(c dedupe.Claim, result string) {
	l.Helper()
	if err := l.ledger.Complete(l.Context(), c, []byte(result)); err != nil {
		l.Fatalf("Complete: %v", err)
	}
}

func (l ledgerTest) wantReplay(key string, o dedupe.ClaimOptions, result string) dedupe.Claim {
	l.Helper()
	c := l.claim(key, o, dedupe.Replay)
	if string(c.Result) != result {
		l.Fatalf("replay of %d bytes (%.40q), want %d bytes (%.40q)", len(c.Result), c.Result,
			len(result), result)
	}
	return c
}

// wantFenced checks that a claim can no longer change anything.
func (l ledgerTest) wantFenced(c dedupe.Claim) {
	l.Helper()
	l.wantError(l.ledger.Complete(l.Context(), c, []byte("stale")), "Complete", dedupe.ErrFenced)
	l.wantError(l.ledger.Extend(l.Context(), c, time.Hour), "Extend", dedupe.ErrFenced)
	l.wantError(l.ledger.Release(l.Context(), c), "Release", dedupe.ErrFenced)
}

func (l ledgerTest) wantError(err error, op string, want error) {
	l.Helper()
	storeTest{TB: l.TB}.wantError(err, op, want)
}

func (l ledgerTest) firstClaim() {
	first := l.claim("key", long("a"), dedupe.Acquired)
	if first.Attempt != 1 || first.Fence <= 0 || first.Owner != "a" || string(first.Key) != "key" ||
		first.TakenOver {
		l.Errorf("claim %+v", first)
	}
	second := l.claim("key", long("b"), dedupe.InProgress)
	if second.Attempt != 1 || second.RetryAfter <= 0 || second.RetryAfter > time.Minute ||
		second.Fence != 0 {
		l.Errorf("claim in progress: %+v", second)
	}
	l.claim("another", long("b"), dedupe.Acquired)
	minted := l.claim("third", long(""), dedupe.Acquired)
	if minted.Owner == "" || l.claim("fourth", long(""), dedupe.Acquired).Owner == minted.Owner {
		l.Errorf("two claims without an owner got the same one: %q", minted.Owner)
	}
	l.claim("third", long(""), dedupe.InProgress)
}

func (l ledgerTest) concurrentClaims() {
	var acquired atomic.Int32
	start := make(chan struct{})
	var wg sync.WaitGroup
	for range 48 {
		wg.Go(func() {
			<-start
			c, err := l.ledger.Claim(l.Context(), []byte("key"), long(""))
			if err != nil {
				l.Error(err)
			}
			if c.Outcome == dedupe.Acquired {
				acquired.Add(1)
			}
		})
	}
	close(start)
	wg.Wait()
	if n := acquired.Load(); n != 1 {
		l.Errorf("%d of 48 concurrent claims acquired", n)
	}
}

func (l ledgerTest) sameOwner() {
	first := l.claim("key", long("a"), dedupe.Acquired)
	again := l.claim("key", long("a"), dedupe.Acquired)
	if again.Fence != first.Fence || again.Attempt != first.Attempt {
		l.Errorf("claim %+v, and again %+v", first, again)
	}
	l.claim("key", long("b"), dedupe.InProgress)
	l.complete(first, "result")
	l.wantReplay("key", long("a"), "result")
}

func (l ledgerTest) replay() {
	for name, result := range map[string]string{
		"text": "result", "nothing": "", "bytes": "\x00\xff\xfe\n",
		"the largest": strings.Repeat("\xfe", dedupe.MaxResultSize),
	} {
		begin := time.Now()
		l.complete(l.claim(name, long("a"), dedupe.Acquired), result)
		for range 2 {
			c := l.wantReplay(name, long("b"), result)
			if at := c.CompletedAt.Sub(begin); at < -time.Minute ||
				at > time.Minute || c.Attempt != 1 {
				l.Errorf("replay: completed %v after the claim, attempt %d", at, c.Attempt)
			}
		}
	}
}

func (l ledgerTest) secondCompletion() {
	c := l.claim("key", long("a"), dedupe.Acquired)
	l.complete(c, "first")
	l.complete(c, "second")
	l.complete(c, "third")
	l.wantReplay("key", long("b"), "first")
}

func (l ledgerTest) staleHolder() {
	stale := l.claim("key", lease("a", 50*time.Millisecond), dedupe.Acquired)
	time.Sleep(50*time.Millisecond + slack)
	holder := l.claim("key", long("b"), dedupe.Acquired)
	if !holder.TakenOver || holder.Attempt != 2 || holder.Fence <= stale.Fence {
		l.Errorf("claim %+v after fence %d", holder, stale.Fence)
	}
	l.wantFenced(stale)
	l.claim("key", long("c"), dedupe.InProgress)
	l.complete(holder, "result")
	l.wantFenced(stale)
	l.wantReplay("key", long("c"), "result")
}

func (l ledgerTest) wrongHolder() {
	holder := l.claim("key", long("a"), dedupe.Acquired)
	other := l.claim("other", long("b"), dedupe.Acquired)
	for _, change := range []func(c *dedupe.Claim){
		func(c *dedupe.Claim) { c.Owner = "b" },
		func(c *dedupe.Claim) { c.Owner = "" },
		func(c *dedupe.Claim) { c.Fence++ },
		func(c *dedupe.Claim) { c.Fence-- },
		func(c *dedupe.Claim) { c.Fence = 0 },
		func(c *dedupe.Claim) { c.Fence = -1 },
		func(c *dedupe.Claim) { c.Fence = math.MaxInt64 },
		func(c *dedupe.Claim) { c.Key = []byte("other") },
		func(c *dedupe.Claim) { c.Key = []byte("absent") },
	} {
		c := holder
		change(&c)
		l.wantFenced(c)
	}
	l.claim("key", long("c"), dedupe.InProgress)
	l.claim("other", long("c"), dedupe.InProgress)
	l.claim("absent", long("c"), dedupe.Acquired)
	l.complete(holder, "result")
	l.complete(other, "other result")
	l.wantReplay("key", long("c"), "result")
	l.wantReplay("other", long("c"), "other result")
}

func (l ledgerTest) overHolder() {
	completed := l.claim("completed", long("a"), dedupe.Acquired)
	l.complete(completed, "result")
	l.wantError(l.ledger.Extend(l.Context(), completed, time.Hour), "Extend", dedupe.ErrFenced)
	l.wantError(l.ledger.Release(l.Context(), completed), "Release", dedupe.ErrFenced)
	l.wantReplay("completed", long("b"), "result")

	released := l.claim("released", long("a"), dedupe.Acquired)
	for range 2 { // the second call repeats the first, as after a lost answer
		if err := l.ledger.Release(l.Context(), released); err != nil {
			l.Fatal(err)
		}
	}
	l.wantError(l.ledger.Complete(l.Context(), released, nil), "Complete", dedupe.ErrFenced)
	l.wantError(l.ledger.Extend(l.Context(), released, time.Hour), "Extend", dedupe.ErrFenced)
	l.claim("released", long("b"), dedupe.Acquired)
	l.wantFenced(released)
	l.claim("released", long("c"), dedupe.InProgress)

	forgotten := l.claim("forgotten", long("a"), dedupe.Acquired)
	l.forgetKey("forgotten")
	l.wantFenced(forgotten)
	l.claim("forgotten", long("b"), dedupe.Acquired)
	l.wantFenced(forgotten)
	l.claim("forgotten", long("c"), dedupe.InProgress)
}

func (l ledgerTest) forgetKey(key string) {
	l.Helper()
	if err := l.ledger.Forget(l.Context(), []byte(key)); err != nil {
		l.Fatalf("Forget: %v", err)
	}
}

func (l ledgerTest) fences() {
	var last int64
	grows := func(after string, o dedupe.ClaimOptions) dedupe.Claim {
		l.Helper()
		c := l.claim("key", o, dedupe.Acquired)
		if c.Fence <= last {
			l.Fatalf("after %s the fence is %d; before it was %d", after, c.Fence, last)
		}
		last = c.Fence
		return c
	}
	c := grows("nothing", long(""))
	for range 5 {
		if err := l.ledger.Release(l.Context(), c); err != nil {
			l.Fatal(err)
		}
		c = grows("a release", long("always the same"))
	}
	for range 5 {
		l.forgetKey("key")
		c = grows("Forget", long(""))
	}
	l.complete(c, "result")
	l.forgetKey("key")
	grows("Forget of a result", long(""))
	l.forgetKey("key")
	short := dedupe.ClaimOptions{Lease: time.Millisecond, TTL: time.Millisecond}
	for range 3 {
		grows("expiry", short)
		time.Sleep(slack)
	}
}

func (l ledgerTest) takeover() {
	inTime(l.TB, 200*time.Millisecond, func(key string, d time.Duration) bool {
		begin := time.Now()
		l.claim(key, lease("a", d), dedupe.Acquired)
		claimed := time.Now()
		c, err := l.ledger.Claim(l.Context(), []byte(key), long("b"))
		if err != nil {
			l.Fatal(err)
		}
		if time.Since(begin) > d-slack {
			return false
		}
		if c.Outcome != dedupe.InProgress || c.RetryAfter > d {
			l.Errorf("claim %+v, want one in progress for %v at most", c, d)
		}
		sleepUntil(claimed.Add(d + slack))
		if c := l.claim(key, long("b"), dedupe.Acquired); c.Attempt != 2 || !c.TakenOver {
			l.Errorf("claim %+v", c)
		}
		return true
	})
}

func (l ledgerTest) lateHolder() {
	completed := l.claim("completed", lease("a", time.Millisecond), dedupe.Acquired)
	extended := l.claim("extended", lease("a", time.Millisecond), dedupe.Acquired)
	released := l.claim("released", lease("a", time.Millisecond), dedupe.Acquired)
	time.Sleep(slack)
	l.complete(completed, "late")
	l.wantReplay("completed", long("b"), "late")
	if err := l.ledger.Extend(l.Context(), extended, time.Minute); err != nil {
		l.Error(err)
	}
	l.claim("extended", long("b"), dedupe.InProgress)
	if err := l.ledger.Release(l.Context(), released); err != nil {
		l.Error(err)
	}
	l.claim("released", long("b"), dedupe.Acquired)
}

func (l ledgerTest) extend() {
	c := l.claim("key", lease("a", 100*time.Millisecond), dedupe.Acquired)
	for _, d := range []time.Duration{time.Minute, time.Millisecond} {
		if err := l.ledger.Extend(l.Context(), c, d); err != nil {
			l.Fatal(err)
		}
	}
	time.Sleep(100*time.Millisecond + slack)
	l.claim("key", long("b"), dedupe.InProgress)
	for _, d := range []time.Duration{-1, dedupe.MaxLease + 1, math.MinInt64, math.MaxInt64} {
		l.wantError(l.ledger.Extend(l.Context(), c, d), "Extend", dedupe.ErrInvalidLease)
	}
	l.complete(c, "result")
}

func (l ledgerTest) defaultLease() {
	left := func(key string) time.Duration {
		l.Helper()
		return l.claim(key, long("b"), dedupe.InProgress).RetryAfter
	}
	l.claim("claimed", lease("a", 0), dedupe.Acquired)
	if d := left("claimed"); d <= 0 || d > dedupe.DefaultLease {
		l.Errorf("a lease of 0 lasts for %v more", d)
	}
	c := l.claim("extended", lease("a", time.Second), dedupe.Acquired)
	if err := l.ledger.Extend(l.Context(), c, 0); err != nil {
		l.Fatal(err)
	}
	if d := left("extended"); d <= time.Second || d > dedupe.DefaultLease {
		l.Errorf("a lease that is extended by 0 lasts for %v more", d)
	}
}

func (l ledgerTest) release() {
	o := long("a")
	o.Fingerprint = []byte("first")
	for attempt := 1; attempt <= 3; attempt++ {
		c := l.claim("key", o, dedupe.Acquired)
		if c.Attempt != attempt || c.TakenOver {
			l.Errorf("attempt %d is %+v", attempt, c)
		}
		if err := l.ledger.Release(l.Context(), c); err != nil {
			l.Fatal(err)
		}
	}
	o.Fingerprint = []byte("second")
	l.claim("key", o, dedupe.Acquired)
}

// failedClaim makes claims fail in the ways that every ledger has, and expects
// the next claim to acquire.
func (l ledgerTest) failedClaim() {
	ended, cancel := context.WithCancel(l.Context())
	cancel()
	_, err := l.ledger.Claim(ended, []byte("ended"), long("a"))
	l.wantError(err, "Claim", context.Canceled)
	o := long("a")
	o.Lease = -1
	_, err = l.ledger.Claim(l.Context(), []byte("invalid"), o)
	l.wantError(err, "Claim", dedupe.ErrInvalidLease)
	for _, key := range []string{"ended", "invalid"} {
		if c := l.claim(key, long("b"), dedupe.Acquired); c.Attempt != 1 {
			l.Errorf("the claim after one that failed: %+v", c)
		}
	}
}

func (l ledgerTest) fingerprint() {
	with := func(owner string, fingerprint string) dedupe.ClaimOptions {
		o := long(owner)
		o.Fingerprint = []byte(fingerprint)
		return o
	}
	mismatches := func(when string) {
		l.Helper()
		for _, f := range []string{"other", "", "fingerprint\x00", "fingerprin", "Fingerprint"} {
			_, err := l.ledger.Claim(l.Context(), []byte("key"), with("b", f))
			if !errors.Is(err, dedupe.ErrMismatch) {
				l.Errorf("%s: claim with fingerprint %q: %v", when, f, err)
			}
			l.wantError(err, "Claim", dedupe.ErrMismatch)
		}
	}
	c := l.claim("key", with("a", "fingerprint"), dedupe.Acquired)
	mismatches("in progress")
	_, err := l.ledger.Claim(l.Context(), []byte("key"), with("a", "other"))
	l.wantError(err, "Claim", dedupe.ErrMismatch)
	l.claim("key", with("b", "fingerprint"), dedupe.InProgress)
	l.complete(c, "result")
	mismatches("completed")
	l.claim("none", with("a", ""), dedupe.Acquired)
	_, err = l.ledger.Claim(l.Context(), []byte("none"), with("b", "some"))
	l.wantError(err, "Claim", dedupe.ErrMismatch)
}

func (l ledgerTest) honestRetry() {
	o := long("a")
	o.Fingerprint = []byte("fingerprint")
	l.complete(l.claim("key", o, dedupe.Acquired), "result")
	o.Owner = "b"
	l.wantReplay("key", o, "result")
}

func (l ledgerTest) window() {
	inTime(l.TB, 400*time.Millisecond, func(key string, ttl time.Duration) bool {
		begin := time.Now()
		c := l.claim(key, dedupe.ClaimOptions{Lease: ttl * 3 / 4, TTL: ttl}, dedupe.Acquired)
		seen := time.Now()
		time.Sleep(ttl / 2)
		completed := l.ledger.Complete(l.Context(), c, []byte("result"))
		a, err := l.ledger.Claim(l.Context(), []byte(key), long("b"))
		if time.Since(begin) > ttl-slack {
			return false
		}
		if err := errors.Join(completed, err); err != nil || a.Outcome != dedupe.Replay {
			l.Fatalf("%v, %v; want a replay", a.Outcome, err)
		}
		sleepUntil(seen.Add(ttl + slack))
		if c := l.claim(key, long("b"), dedupe.Acquired); c.Attempt != 1 || c.TakenOver {
			l.Errorf("after the window: %+v", c)
		}
		return true
	})
}

func (l ledgerTest) longTTL() {
	for n, ttl := range longTTLs() {
		o := dedupe.ClaimOptions{Owner: "a", Lease: dedupe.MaxLease, TTL: ttl}
		l.claim("held"+string(hammerKey(n)), o, dedupe.Acquired)
		l.complete(l.claim(string(hammerKey(n)), o, dedupe.Acquired), "result")
	}
	time.Sleep(slack)
	for n := range longTTLs() {
		l.claim("held"+string(hammerKey(n)), long("b"), dedupe.InProgress)
		l.wantReplay(string(hammerKey(n)), long("b"), "result")
	}
}

func (l ledgerTest) outliveLease() {
	l.complete(l.claim("key", lease("a", 50*time.Millisecond), dedupe.Acquired), "result")
	time.Sleep(50*time.Millisecond + slack)
	l.wantReplay("key", long("b"), "result")
}

func (l ledgerTest) largeResult() {
	c := l.claim("key", long("a"), dedupe.Acquired)
	l.wantError(l.ledger.Complete(l.Context(), c, make([]byte, dedupe.MaxResultSize+1)), "Complete",
		dedupe.ErrResultTooLarge)
	l.claim("key", long("b"), dedupe.InProgress)
	l.complete(c, "small")
	l.wantError(l.ledger.Complete(l.Context(), c, make([]byte, dedupe.MaxResultSize+1)), "Complete",
		dedupe.ErrResultTooLarge)
	l.wantReplay("key", long("b"), "small")
}

func (l ledgerTest) forget() {
	l.forgetKey("absent")
	l.claim("other", long("a"), dedupe.Acquired)
	l.complete(l.claim("key", long("a"), dedupe.Acquired), "result")
	l.forgetKey("key")
	l.forgetKey("key")
	if c := l.claim("key", long("b"), dedupe.Acquired); c.Attempt != 1 || c.TakenOver {
		l.Errorf("after Forget: %+v", c)
	}
	l.claim("other", long("b"), dedupe.InProgress)
}

func (l ledgerTest) do() {
	const callers, keys = 12, 3
	var works [keys]atomic.Int32
	var wg sync.WaitGroup
	for n := range callers * keys {
		wg.Go(func() {
			key := hammerKey(n % keys)
			o := dedupe.DoOptions{ClaimOptions: dedupe.ClaimOptions{Lease: 5 * time.Second,
				Wait: 20 * time.Second, Fingerprint: []byte("f")}}
			result, err := dedupe.Do(l.Context(), l.ledger, key, o, func(
				ctx context.Context, _ dedupe.Claim,
			) ([]byte, error) {
				if works[n%keys].Add(1) == 1 {
					// This error also releases the claim.
					return nil, dedupe.NoEffect(errors.New("the first attempt fails"))
				}
				time.Sleep(20 * time.Millisecond)
				return key, nil
			})
			if err == nil && !bytes.Equal(result, key) ||
				err != nil && err.Error() != "the first attempt fails" {
				l.Errorf("%q, %v", result, err)
			}
		})
	}
	wg.Wait()
	for key := range works {
		if got := works[key].Load(); got != 2 {
			l.Errorf("work ran %[2]d times for key %[1]d, want 2: one failure, one success",
				key, got)
		}
	}
}

func (l ledgerTest) name() {
	if l.ledger.Name() == "" {
		l.Error("Name() is empty")
	}
}
