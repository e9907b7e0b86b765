package dodedupe

import (
	"bytes"
	"context"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// keyValueBucket returns a ledger in one bucket with key-value storage, and a function that lists what that has stored.
func keyValueBucket(t *testing.T) (l *Ledger, stub *durable.Stub, stored func() []string) {
	t.Helper()
	env := durabletest.Env(t, nil)
	l, err := NewLedger(env, &LedgerOptions{Binding: "LEDGER_KV", Mapping: Buckets(1)})
	if err != nil {
		t.Fatal(err)
	}
	ns, err := env.Namespace("LEDGER_KV")
	if err != nil {
		t.Fatal(err)
	}
	object, _ := Buckets(1).place(kindLedger, "", nil)
	if stub, err = ns.GetByName(object, nil); err != nil {
		t.Fatal(err)
	}
	return l, stub, func() (names []string) {
		durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
			entries, err := state.Storage().List(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if e.Key != markName { // a fence outlives its record
					names = append(names, e.Key)
				}
			}
		})
		return names
	}
}

// A record of a mebibyte is several values. Whatever replaces or removes it leaves none of them.
func TestLargeRecordOnKeyValueStorageLeavesNothingBehind(t *testing.T) {
	l, _, stored := keyValueBucket(t)
	large := bytes.Repeat([]byte("r"), dedupe.MaxResultSize)
	claim := func(ttl time.Duration, want dedupe.Outcome) dedupe.Claim {
		t.Helper()
		c, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute, TTL: ttl})
		if err != nil || c.Outcome != want {
			t.Fatalf("%v, %v", c.Outcome, err)
		}
		return c
	}
	for range 2 {
		if err := l.Complete(t.Context(), claim(time.Hour, dedupe.Acquired), large); err != nil {
			t.Fatal(err)
		}
		if c := claim(time.Hour, dedupe.Replay); !bytes.Equal(c.Result, large) {
			t.Errorf("a result of %d bytes", len(c.Result))
		}
		if n := len(stored()); n != 1+9+1 {
			t.Errorf("a large record has %d values", n)
		}
		time.Sleep(2 * time.Millisecond) // a fence that is not in the past would be kept
		if err := l.Forget(t.Context(), []byte("k")); err != nil {
			t.Fatal(err)
		}
		if names := stored(); len(names) > 0 {
			t.Errorf("after Forget there is %q", names)
		}
	}
	if c, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: 200 * time.Millisecond, TTL: 200 * time.Millisecond}); err != nil {
		t.Fatal(err)
	} else if err := l.Complete(t.Context(), c, large); err != nil {
		t.Fatal(err)
	}
	time.Sleep(210 * time.Millisecond)
	if c := claim(time.Hour, dedupe.Acquired); c.Attempt != 1 {
		t.Errorf("%+v", c)
	}
	if names := stored(); len(names) != 2 {
		t.Errorf("in place of a large record that expired there is %q", names)
	}
}

// Places in the index that are out of date are removed when their time has come, and remove nothing.
func TestAlarmOnKeyValueStorageKeepsWhatLives(t *testing.T) {
	l, stub, stored := keyValueBucket(t)
	c, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: 100 * time.Millisecond, TTL: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	stale := stored()
	if err := l.Extend(t.Context(), c, time.Hour); err != nil {
		t.Fatal(err)
	}
	durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) { // as if the object had ended before it removed it
		if err := state.Storage().Put(ctx, stale[0], stale[1], nil); err != nil {
			t.Fatal(err)
		}
	})
	if n := len(stored()); n != 3 {
		t.Fatalf("%q", stored())
	}
	time.Sleep(110 * time.Millisecond)
	if _, err := durabletest.RunAlarm(t, stub); err != nil {
		t.Error(err)
	}
	if n := len(stored()); n != 2 {
		t.Errorf("after the alarm there is %q", stored())
	}
	if err := l.Complete(t.Context(), c, nil); err != nil {
		t.Error(err)
	}
}
