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

// storedRecord is where an object keeps the record of a key, with what is before it.
type storedRecord struct {
	get func(ctx context.Context, s *durable.Storage) []byte
	put func(ctx context.Context, s *durable.Storage, b []byte) error
	at  int // the record's version
}

func recordOf(kv bool, inside string) storedRecord {
	value := func(v any, _ bool, _ error) []byte { b, _ := v.([]byte); return b }
	async := func(name string, at int) storedRecord {
		return storedRecord{
			func(ctx context.Context, s *durable.Storage) []byte { return value(s.Get(ctx, name, nil)) },
			func(ctx context.Context, s *durable.Storage, b []byte) error { return s.Put(ctx, name, b, nil) }, at,
		}
	}
	switch {
	case kv && inside == "":
		return async(ledgerKey, 0)
	case kv:
		return async(entryName(inside), len(appendText(nil, inside)))
	case inside == "":
		return storedRecord{
			func(_ context.Context, s *durable.Storage) []byte { return value(s.KV().Get(ledgerKey)) },
			func(_ context.Context, s *durable.Storage, b []byte) error { return s.KV().Put(ledgerKey, b) }, 0,
		}
	}
	return storedRecord{
		func(ctx context.Context, s *durable.Storage) []byte {
			b, _, _ := newRows(s).get(ctx, inside)
			return b
		},
		func(_ context.Context, s *durable.Storage, b []byte) error {
			_, err := s.SQL().Exec("UPDATE _capdo_entries SET record = ? WHERE key = ?", b, []byte(inside))
			return err
		}, 0,
	}
}

// Known mistake: an older program unhooks newer records. On each way to keep a
// ledger: a newer record is left whole by claims and alarms of the older
// program, and the newer one, when it is back, tells of its holder.
func TestOlderProgramLeavesNewerRecordsInAnObject(t *testing.T) {
	eachMapping(t, func(t *testing.T, opts *LedgerOptions) {
		expired := make(chan Expired, 10)
		setHook(t, &told, func(_ context.Context, _ *durable.Env, e Expired) error { expired <- e; return nil })
		l := notifyingLedger(t, opts)
		c, err := l.Claim(t.Context(), []byte("dead"), dedupe.ClaimOptions{Lease: 400 * time.Millisecond, TTL: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		object, inside := opts.Mapping.locate(kindLedger, opts.Scope, []byte("dead"))
		ns, err := durabletest.Env(t, nil).Namespace(opts.Binding)
		if err != nil {
			t.Fatal(err)
		}
		stub, err := ns.GetByName(object, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := recordOf(opts.Binding == "WATCHED_KV", inside)
		version := func(v byte) (whole []byte) {
			durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
				whole = bytes.Clone(r.get(ctx, state.Storage()))
				whole[r.at] = v
				if err := r.put(ctx, state.Storage(), whole); err != nil {
					t.Fatal(err)
				}
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
			if b := r.get(ctx, state.Storage()); !bytes.Equal(b, newer) {
				t.Errorf("%x became %x", newer, b)
			}
			at, err := state.Storage().GetAlarm(ctx, nil)
			if in := time.Until(at); err != nil || at.IsZero() || in > entry.NewerRetry*time.Millisecond {
				t.Errorf("the next alarm is at %v, %v", at, err)
			}
		})
		if len(expired) > 0 {
			t.Errorf("the older program told of %+v", <-expired)
		}
		version(entry.Version)
		durabletest.Evict(t, stub)
		// the place in the index is a minute away; the newer program is there
		// at once with per-key objects
		if opts.Mapping == PerKey() {
			if _, err := durabletest.RunAlarm(t, stub); err != nil {
				t.Error(err)
			}
			if e := <-expired; e.Fence != c.Fence {
				t.Errorf("told of %+v", e)
			}
		}
		if c, err := l.Claim(t.Context(), []byte("dead"), dedupe.ClaimOptions{Lease: time.Minute}); c.Outcome != dedupe.Acquired || !c.TakenOver || err != nil {
			t.Errorf("the newer program's claim: %+v, %v", c, err)
		}
	})
}

// Known mistake: a fence that grows in memory only. On each way to keep a
// ledger the next instance gives a larger one than what the object stored,
// though its own clock is behind that.
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
		ns, err := durabletest.Env(t, nil).Namespace(opts.Binding)
		if err != nil {
			t.Fatal(err)
		}
		stub, err := ns.GetByName(object, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := claim()
		if err := l.Forget(t.Context(), c.Key); err != nil {
			t.Fatal(err)
		}
		ahead := c.Fence + 30_000_000 // the clock of the machine before was 30 s ahead
		durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
			s, kv := state.Storage(), opts.Binding == "WATCHED_KV"
			v, ok, err := s.Get(ctx, fenceName, nil)
			if !kv {
				v, ok, err = s.KV().Get(fenceName)
			}
			r, bad := codec.Versioned(notedBytes(v, ok), fenceVersion)
			if err != nil || bad != nil || r.number() != c.Fence {
				t.Fatalf("the fence %d is stored as %v, %v, %v", c.Fence, v, err, bad)
			}
			mark := codec.AppendNumbers([]byte{fenceVersion}, ahead)
			if kv {
				err = s.Put(ctx, fenceName, mark, nil)
			} else {
				err = s.KV().Put(fenceName, mark)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		durabletest.Evict(t, stub)
		if c := claim(); c.Fence <= ahead {
			t.Errorf("fence %d after %d", c.Fence, ahead)
		}
	})
}
