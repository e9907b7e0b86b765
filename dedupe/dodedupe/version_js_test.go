package dodedupe

import (
	"bytes"
	"context"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/engine"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// Names and versions of stored data. They are in use.
const (
	entryName        = "_capdo_ledger"
	fenceName        = "_capdo_fence"
	fenceVersion     = 1
	userAlarmName    = "_capdo_alarm"
	userAlarmVersion = 1
)

// storedRecord is the record of a key in an object.
type storedRecord struct{ innerKey string }

func (r storedRecord) get(t *testing.T, s *durable.Storage) []byte {
	t.Helper()
	backend := engine.SQL(s)
	if r.innerKey == "" {
		backend = engine.Single(s)
	}
	b, _, err := backend.Get(r.innerKey)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (r storedRecord) put(t *testing.T, s *durable.Storage, b []byte) {
	t.Helper()
	var err error
	if r.innerKey == "" {
		err = s.KV().Put(entryName, b)
	} else {
		_, err = s.SQL().Exec("UPDATE _capdo_entries SET record = ? WHERE key = ?", b, []byte(r.innerKey))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Known mistake: an older program removes newer records from the alarm's index.
// With each mapping, claims and alarms of the older program must leave a newer
// record whole, and the newer program must later report its holder.
func TestOlderProgramLeavesNewerRecordsInAnObject(t *testing.T) {
	eachMapping(t, func(t *testing.T, opts *LedgerOptions) {
		expired := make(chan Expired, 10)
		setHook(t, &expiredHook, func(_ context.Context, _ *durable.Env, e Expired) error { expired <- e; return nil })
		l := notifyingLedger(t, opts)
		c, err := l.Claim(t.Context(), []byte("dead"), dedupe.ClaimOptions{Lease: 400 * time.Millisecond, TTL: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		object, innerKey := opts.Mapping.locate(kindLedger, opts.Scope, []byte("dead"))
		stub := durabletest.Env(t, nil).Object(opts.Binding, object)
		r := storedRecord{innerKey}
		version := func(v byte) (whole []byte) {
			durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
				whole = bytes.Clone(r.get(t, state.Storage()))
				whole[0] = v
				r.put(t, state.Storage(), whole)
			})
			return whole
		}
		newer := version(entry.Version + 1)
		durabletest.Evict(t, stub)
		time.Sleep(500 * time.Millisecond)
		if _, err := durabletest.RunAlarm(t, stub); err != nil {
			t.Errorf("the older program's alarm: %v", err)
		}
		if _, err := l.Claim(t.Context(), []byte("dead"), dedupe.ClaimOptions{Lease: time.Second}); !effect.Definite(err) || !codec.Unreadable(err) {
			t.Errorf("the older program's claim: %v", err)
		}
		durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
			if b := r.get(t, state.Storage()); !bytes.Equal(b, newer) {
				t.Errorf("%x became %x", newer, b)
			}
			at, err := state.Storage().GetAlarm(ctx, nil)
			if in := time.Until(at); err != nil || at.IsZero() || in > entry.NewerRetry*time.Millisecond {
				t.Errorf("the next alarm is at %v, %v", at, err)
			}
		})
		if len(expired) > 0 {
			t.Errorf("the older program reported %+v", <-expired)
		}
		version(entry.Version)
		durabletest.Evict(t, stub)
		// The entry's place in the index is a minute away. With one object per
		// key the newer program sees the record at once.
		if opts.Mapping == PerKey() {
			if _, err := durabletest.RunAlarm(t, stub); err != nil {
				t.Error(err)
			}
			if e := <-expired; e.Fence != c.Fence {
				t.Errorf("reported: %+v", e)
			}
		}
		if c, err := l.Claim(t.Context(), []byte("dead"), dedupe.ClaimOptions{Lease: time.Minute}); c.Outcome != dedupe.Acquired || !c.TakenOver || err != nil {
			t.Errorf("the newer program's claim: %+v, %v", c, err)
		}
	})
}

// Known mistake: a fence that grows only in memory. With each mapping the next
// instance must issue a larger fence than the stored one, even if its own clock
// is behind.
func TestFencesGrowOverForgetAndEvictionInAnObject(t *testing.T) {
	eachMapping(t, func(t *testing.T, opts *LedgerOptions) {
		l := notifyingLedger(t, opts)
		claim := func() dedupe.Claim {
			t.Helper()
			c, err := l.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute, TTL: time.Hour})
			if err != nil || c.Outcome != dedupe.Acquired {
				t.Fatalf("%v, %v", c.Outcome, err)
			}
			return c
		}
		object, _ := opts.Mapping.locate(kindLedger, opts.Scope, []byte("k"))
		stub := durabletest.Env(t, nil).Object(opts.Binding, object)
		c := claim()
		if err := l.Forget(t.Context(), c.Key); err != nil {
			t.Fatal(err)
		}
		// The clock of the previous machine was 30 s ahead.
		ahead := c.Fence + 30_000_000
		durabletest.Run(t, stub, func(_ context.Context, state *durable.State) {
			kv := state.Storage().KV()
			v, _, err := kv.Get(fenceName)
			stored, _ := v.([]byte)
			r, bad := codec.Versioned(stored, fenceVersion)
			if err != nil || bad != nil || r.Number() != c.Fence {
				t.Fatalf("the fence %d is stored as %v, %v, %v", c.Fence, v, err, bad)
			}
			if err := kv.Put(fenceName, codec.AppendNumbers([]byte{fenceVersion}, ahead)); err != nil {
				t.Fatal(err)
			}
		})
		durabletest.Evict(t, stub)
		if c := claim(); c.Fence <= ahead {
			t.Errorf("fence %d after %d", c.Fence, ahead)
		}
	})
}
