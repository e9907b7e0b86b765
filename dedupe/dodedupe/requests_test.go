//go:build !js

package dodedupe

import (
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/internal/opcost"
)

// TestCosts of the engine measures the rows.
func TestRequestsAreThoseOfTheTable(t *testing.T) {
	requests := countRequests(t)
	for _, c := range opcost.Table {
		if strings.HasPrefix(c.Operation, "alarm ") {
			requests[c.Operation] = 1 // Cloudflare counts each alarm as a request
		}
		if n, ok := requests[c.Operation]; !ok || n != c.Requests {
			t.Errorf("%s takes %d requests, the table has %d", c.Operation, n, c.Requests)
		}
	}
	if len(opcost.Table) != len(requests) {
		t.Errorf("the table has %d of %d operations", len(opcost.Table), len(requests))
	}
}

// countRequests returns the number of messages of each operation.
func countRequests(t *testing.T) map[string]int {
	f := &fakeLedgerObjects{}
	l := fakeLedger(t, f, Buckets(1))
	s, err := newStore(f.call, &StoreOptions{Mapping: Buckets(1)})
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	messages := func(do func() error) int {
		before := len(f.sent)
		if err := do(); err != nil {
			failed = err
		}
		return len(f.sent) - before
	}
	ctx, key := t.Context(), []byte("k")
	var c dedupe.Claim
	claim := func() (err error) {
		c, err = l.Claim(ctx, key, dedupe.ClaimOptions{Lease: time.Minute})
		return err
	}
	put := func() error { _, err := s.PutIfAbsent(ctx, key, time.Hour); return err }
	sequencer := newSequencer(f.call, nil)
	next := func() error { _, err := sequencer.Next(ctx, []byte("s"), key, nil, 0); return err }
	n := map[string]int{}
	n["claim, the first of an object"] = messages(claim)
	first := c
	n["claim, the first of a key"] = n["claim, the first of an object"]
	n["claim of a key that is in progress"] = messages(claim)
	n["extend within the TTL"] = messages(func() error { return l.Extend(ctx, first, time.Minute) })
	n["extend beyond the TTL"] = n["extend within the TTL"]
	n["release"] = messages(func() error { return l.Release(ctx, first) })
	n["claim after release"] = messages(claim)
	n["complete"] = messages(func() error { return l.Complete(ctx, c, nil) })
	n["complete, after a lease that outlasts the TTL"] = n["complete"]
	n["claim of a key that is completed"] = messages(claim)
	n["forget"] = messages(func() error { return l.Forget(ctx, key) })
	n["claim after forget"] = messages(claim)
	n["PutIfAbsent of a new key"] = messages(put)
	n["PutIfAbsent of a key that is there"] = messages(put)
	n["the first entry of a sequence"] = messages(next)
	n["an entry of a sequence"] = n["the first entry of a sequence"]
	n["an entry of a sequence that has its number"] = messages(next)
	if failed != nil {
		t.Fatal(failed)
	}
	return n
}
