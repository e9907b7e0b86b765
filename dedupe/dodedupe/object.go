package dodedupe

import (
	"context"
	"time"

	"flow.internal/capdo/durable"
)

// Register declares the Durable Object class that keeps the records, under the name that the wrangler config knows it by. It needs
// SQLite-backed storage. Register panics like [durable.Register].
func Register(class string) {
	durable.Register(class, newObject, // all methods may be delivered again
		durable.Method(methodPut, (*object).putIfAbsent).Retryable(),
		durable.Method(methodLook, (*object).look).Retryable(),
		durable.Method(methodForget, (*object).forget).Retryable())
}

// object is a Durable Object that keeps one key's record.
type object struct{ slot slot }

func newObject(_ context.Context, state *durable.State, _ *durable.Env) (*object, error) {
	return &object{slot{storage: objectStorage{state.Storage()}, clock: unixMilli}}, nil
}

func unixMilli() int64 { return time.Now().UnixMilli() }

func (o *object) putIfAbsent(ctx context.Context, msg []byte) ([]byte, error) {
	by, ttl, err := decodePut(msg)
	if err != nil {
		return reply(nil, undone{err})
	}
	inserted, err := o.slot.putIfAbsent(ctx, by, ttl)
	return reply(encodeBool(inserted), err)
}

func (o *object) look(_ context.Context, msg []byte) ([]byte, error) {
	if _, err := content(msg); err != nil {
		return reply(nil, undone{err})
	}
	b, ok, err := o.slot.look()
	return reply(append(encodeBool(ok), b...), err)
}

func (o *object) forget(ctx context.Context, msg []byte) ([]byte, error) {
	seen, err := content(msg)
	if err != nil {
		return reply(nil, undone{err})
	}
	return reply(nil, o.slot.forget(ctx, seen))
}

// Alarm deletes the record once it has expired.
func (o *object) Alarm(ctx context.Context, _ durable.AlarmInfo) error { return o.slot.alarm(ctx) }

// recordKey is where the record is, in the object's key-value storage. Keys that begin with "_capdo_" are this module's, as those that
// begin with "_cf_" are the platform's; an object that has a user's data, too, must not use them for it.
const recordKey = "_capdo_dedupe"

// objectStorage is the storage of an object that has nothing else to keep.
type objectStorage struct{ storage *durable.Storage }

func (s objectStorage) get() (record []byte, ok bool, err error) {
	v, ok, err := s.storage.KV().Get(recordKey)
	record, _ = v.([]byte) // anything else is as corrupt as no bytes
	return record, ok, err
}

func (s objectStorage) put(record []byte) error { return s.storage.KV().Put(recordKey, record) }

func (s objectStorage) setAlarm(ctx context.Context, at int64) error {
	return s.storage.SetAlarm(ctx, time.UnixMilli(at), nil)
}

func (s objectStorage) clear(ctx context.Context) error { return s.storage.DeleteAll(ctx, nil) }
