package dodedupe

import (
	"context"
	"errors"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/plain"
)

// Register declares the Durable Object class that keeps the records, under the
// name that the wrangler config knows it by. It works with either storage
// backend. Register panics like [durable.Register].
func Register(class string) {
	var methods []durable.RPCMethod[*object]
	for _, m := range storeMethods {
		methods = append(methods, durable.Method(m.name, m.handle).Retryable())
	}
	durable.Register(class, newObject, methods...)
}

// storeMethods are the object's methods. All may be delivered again.
var storeMethods = []struct {
	name   string
	handle func(*object, context.Context, []byte) ([]byte, error)
}{
	{methodPut, (*object).putIfAbsent},
	{methodLook, (*object).look},
	{methodForget, (*object).forget},
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

// objectStorage is the storage of an object that has nothing else to keep. In a
// class with key-value storage the asynchronous operations take the place of
// the synchronous ones: the input gate keeps other events out while they wait,
// and nothing else is waited for between.
type objectStorage struct{ storage *durable.Storage }

func (s objectStorage) get() (record []byte, ok bool, err error) {
	v, ok, err := plain.Get(s.storage.KV(), recordKey)
	if errors.Is(err, durable.ErrNoSQL) {
		v, ok, err = plain.GetAsync(context.Background(), s.storage, recordKey)
	}
	record, _ = v.([]byte) // anything else is as corrupt as no bytes
	return record, ok, err
}

func (s objectStorage) put(record []byte) error {
	err := plain.Put(s.storage.KV(), recordKey, record)
	if errors.Is(err, durable.ErrNoSQL) {
		err = plain.PutAsync(context.Background(), s.storage, recordKey, record)
	}
	return err
}

func (s objectStorage) setAlarm(ctx context.Context, at int64) error {
	return s.storage.SetAlarm(ctx, time.UnixMilli(at), nil)
}

func (s objectStorage) clear(ctx context.Context) error { return s.storage.DeleteAll(ctx, nil) }
