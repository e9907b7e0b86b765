//go:build !js

package dodedupe

import (
	"context"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/engine"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"flow.internal/capdo/durable"
)

// fakeLedgerObjects is a namespace of ledger objects with backends in memory,
// behind a network that can fail.
type fakeLedgerObjects struct {
	// clock, if set, is the clock of the objects; then alarms do not run by
	// themselves.
	clock func() int64
	// network, if set, decides about the n-th message, counted from 0. It
	// returns the error that the caller gets.
	network func(n int, method string) (faulty.Fault, error)

	mu      sync.Mutex
	sent    []string
	objects map[string]*ledgerObject
}

func (f *fakeLedgerObjects) object(name string) *ledgerObject {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o := f.objects[name]; o != nil {
		return o
	}
	if f.objects == nil {
		f.objects = map[string]*ledgerObject{}
	}
	clock := f.clock
	if clock == nil {
		clock = unixMilli
	}
	o, one, many := newFakeLedgerObject(clock)
	f.objects[name] = o
	if f.clock != nil {
		return o
	}
	var timer *time.Timer
	ring := func(at int64) { // runs the alarm when it is due
		if timer != nil {
			timer.Stop()
		}
		timer = time.AfterFunc(time.Until(time.UnixMilli(at)), func() { o.Alarm(context.Background(), durable.AlarmInfo{}) })
	}
	one.Armed, many.Armed = ring, ring
	return o
}

// newFakeLedgerObject returns an object with its backends.
func newFakeLedgerObject(clock func() int64) (o *ledgerObject, one, many *faulty.Backend) {
	one, many = faulty.NewBackend(), faulty.NewBackend()
	return &ledgerObject{
		one:  engine.New(engine.Config{Backend: one, Clock: clock}),
		many: engine.New(engine.Config{Backend: many, Clock: clock, Many: true}),
	}, one, many
}

func (f *fakeLedgerObjects) call(ctx context.Context, name, method string, msg []byte) ([]byte, error) {
	f.mu.Lock()
	n := len(f.sent)
	f.sent = append(f.sent, method)
	f.mu.Unlock()
	what, lostErr := faulty.Fine, lost()
	if f.network != nil {
		what, lostErr = f.network(n, method)
	}
	var out []byte
	var thrown error
	failed := what.Do(func() { out, thrown = f.object(name).call(ctx, "", method, msg) })
	switch {
	case failed != nil:
		return nil, lostErr
	case thrown != nil:
		return nil, effect.Chain(durable.ErrRemote, &durable.Error{Name: "Error", Message: thrown.Error(), Props: map[string]any{"remote": true}})
	}
	return out, nil
}

func fakeLedger(t *testing.T, f *fakeLedgerObjects, m Mapping) *Ledger {
	t.Helper()
	l, err := newLedger(f.call, &LedgerOptions{Mapping: m})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLedgerPerKey(t *testing.T) {
	dedupetest.TestLedger(t, func(t *testing.T) dedupe.Ledger { return fakeLedger(t, &fakeLedgerObjects{}, PerKey()) })
}

func TestLedgerInBuckets(t *testing.T) {
	dedupetest.TestLedger(t, func(t *testing.T) dedupe.Ledger { return fakeLedger(t, &fakeLedgerObjects{}, Buckets(3)) })
}

func TestSequencer(t *testing.T) {
	dedupetest.TestSequencer(t, func(t *testing.T) dedupe.Sequencer { return newSequencer((&fakeLedgerObjects{}).call, nil) })
}

// lossy fails each message the first time: alternately it loses the message or
// its answer.
func (f *fakeLedgerObjects) lossy() caller {
	var mu sync.Mutex
	sent := map[string]bool{}
	return func(ctx context.Context, object, method string, msg []byte) ([]byte, error) {
		id := method + object + string(msg)
		mu.Lock()
		first, turn := !sent[id], len(sent)%2
		sent[id] = true
		mu.Unlock()
		if !first {
			return f.call(ctx, object, method, msg)
		}
		if turn == 0 {
			f.call(ctx, object, method, msg)
		}
		return nil, lost()
	}
}

func TestLedgerWithLostMessages(t *testing.T) {
	dedupetest.TestLedger(t, func(t *testing.T) dedupe.Ledger {
		l := fakeLedger(t, &fakeLedgerObjects{}, Buckets(2))
		l.call = (&fakeLedgerObjects{}).lossy()
		return l
	})
}

func TestSequencerWithLostMessages(t *testing.T) {
	dedupetest.TestSequencer(t, func(t *testing.T) dedupe.Sequencer { return newSequencer((&fakeLedgerObjects{}).lossy(), nil) })
}

func TestLedgerCallThatStaysUnknownSaysSo(t *testing.T) {
	f := &fakeLedgerObjects{network: func(int, string) (faulty.Fault, error) { return faulty.PerformsThenFails, lost() }}
	l := fakeLedger(t, f, PerKey())
	o := dedupe.ClaimOptions{Lease: time.Minute}
	claim, err := l.Claim(t.Context(), []byte("k"), o)
	wantUnknown(t, err, true, durable.ErrDisconnected)
	f.network = nil
	o.Owner = claim.Owner
	if claim, err = l.Claim(t.Context(), []byte("k"), o); claim.Outcome != dedupe.Acquired || claim.Attempt != 1 || err != nil {
		t.Errorf("a repeated call by the same owner: %+v, %v", claim, err)
	}
	f.network = func(int, string) (faulty.Fault, error) { return faulty.PerformsThenFails, lost() }
	wantUnknown(t, l.Complete(t.Context(), claim, []byte("r")), true, durable.ErrDisconnected)
	f.network = nil
	if err := l.Complete(t.Context(), claim, []byte("r")); err != nil {
		t.Error(err)
	}
	if n := len(f.sent); n != 6 {
		t.Errorf("%d messages: %v", n, f.sent)
	}
}
