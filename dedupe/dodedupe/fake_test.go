//go:build !js

package dodedupe

import (
	"context"
	"errors"
	"sync"

	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
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
	var out []byte
	var thrown error
	failed := what.Do(func() { out, thrown = f.deliver(ctx, name, method, msg) })
	switch {
	case failed != nil:
		return nil, err
	case thrown != nil: // the error that arrives has the text, and comes from the object
		return nil, effect.Chain(durable.ErrRemote, &durable.Error{Name: "Error", Message: thrown.Error(), Props: map[string]any{"remote": true}})
	}
	return out, nil
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

func mustReply(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
