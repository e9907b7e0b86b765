package reservation

import (
	"context"
	"errors"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/plain"
)

// recordKey is the key of the record in the object's key-value storage. Keys
// that begin with "_capdo_" are reserved for this module, as those that begin
// with "_cf_" are for the platform. An object that also has a user's data must
// not use such keys for it.
const recordKey = "_capdo_dedupe"

var _ = plain.Constant(recordKey)

// In returns the storage of an object that stores nothing else. In a key-value
// backed class it uses the asynchronous operations instead of the synchronous
// ones: the input gate holds other events back while they wait, and nothing
// else waits in between.
func In(storage *durable.Storage) Storage { return objectStorage{storage} }

type objectStorage struct{ storage *durable.Storage }

func (s objectStorage) Get() (record []byte, ok bool, err error) {
	v, ok, err := plain.Get(s.storage.KV(), recordKey)
	if errors.Is(err, durable.ErrNoSQL) {
		v, ok, err = plain.GetAsync(context.Background(), s.storage, recordKey)
	}
	record, _ = v.([]byte) // anything else is as corrupt as no bytes
	return record, ok, err
}

func (s objectStorage) Put(record []byte) error {
	err := plain.Put(s.storage.KV(), recordKey, record)
	if errors.Is(err, durable.ErrNoSQL) {
		err = plain.PutAsync(context.Background(), s.storage, recordKey, record)
	}
	return err
}

func (s objectStorage) SetAlarm(ctx context.Context, at int64) error {
	return s.storage.SetAlarm(ctx, time.UnixMilli(at), nil)
}

func (s objectStorage) Clear(ctx context.Context) error { return s.storage.DeleteAll(ctx, nil) }
