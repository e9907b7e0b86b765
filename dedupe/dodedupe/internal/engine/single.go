package engine

import (
	"context"
	"errors"
	"time"

	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/plain"
)

// singleKey is the storage key of the entry in an object with a single one.
const singleKey = "_capdo_ledger"

var _ = []string{plain.Constant(singleKey), plain.Constant(fenceName), plain.Constant(nameName)}

// object is the part that the backends share: notes and the alarm.
type object struct{ storage *durable.Storage }

func (o object) SetAlarm(ctx context.Context, at int64) error {
	return o.storage.SetAlarm(ctx, time.UnixMilli(at), nil)
}

func (o object) AlarmAt(ctx context.Context) (at int64, err error) {
	t, err := o.storage.GetAlarm(ctx, nil)
	if err != nil || t.IsZero() {
		return 0, err
	}
	return t.UnixMilli(), nil
}

func (o object) Clear(ctx context.Context) error { return o.storage.DeleteAll(ctx, nil) }

func (o object) Transact(fn func() error) error { return o.storage.TransactionSync(fn) }

func (o object) Note(name string, value []byte) error {
	return plain.Put(o.storage.KV(), name, value)
}

// Noted returns no bytes for a value that is not bytes; no bytes are corrupt.
func (o object) Noted(name string) ([]byte, error) {
	v, ok, err := plain.Get(o.storage.KV(), name)
	if err != nil || !ok {
		return nil, err
	}
	if b, isBytes := v.([]byte); isBytes {
		return b, nil
	}
	return []byte{}, nil
}

// single is the backend of an object that keeps one key's entry.
type single struct{ object }

// Single returns the backend of an object that keeps one entry, whose key is
// empty, and nothing else.
func Single(storage *durable.Storage) Backend { return single{object{storage}} }

func (s single) Get(string) (record []byte, ok bool, err error) {
	v, ok, err := plain.Get(s.storage.KV(), singleKey)
	record, _ = v.([]byte) // anything else is as corrupt as no bytes
	return record, ok, err
}

func (s single) Put(_ string, e, _ *entry.Entry) error {
	return plain.Put(s.storage.KV(), singleKey, e.Encode())
}

func (s single) Remove(string) error {
	_, err := s.storage.KV().Delete(singleKey)
	return err
}

// entry returns the entry. If it exists but cannot be read, the error is
// codec.Unreadable.
func (s single) entry() (e entry.Entry, some bool, err error) {
	record, some, err := s.Get("")
	if err == nil && some {
		e, err = entry.Decode(record)
	}
	return e, some, err
}

func (s single) Sweep(now int64, _ int, keep func(fence int64) error) error {
	e, _, err := s.entry()
	if codec.Unreadable(err) {
		return nil
	}
	if err != nil || e.State == entry.Absent || e.NotifyAt != 0 || now < e.Due() {
		return err
	}
	if err := keep(e.Fence()); err != nil {
		return err
	}
	return s.Remove("")
}

func (s single) Expired(now int64, _ int) ([]entry.Keyed, error) {
	e, _, err := s.entry()
	if codec.Unreadable(err) {
		return nil, nil
	}
	if err != nil || e.NotifyAt == 0 || now < e.Due() {
		return nil, err
	}
	return []entry.Keyed{{Entry: e}}, nil
}

func (s single) Earliest(now int64) (due int64, some bool, err error) {
	e, some, err := s.entry()
	switch {
	case errors.Is(err, codec.ErrVersion):
		return now + entry.NewerRetry, true, nil
	case codec.Unreadable(err):
		return entry.Never, true, nil
	case err != nil || e.State == entry.Absent:
		return entry.Never, some, err
	}
	return e.Due(), true, nil
}
