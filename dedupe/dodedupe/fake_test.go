//go:build !js

package dodedupe

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/engine"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"flow.internal/capdo/dedupe/dodedupe/internal/reservation"
	"flow.internal/capdo/durable"
)

// fakeObjects is a namespace of objects with fake storage, behind a network
// that can fail.
type fakeObjects struct {
	clock func() int64
	// network, if set, decides about the n-th message, counted from 0. It
	// returns the error that the caller gets.
	network func(n int, method string) (faulty.Fault, error)
	// prepare, if set, gets each storage before it is used.
	prepare func(s *faulty.Storage)
	// before, if set, runs before the n-th message is sent.
	before func(n int)

	mu       sync.Mutex
	sent     int
	storages map[string]*faulty.Storage
	objects  map[string]*storeObject
}

// pass makes a call over a network that does what, and returns what arrives:
// the answer, the error that the object threw, or lost.
func pass(what faulty.Fault, lost error, call func() ([]byte, error)) (out []byte, err error) {
	var thrown error
	failed := what.Do(func() { out, thrown = call() })
	switch {
	case failed != nil:
		return nil, lost
	case thrown != nil: // the error that arrives has the text, and comes from the object
		return nil, effect.Chain(durable.ErrRemote, &durable.Error{Name: "Error", Message: thrown.Error(), Props: map[string]any{"remote": true}})
	}
	return out, nil
}

// lost returns the caller's error for a lost message.
func lost() error {
	return effect.Chain(durable.ErrDisconnected, &durable.Error{Message: "Network connection lost.", Retryable: true})
}

func (f *fakeObjects) call(ctx context.Context, name, method string, msg []byte) ([]byte, error) {
	f.mu.Lock()
	n := f.sent
	f.sent++
	f.mu.Unlock()
	if f.before != nil {
		f.before(n)
	}
	what, err := faulty.Fine, lost()
	if f.network != nil {
		what, err = f.network(n, method)
	}
	return pass(what, err, func() ([]byte, error) { return f.deliver(ctx, name, method, msg) })
}

func (f *fakeObjects) deliver(ctx context.Context, name, method string, msg []byte) ([]byte, error) {
	for _, m := range storeMethods {
		if m.name == method {
			return m.handle(f.object(name), ctx, msg)
		}
	}
	return nil, errors.New("no such method")
}

func (f *fakeObjects) object(name string) *storeObject {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o := f.objects[name]; o != nil {
		return o
	}
	if f.objects == nil {
		f.objects, f.storages = map[string]*storeObject{}, map[string]*faulty.Storage{}
	}
	if f.storages[name] == nil {
		f.storages[name] = &faulty.Storage{}
		if f.prepare != nil {
			f.prepare(f.storages[name])
		}
	}
	clock := f.clock
	if clock == nil {
		clock = unixMilli
	}
	f.objects[name] = &storeObject{reservation.Key{Storage: f.storages[name], Clock: clock}}
	return f.objects[name]
}

// storage returns the storage of a key's object.
func (f *fakeObjects) storage(scope, key string) *faulty.Storage {
	name := objectName(kindStore, scope, []byte(key))
	f.object(name)
	return f.storages[name]
}

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
	what, err := faulty.Fine, lost()
	if f.network != nil {
		what, err = f.network(n, method)
	}
	return pass(what, err, func() ([]byte, error) { return f.object(name).call(ctx, "", method, msg) })
}

func fakeLedger(t *testing.T, f *fakeLedgerObjects, m Mapping) *Ledger {
	t.Helper()
	l, err := newLedger(f.call, &LedgerOptions{Mapping: m})
	if err != nil {
		t.Fatal(err)
	}
	return l
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

func mustReply(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
