//go:build !js

package dodedupe

import (
	"context"
	"errors"
	"sync"

	"flow.internal/capdo/durable"
)

var errInjected = errors.New("injected fault")

// fault is what happens to one operation.
type fault int

const (
	fine              fault = iota
	fails                   // it does not happen, and an error is reported
	performsThenFails       // it happens, and an error is reported
)

// do performs an operation as the fault has it.
func (f fault) do(perform func()) error {
	if f != fails {
		perform()
	}
	if f != fine {
		return errInjected
	}
	return nil
}

// fakeStorage is a storage in memory, which can be told to fail.
type fakeStorage struct {
	record []byte
	ok     bool
	alarm  int64 // 0: none
	ops    []string
	// fault, if set, decides about the n-th operation, counted from 0.
	fault func(n int, op string) fault
	// armed, if set, is told of alarms.
	armed func(at int64)
}

func (f *fakeStorage) do(op string, perform func()) error {
	n := len(f.ops)
	f.ops = append(f.ops, op)
	if f.fault == nil {
		return fine.do(perform)
	}
	return f.fault(n, op).do(perform)
}

func (f *fakeStorage) get() (record []byte, ok bool, err error) {
	err = f.do("get", func() {})
	if err != nil {
		return nil, false, err
	}
	return append([]byte{}, f.record...), f.ok, nil
}

func (f *fakeStorage) put(record []byte) error {
	return f.do("put", func() { f.record, f.ok = append([]byte{}, record...), true })
}

func (f *fakeStorage) setAlarm(_ context.Context, at int64) error {
	return f.do("setAlarm", func() {
		f.alarm = at
		if f.armed != nil {
			f.armed(at)
		}
	})
}

func (f *fakeStorage) clear(context.Context) error {
	return f.do("clear", func() { f.record, f.ok, f.alarm = nil, false, 0 })
}

// fakeObjects is a namespace: objects over fake storages, and a network in front that can be told to fail.
type fakeObjects struct {
	clock func() int64
	// network, if set, decides about the n-th message, counted from 0, and returns the error that the caller gets.
	network func(n int, method string) (fault, error)
	// prepare, if set, sees each storage before it is used.
	prepare func(s *fakeStorage)
	// before, if set, runs before the n-th message is sent.
	before func(n int)

	mu       sync.Mutex
	sent     int
	storages map[string]*fakeStorage
	objects  map[string]*object
}

// lost is how a message gets lost, as the caller sees it.
func lost() error {
	return &chain{[]error{durable.ErrDisconnected, &durable.Error{Message: "Network connection lost.", Retryable: true}}}
}

func (f *fakeObjects) call(ctx context.Context, name, method string, msg []byte) ([]byte, error) {
	f.mu.Lock()
	n := f.sent
	f.sent++
	f.mu.Unlock()
	if f.before != nil {
		f.before(n)
	}
	what, err := fine, lost()
	if f.network != nil {
		what, err = f.network(n, method)
	}
	var out []byte
	var thrown error
	failed := what.do(func() { out, thrown = f.deliver(ctx, name, method, msg) })
	switch {
	case failed != nil:
		return nil, err
	case thrown != nil: // as it arrives: its text, and that it is the object's
		return nil, &chain{[]error{durable.ErrRemote, &durable.Error{Name: "Error", Message: thrown.Error(), Props: map[string]any{"remote": true}}}}
	}
	return out, nil
}

func (f *fakeObjects) deliver(ctx context.Context, name, method string, msg []byte) ([]byte, error) {
	o := f.object(name)
	switch method {
	case methodPut:
		return o.putIfAbsent(ctx, msg)
	case methodLook:
		return o.look(ctx, msg)
	case methodForget:
		return o.forget(ctx, msg)
	}
	return nil, errors.New("no such method")
}

func (f *fakeObjects) object(name string) *object {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o := f.objects[name]; o != nil {
		return o
	}
	if f.objects == nil {
		f.objects, f.storages = map[string]*object{}, map[string]*fakeStorage{}
	}
	if f.storages[name] == nil {
		f.storages[name] = &fakeStorage{}
		if f.prepare != nil {
			f.prepare(f.storages[name])
		}
	}
	clock := f.clock
	if clock == nil {
		clock = unixMilli
	}
	f.objects[name] = &object{slot{storage: f.storages[name], clock: clock}}
	return f.objects[name]
}

// storage returns the storage of a key's object.
func (f *fakeObjects) storage(scope, key string) *fakeStorage {
	name := objectName(kindStore, scope, []byte(key))
	f.object(name)
	return f.storages[name]
}
