package reservation

import (
	"context"
	"errors"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/plain"
)

// recordKey is where the record is, in the object's key-value storage. Keys
// that begin with "_capdo_" are this module's, as those that begin with "_cf_"
// are the platform's; an object that has a user's data, too, must not use them
// for it.
const recordKey = "_capdo_dedupe"

// In returns the storage of an object that has nothing else to keep. In a
// key-value backed class the asynchronous operations take the place of the
// synchronous ones: the input gate keeps other events out while they wait, and
// nothing else is waited for between.
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
