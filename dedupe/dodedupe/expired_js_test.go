package dodedupe

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// expiredHook is OnExpired of the class Notifying, if a test has set it.
var expiredHook func(ctx context.Context, env *durable.Env, e Expired) error

func onExpired(ctx context.Context, env *durable.Env, e Expired) error {
	if expiredHook == nil {
		return nil
	}
	return expiredHook(ctx, env, e)
}

// eachMapping runs a test with each mapping.
func eachMapping(t *testing.T, test func(t *testing.T, opts *LedgerOptions)) {
	for _, m := range []Mapping{PerKey(), Buckets(2)} {
		t.Run(m.String(), func(t *testing.T) {
			test(t, &LedgerOptions{Binding: "NOTIFYING", Mapping: m, Scope: "a:scope"})
		})
	}
}

func notifyingLedger(t *testing.T, opts *LedgerOptions) *Ledger {
	t.Helper()
	l, err := NewLedger(durabletest.Env(t, nil), opts)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A holder crashes. The object notices it, and another program does the work.
// Completed claims, and claims taken over in time, are not reported.
func TestExpiredClaimIsReported(t *testing.T) {
	eachMapping(t, func(t *testing.T, opts *LedgerOptions) {
		l := notifyingLedger(t, opts)
		expired := make(chan Expired, 10)
		setHook(t, &expiredHook, func(ctx context.Context, env *durable.Env, e Expired) error {
			l, err := NewLedger(env, opts)
			if err != nil {
				return err
			}
			_, err = dedupe.Do(ctx, l, e.Key, dedupe.DoOptions{ClaimOptions: dedupe.ClaimOptions{Lease: time.Minute}},
				func(context.Context, dedupe.Claim) ([]byte, error) { return []byte("recovered"), nil })
			expired <- e
			return err
		})
		claim := func(key string, lease time.Duration) dedupe.Claim {
			t.Helper()
			c, err := l.Claim(t.Context(), []byte(key), dedupe.ClaimOptions{Lease: lease, TTL: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		dead := claim("dead", 150*time.Millisecond)
		if err := l.Complete(t.Context(), claim("done", 150*time.Millisecond), []byte("done")); err != nil {
			t.Error(err)
		}
		if err := l.Release(t.Context(), claim("released", 150*time.Millisecond)); err != nil {
			t.Error(err)
		}
		if err := l.Extend(t.Context(), claim("extended", 150*time.Millisecond), time.Minute); err != nil {
			t.Error(err)
		}
		e := <-expired
		if e.Scope != "a:scope" || string(e.Key) != "dead" || e.Fence != dead.Fence || e.Attempt != 1 {
			t.Errorf("reported: %+v", e)
		}
		if c := claim("dead", time.Minute); c.Outcome != dedupe.Replay || string(c.Result) != "recovered" {
			t.Errorf("%+v", c)
		}
		if len(expired) > 0 {
			t.Errorf("unexpected notice of %+v", <-expired)
		}
		if err := l.Complete(t.Context(), dead, nil); !errors.Is(err, dedupe.ErrFenced) {
			t.Errorf("the crashed holder: %v", err)
		}
	})
}

// The object is not in memory when the lease ends, and OnExpired fails the
// first time.
func TestExpiredClaimIsReportedAfterSIGKILL(t *testing.T) {
	eachMapping(t, func(t *testing.T, opts *LedgerOptions) {
		attempts := make(chan Expired, 10)
		setHook(t, &expiredHook, func(_ context.Context, _ *durable.Env, e Expired) error {
			attempts <- e
			if len(attempts) < 2 {
				return errors.New("boom")
			}
			return nil
		})
		l := notifyingLedger(t, opts)
		if _, err := l.Claim(t.Context(), []byte("dead"), dedupe.ClaimOptions{Lease: 400 * time.Millisecond, TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		durabletest.Restart(t)
		begin := time.Now()
		for len(attempts) < 2 && time.Since(begin) < 20*time.Second {
			time.Sleep(20 * time.Millisecond)
		}
		if len(attempts) != 2 {
			t.Fatalf("reported %d times", len(attempts))
		}
		l = notifyingLedger(t, opts)
		if c, err := l.Claim(t.Context(), []byte("dead"), dedupe.ClaimOptions{Lease: time.Minute}); c.Outcome != dedupe.Acquired || !c.TakenOver || err != nil {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

// The alarm starts the object, so this instance has not received its name in a
// message.
func TestLongScopeIsReportedAfterSIGKILL(t *testing.T) {
	eachMapping(t, func(t *testing.T, opts *LedgerOptions) {
		opts.Scope = strings.Repeat("a long scope", 100)
		expired := make(chan Expired, 10)
		setHook(t, &expiredHook, func(_ context.Context, _ *durable.Env, e Expired) error { expired <- e; return nil })
		if _, err := notifyingLedger(t, opts).Claim(t.Context(), []byte("dead"), dedupe.ClaimOptions{Lease: time.Second, TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		durabletest.Restart(t)
		if e := <-expired; e.Scope != opts.Scope || string(e.Key) != "dead" {
			t.Errorf("got a notice of key %q in a scope of %d bytes", e.Key, len(e.Scope))
		}
	})
}

// A slow or failing OnExpired for one key must not delay the notices of others.
func TestFailingNoticeDoesNotDelayOthers(t *testing.T) {
	for name, trouble := range map[string]func(context.Context) error{
		"fails":  func(context.Context) error { return errors.New("boom") },
		"panics": func(context.Context) error { panic("boom") },
		"exits":  func(context.Context) error { runtime.Goexit(); return nil },
		"hangs":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			seen := make(chan string, 100)
			end, over := context.WithCancel(t.Context())
			defer over()
			poisoned := false
			setHook(t, &expiredHook, func(_ context.Context, _ *durable.Env, e Expired) error {
				seen <- string(e.Key)
				if string(e.Key) == "poison" && !poisoned {
					poisoned = true
					return trouble(end)
				}
				return nil
			})
			l := notifyingLedger(t, &LedgerOptions{Binding: "NOTIFYING", Mapping: Buckets(1), Scope: t.Name()})
			for n, key := range []string{"poison", "good", "later"} {
				lease := time.Duration(300+n*5)*time.Millisecond + time.Duration(n/2)*time.Second
				if _, err := l.Claim(t.Context(), []byte(key), dedupe.ClaimOptions{Lease: lease}); err != nil {
					t.Fatal(err)
				}
			}
			begin, counts := time.Now(), map[string]int{}
			for counts["good"] == 0 || counts["later"] == 0 || counts["poison"] < 2 {
				select {
				case key := <-seen:
					counts[key]++
				case <-time.After(20 * time.Second):
					t.Fatalf("notices in 20 s: %v", counts)
				}
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("the others' notices came after %v", took)
			}
		})
	}
}

func TestExpiredLongKeyIsReported(t *testing.T) {
	eachMapping(t, func(t *testing.T, opts *LedgerOptions) {
		key := strings.Repeat("k", dedupe.MaxKeySize)
		opts.Scope = strings.Repeat("a long scope", 100)
		expired := make(chan Expired, 1)
		setHook(t, &expiredHook, func(_ context.Context, _ *durable.Env, e Expired) error { expired <- e; return nil })
		l := notifyingLedger(t, opts)
		if _, err := l.Claim(t.Context(), []byte(key), dedupe.ClaimOptions{Lease: 10 * time.Millisecond, TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		// The name is longer than the name that an object knows about itself.
		if e := <-expired; string(e.Key) != key || e.Scope != opts.Scope {
			t.Errorf("got a notice of a key of %d bytes in a scope of %d", len(e.Key), len(e.Scope))
		}
		object, _ := opts.Mapping.locate(kindLedger, opts.Scope, []byte(key))
		stub := durabletest.Env(t, nil).Object(opts.Binding, object)
		over := false // the alarm is set for the end of the window
		for end := time.Now().Add(5 * time.Second); !over && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
				at, err := state.Storage().GetAlarm(ctx, nil)
				over = time.Until(at) > time.Minute && err == nil
			})
		}
		if !over {
			t.Error("the alarm does not stop")
		}
	})
}

// More holders crash at once than one alarm can report, and their windows have
// also ended.
func TestManyHoldersAreReportedAfterTheirWindow(t *testing.T) {
	const holders = 60 // more than one alarm reports
	expired := make(chan string, 2*holders)
	setHook(t, &expiredHook, func(_ context.Context, _ *durable.Env, e Expired) error { expired <- string(e.Key); return nil })
	l := notifyingLedger(t, &LedgerOptions{Binding: "NOTIFYING", Mapping: Buckets(1)})
	for n := range holders {
		opts := dedupe.ClaimOptions{Lease: 500 * time.Millisecond, TTL: time.Millisecond}
		if _, err := l.Claim(t.Context(), fmt.Append(nil, n), opts); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	for len(seen) < holders {
		select {
		case key := <-expired:
			seen[key] = true
		case <-time.After(10 * time.Second):
			t.Fatalf("got notices of %d holders", len(seen))
		}
	}
}

func TestEmbeddedLedgerTellsOfHoldersThatDied(t *testing.T) {
	o := openHost(t)
	expired := make(chan Expired, 10)
	setHook(t, &onHostExpired, func(ctx context.Context, h *host, e Expired) error {
		_, _, err := h.ledger.Once(ctx, e.Key, nil, func(int64) ([]byte, error) { return []byte("recovered"), h.deposit(5) })
		expired <- e
		return err
	})
	dead, err := o.Claim(t.Context(), []byte("dead"), dedupe.ClaimOptions{Lease: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if ran, err := durabletest.RunAlarm(t, o.stub); !ran || err != nil || len(expired) > 0 {
		t.Errorf("before the lease ends: %v, %v, %d notices", ran, err, len(expired))
	}
	if e := <-expired; string(e.Key) != "dead" || e.Fence != dead.Fence || e.Attempt != 1 || e.Scope != "" {
		t.Errorf("%+v", e)
	}
	if c, err := o.Claim(t.Context(), []byte("dead"), dedupe.ClaimOptions{Lease: time.Minute}); c.Outcome != dedupe.Replay || string(c.Result) != "recovered" || err != nil {
		t.Errorf("%+v, %v", c, err)
	}
	o.wantBalance("5")
}
