//go:build !js

package console

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/dedupe/memdedupe"
)

func TestEachEventIsSentOnceAndOneAtATime(t *testing.T) {
	q := newQueue()
	const n = 200
	var sending atomic.Int32
	var wg sync.WaitGroup
	seen := map[int64]int{}
	for i := range n {
		wg.Go(func() {
			q.add(event{Fence: int64(i)})
			q.flush(t.Context(), func(_ context.Context, r report) error {
				if sending.Add(1) != 1 {
					t.Error("two send at a time")
				}
				defer sending.Add(-1)
				for _, e := range r.Events {
					seen[e.Fence]++
				}
				return nil
			})
		})
	}
	wg.Wait()
	for i := range int64(n) {
		if seen[i] != 1 {
			t.Errorf("event %d was sent %d times", i, seen[i])
		}
	}
}

func TestUnsentEventsAreCounted(t *testing.T) {
	q := newQueue()
	var sent []report
	send := func(err error) func(context.Context, report) error {
		return func(_ context.Context, r report) error {
			sent = append(sent, r)
			return err
		}
	}
	q.add(event{})
	q.add(event{})
	q.flush(t.Context(), send(errors.New("no answer")))
	q.flush(t.Context(), send(nil)) // nothing to send
	for range maxPending + 3 {
		q.add(event{})
	}
	q.flush(t.Context(), send(nil))
	if len(sent) != 2 || len(sent[0].Events) != 2 || len(sent[1].Events) != maxPending || sent[1].Lost != 2+3 {
		t.Errorf("%d reports; the last one has %d events and counts %d as lost", len(sent), len(sent[len(sent)-1].Events), sent[len(sent)-1].Lost)
	}
}

func TestAReportThatHangsDoesNotHoldTheQueue(t *testing.T) {
	q := newQueue()
	q.add(event{})
	hanging := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() {
		defer close(over)
		q.flush(ctx, func(ctx context.Context, _ report) error {
			if _, ok := ctx.Deadline(); !ok {
				t.Error("a report has no deadline")
			}
			close(hanging)
			<-ctx.Done()
			return ctx.Err()
		})
	}()
	<-hanging
	gone, leave := context.WithCancel(t.Context())
	leave()
	q.add(event{})
	q.flush(gone, func(context.Context, report) error { t.Error("sent beside another"); return nil })
	cancel()
	<-over
	var got report
	q.flush(t.Context(), func(_ context.Context, r report) error { got = r; return nil })
	if len(got.Events) != 1 || got.Lost != 1 {
		t.Errorf("afterwards %d events were sent, %d lost", len(got.Events), got.Lost)
	}
}

// recorder records events with a copy of their keys, as they were at that time.
type recorder struct {
	mu     sync.Mutex
	events []event
}

func (r *recorder) observe(e event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func TestAnObservedLedgerIsALedger(t *testing.T) {
	dedupetest.TestLedger(t, func(*testing.T) dedupe.Ledger {
		return &observedLedger{memdedupe.NewLedger(nil), new(recorder).observe}
	})
}

func TestAnObservedSequencerIsASequencer(t *testing.T) {
	dedupetest.TestSequencer(t, func(*testing.T) dedupe.Sequencer {
		return &observedSequencer{memdedupe.NewSequencer(nil), new(recorder).observe}
	})
}

func TestEventsSayWhatTheLedgerDid(t *testing.T) {
	now := time.UnixMilli(begin)
	var r recorder
	l := &observedLedger{memdedupe.NewLedger(func() time.Time { return now }), r.observe}
	ctx, key := t.Context(), []byte("k")
	claim := func(owner, fingerprint string) dedupe.Claim {
		c, _ := l.Claim(ctx, key, dedupe.ClaimOptions{Owner: owner, Fingerprint: []byte(fingerprint), Lease: 10 * time.Second, TTL: time.Hour})
		return c
	}
	first := claim("a", "")
	now = now.Add(4 * time.Second)
	claim("b", "")
	claim("b", "other")
	l.Extend(ctx, first, 20*time.Second)
	now = now.Add(time.Minute)
	second := claim("b", "")
	l.Complete(ctx, first, nil)
	l.Complete(ctx, second, []byte("result"))
	claim("c", "")
	l.Complete(ctx, dedupe.Claim{}, nil)
	l.Forget(ctx, key)
	third, _ := l.Claim(ctx, key, dedupe.ClaimOptions{Lease: time.Second})
	l.Release(ctx, third)
	key[0] = 'x' // the report is sent later

	f1, f2, f3 := first.Fence, second.Fence, third.Fence
	const hour = 3_600_000
	want := []event{
		{Op: "Claim", What: dedupe.EventAcquired, Attempt: 1, Fence: f1, Lease: 10_000, TTL: hour},
		{Op: "Claim", What: dedupe.EventInProgress, Attempt: 1, Lease: 6_000, TTL: hour},
		{Op: "Claim", What: dedupe.EventMismatched, Lease: 10_000, TTL: hour},
		{Op: "Extend", What: dedupe.EventDone, Attempt: 1, Fence: f1, Lease: 20_000},
		{Op: "Claim", What: dedupe.EventExpired, Attempt: 2, Fence: f2, Lease: 10_000, TTL: hour},
		{Op: "Complete", What: dedupe.EventFenced, Attempt: 1, Fence: f1},
		{Op: "Complete", What: dedupe.EventDone, Attempt: 2, Fence: f2},
		{Op: "Claim", What: dedupe.EventReplayed, Attempt: 2, Lease: 10_000, TTL: hour},
		{Op: "Complete", What: dedupe.EventFailed},
		{Op: "Forget", What: dedupe.EventDone},
		{Op: "Claim", What: dedupe.EventAcquired, Attempt: 1, Fence: f3, Lease: 1_000, TTL: 24 * hour},
		{Op: "Release", What: dedupe.EventDone, Attempt: 1, Fence: f3},
	}
	for i, e := range r.events {
		if wantKey := "k"; e.What != dedupe.EventFailed && !bytes.Equal(e.Key, []byte(wantKey)) {
			t.Errorf("event %d has the key %q", i, e.Key)
		}
		e.Key = nil
		if i >= len(want) || !reflect.DeepEqual(e, want[i]) {
			t.Errorf("event %d is %+v", i, e)
		}
	}
	if len(r.events) != len(want) {
		t.Errorf("%d events, want %d", len(r.events), len(want))
	}
}
