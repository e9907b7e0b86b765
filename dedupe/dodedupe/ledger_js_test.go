package dodedupe

import (
	"context"
	"errors"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// realLedger returns ledgers on real objects. Each subtest has a scope of its
// own.
func realLedger(binding string, mapping Mapping) func(t *testing.T) dedupe.Ledger {
	return func(t *testing.T) dedupe.Ledger {
		t.Helper()
		l, err := NewLedger(durabletest.Env(t, nil), &LedgerOptions{Binding: binding, Mapping: mapping, Scope: t.Name()})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
}

func TestLedgerPerKeyOnRealObjects(t *testing.T) {
	dedupetest.TestLedger(t, realLedger("", PerKey()))
}

func TestLedgerInBucketsOnRealObjects(t *testing.T) {
	dedupetest.TestLedger(t, realLedger("", Buckets(3)))
}

func TestLedgerInOneBucketOnRealObjects(t *testing.T) {
	dedupetest.TestLedger(t, realLedger("", Buckets(1)))
}

// Older accounts have classes with key-value storage.
func realSequencer(binding string) func(t *testing.T) dedupe.Sequencer {
	return func(t *testing.T) dedupe.Sequencer {
		s, err := NewSequencer(durabletest.Env(t, nil), &LedgerOptions{Binding: binding, Scope: t.Name()})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestSequencerOnRealObjects(t *testing.T) { dedupetest.TestSequencer(t, realSequencer("")) }

// On key-value storage only a store with an object per key works. All else is
// refused with a named error, and changes nothing.
func TestKeyValueStorageIsRefused(t *testing.T) {
	for _, binding := range []string{"LEDGER_KV", "SHOP_KV"} {
		store, err := NewStore(durabletest.Env(t, nil), &StoreOptions{Binding: binding, Mapping: Buckets(2)})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range []Mapping{PerKey(), Buckets(2)} {
			_, err := realLedger(binding, m)(t).Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute, Wait: time.Minute})
			wantNeedsSQLite(t, err)
		}
		_, err = realSequencer(binding)(t).Next(t.Context(), []byte("s"), []byte("k"), nil, 0)
		wantNeedsSQLite(t, err)
		_, err = store.PutIfAbsent(t.Context(), []byte("k"), 0)
		wantNeedsSQLite(t, err)
		wantNeedsSQLite(t, store.Forget(t.Context(), []byte("k")))
	}
}

func wantNeedsSQLite(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, ErrNeedsSQLite) || !errors.Is(err, durable.ErrNoSQL) || errors.Is(err, dedupe.ErrUnknownOutcome) {
		t.Errorf("%v", err)
	}
}

func openLedger(t *testing.T, m Mapping) *Ledger {
	t.Helper()
	l, err := NewLedger(durabletest.Env(t, nil), &LedgerOptions{Mapping: m})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ledgerStub returns the object of a key.
func ledgerStub(t *testing.T, object string) *durable.Stub {
	t.Helper()
	stub := durabletest.Env(t, nil).Object("LEDGER", object)
	return stub
}

// both runs a test on an object for one key, and on an object for many keys.
func both(t *testing.T, test func(t *testing.T, m Mapping, object string)) {
	for _, m := range []Mapping{PerKey(), Buckets(1)} {
		t.Run(m.String(), func(t *testing.T) {
			object, _ := m.locate(kindLedger, "", []byte("k"))
			test(t, m, object)
		})
	}
}

func mustClaim(t *testing.T, l *Ledger, o dedupe.ClaimOptions, want dedupe.Outcome) dedupe.Claim {
	t.Helper()
	c, err := l.Claim(t.Context(), []byte("k"), o)
	if err != nil || c.Outcome != want {
		t.Fatalf("claim: %v, %v; want %v", c.Outcome, err, want)
	}
	return c
}

// beginWait claims the key in the background, and waits for it.
func beginWait(t *testing.T, l dedupe.Ledger, wait time.Duration) <-chan dedupe.Claim {
	got := make(chan dedupe.Claim, 1)
	go func() {
		c, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute, Wait: wait})
		if err != nil {
			t.Error(err)
		}
		got <- c
	}()
	return got
}

func TestLedgerSurvivesSIGKILLAndEviction(t *testing.T) {
	both(t, func(t *testing.T, m Mapping, object string) {
		o := dedupe.ClaimOptions{Lease: time.Minute, TTL: time.Hour, Fingerprint: []byte("f")}
		c := mustClaim(t, openLedger(t, m), o, dedupe.Acquired)
		durabletest.Restart(t)
		l := openLedger(t, m)
		mustClaim(t, l, o, dedupe.InProgress)
		if err := l.Complete(t.Context(), c, []byte("result")); err != nil {
			t.Fatal(err)
		}
		durabletest.Evict(t, ledgerStub(t, object))
		if r := mustClaim(t, l, o, dedupe.Replay); string(r.Result) != "result" {
			t.Errorf("%+v", r)
		}
		if err := l.Forget(t.Context(), []byte("k")); err != nil {
			t.Fatal(err)
		}
		durabletest.Restart(t)
		if again := mustClaim(t, openLedger(t, m), o, dedupe.Acquired); again.Fence <= c.Fence {
			t.Errorf("fence %d after %d", again.Fence, c.Fence)
		}
	})
}

// The alarm reaches an object that has received no message since it was built,
// so the object does not know what it stores.
func TestAlarmEmptiesALedgersObject(t *testing.T) {
	both(t, func(t *testing.T, m Mapping, object string) {
		l := openLedger(t, m)
		mustClaim(t, l, dedupe.ClaimOptions{Lease: time.Second, TTL: time.Second}, dedupe.Acquired)
		stub := ledgerStub(t, object)
		durabletest.Evict(t, stub)
		if ran, err := durabletest.RunAlarm(t, stub); !ran || err != nil {
			t.Errorf("early alarm: %v, %v", ran, err)
		}
		mustClaim(t, l, dedupe.ClaimOptions{Lease: time.Minute}, dedupe.InProgress)
		durabletest.Evict(t, stub)
		// A lease that ran out still counts for a tenth of the TTL.
		time.Sleep(1200 * time.Millisecond)
		if _, err := durabletest.RunAlarm(t, stub); err != nil {
			t.Error(err)
		}
		// A fence is kept for a minute. Pretend that the minute has passed.
		durabletest.Run(t, stub, func(_ context.Context, state *durable.State) {
			if _, ok, err := state.Storage().KV().Get(fenceName); !ok || err != nil {
				t.Errorf("the fence is not kept: %v, %v", ok, err)
			}
			old := codec.AppendNumbers([]byte{fenceVersion}, entry.FenceAt(unixMilli()-entry.ClockSlack-10))
			if err := state.Storage().KV().Put(fenceName, old); err != nil {
				t.Error(err)
			}
		})
		durabletest.Evict(t, stub)
		if ran, err := durabletest.RunAlarm(t, stub); !ran || err != nil {
			t.Errorf("alarm: %v, %v", ran, err)
		}
		empty := false
		for end := time.Now().Add(10 * time.Second); !empty && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
				c, err := state.Storage().SQL().Exec("SELECT COUNT(*) FROM sqlite_master")
				if err != nil {
					t.Fatal(err)
				}
				var tables int
				if !c.Next() || c.Scan(&tables) != nil {
					t.Fatal(c.Err())
				}
				at, err := state.Storage().GetAlarm(ctx, nil)
				empty = tables == 0 && at.IsZero() && err == nil
			})
		}
		if !empty {
			t.Error("the object is not empty")
		}
		mustClaim(t, l, dedupe.ClaimOptions{Lease: time.Minute}, dedupe.Acquired)
	})
}

// If an object is reset while a caller waits in it, the wait ends. The client
// then claims or waits again.
func TestWaiterOutlivesAReset(t *testing.T) {
	both(t, func(t *testing.T, m Mapping, object string) {
		l := openLedger(t, m)
		c := mustClaim(t, l, dedupe.ClaimOptions{Lease: time.Minute}, dedupe.Acquired)
		got := beginWait(t, l, 20*time.Second)
		time.Sleep(100 * time.Millisecond)
		durabletest.Abort(t, ledgerStub(t, object))
		if err := l.Complete(t.Context(), c, []byte("result")); err != nil {
			t.Error(err)
		}
		if claim := <-got; claim.Outcome != dedupe.Replay || string(claim.Result) != "result" {
			t.Errorf("%+v", claim)
		}
	})
}

// awayUntil is the time from which objects of the class Away can be
// constructed.
var awayUntil time.Time

func registerAway(class string) {
	construct := func(_ context.Context, state *durable.State, env *durable.Env) (*ledgerObject, error) {
		if time.Now().Before(awayUntil) {
			return nil, errors.New("away")
		}
		return newLedgerObject(state, env, nil)
	}
	var methods []durable.RPCMethod[*ledgerObject]
	for _, m := range ledgerMethods {
		methods = append(methods, durable.Method(m.name, m.serve).Retryable())
	}
	durable.Register(class, construct, methods...)
}

// An object may be reset repeatedly, for example while it moves. Callers wait
// for it until their deadline.
func TestCallsRideOverResets(t *testing.T) {
	l, err := NewLedger(durabletest.Env(t, nil), &LedgerOptions{Binding: "AWAY"})
	if err != nil {
		t.Fatal(err)
	}
	claim := func(key string, away, deadline time.Duration) (c dedupe.Claim, took time.Duration, err error) {
		ctx := t.Context()
		if deadline > 0 {
			within, cancel := context.WithTimeout(ctx, deadline)
			defer cancel()
			ctx = within
		}
		begin := time.Now()
		awayUntil = begin.Add(away)
		c, err = l.Claim(ctx, []byte(key), dedupe.ClaimOptions{Lease: time.Minute})
		return c, time.Since(begin), err
	}
	c, took, err := claim("patient", 2*time.Second, time.Minute)
	if err != nil || c.Outcome != dedupe.Acquired || c.Attempt != 1 || took < 2*time.Second {
		t.Errorf("with a late deadline: %+v, %v after %v", c, err, took)
	}
	t.Logf("away for 2 s, claimed after %v", took.Round(time.Millisecond))
	for _, deadline := range []time.Duration{time.Second, 0} {
		_, took, err := claim("impatient", time.Hour, deadline)
		if !errors.Is(err, dedupe.ErrUnknownOutcome) || !errors.Is(err, durable.ErrObjectReset) {
			t.Errorf("with a deadline of %v: %v after %v", deadline, err, took)
		}
	}
	awayUntil = time.Time{}
}
