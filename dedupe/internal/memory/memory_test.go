package memory

import (
	"fmt"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
)

// A program that runs for long keeps live records and removes expired ones.
func TestExpiredRecordsAreRemoved(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	clock := func() time.Time { return now }
	store, ledger, sequencer := NewStore(clock), NewLedger(clock), NewSequencer(clock)
	const live = 100
	ttl := func(n int) time.Duration {
		if n < live {
			return 24 * time.Hour
		}
		return time.Second
	}
	for n := range 20 * sweepFrom {
		key := fmt.Append(nil, n)
		if inserted, err := store.PutIfAbsent(t.Context(), key, ttl(n)); !inserted || err != nil {
			t.Fatal(inserted, err)
		}
		c, err := ledger.Claim(t.Context(), key, dedupe.ClaimOptions{Lease: time.Second, TTL: ttl(n)})
		if err != nil || c.Outcome != dedupe.Acquired {
			t.Fatal(c.Outcome, err)
		}
		if seq, err := sequencer.Next(t.Context(), []byte("s"), key, nil, ttl(n)); seq.N != int64(n+1) || err != nil {
			t.Fatal(seq, err)
		}
		now = now.Add(10 * time.Millisecond)
	}
	for name, n := range map[string]int{"store": len(store.Records), "ledger": len(ledger.Entries), "sequencer": len(sequencer.Entries)} {
		if n < live || n > 2*sweepFrom {
			t.Errorf("the %s keeps %d records", name, n)
		}
	}
	for n := range live {
		key := fmt.Append(nil, n)
		inserted, err := store.PutIfAbsent(t.Context(), key, time.Second)
		c, errClaim := ledger.Claim(t.Context(), key, dedupe.ClaimOptions{Lease: time.Second})
		seq, errNext := sequencer.Next(t.Context(), []byte("s"), key, nil, time.Second)
		if inserted || c.Attempt != 2 || seq.Inserted || err != nil || errClaim != nil || errNext != nil {
			t.Fatalf("key %d: inserted %v, attempt %d, number %v; %v %v %v", n, inserted, c.Attempt, seq, err, errClaim, errNext)
		}
	}
}
