package dodedupe

import (
	"context"
	"errors"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/plain"
)

// ledgerKey is where the entry of an object with a single one is, and the beginning of its other keys; see recordKey.
const ledgerKey = "_capdo_ledger"

// slotAlarm is the alarm of an object that has nothing else to keep.
type slotAlarm struct{ storage *durable.Storage }

func (s slotAlarm) setAlarm(ctx context.Context, at int64) error {
	return s.storage.SetAlarm(ctx, time.UnixMilli(at), nil)
}

func (s slotAlarm) alarmAt(ctx context.Context) (at int64, err error) {
	t, err := s.storage.GetAlarm(ctx, nil)
	if err != nil || t.IsZero() {
		return 0, err
	}
	return t.UnixMilli(), nil
}

func (s slotAlarm) clear(ctx context.Context) error { return s.storage.DeleteAll(ctx, nil) }

// single is the table of an object that keeps one key's entry, in SQLite-backed storage.
type single struct{ slotAlarm }

func (s single) get(context.Context, string) (record []byte, ok bool, err error) {
	v, ok, err := plain.Get(s.storage.KV(), ledgerKey)
	record, _ = v.([]byte) // anything else is as corrupt as no bytes
	return record, ok, err
}

func (s single) put(_ context.Context, _ string, e, _ *entry) error {
	return plain.Put(s.storage.KV(), ledgerKey, e.encode())
}

func (s single) remove(context.Context, string) error {
	_, err := s.storage.KV().Delete(ledgerKey)
	return err
}

func (s single) sweep(ctx context.Context, now int64, _ int, keep func(int64) error) error {
	return sweepOne(ctx, s, now, keep)
}

func (s single) watched(ctx context.Context, now int64, _ int) ([]sighting, error) {
	return watchedOne(ctx, s, now)
}

func (s single) earliest(ctx context.Context, now int64) (due int64, some bool, err error) {
	return earliestOfOne(ctx, s, now)
}

func (s single) transact(_ context.Context, fn func() error) error {
	return s.storage.TransactionSync(fn)
}

func (s single) note(_ context.Context, name string, value []byte) error {
	return plain.Put(s.storage.KV(), name, value)
}

func (s single) noted(_ context.Context, name string) ([]byte, error) {
	v, ok, err := plain.Get(s.storage.KV(), name)
	return notedBytes(v, ok), err
}

// notedBytes is a value that is stored: nil if none is, and no bytes, which are
// corrupt, for another one than bytes.
func notedBytes(v any, ok bool) []byte {
	if b, isBytes := v.([]byte); ok && isBytes {
		return b
	} else if ok {
		return []byte{}
	}
	return nil
}

// lone returns the entry of a table with a single one. One that is there and
// cannot be read is an error of isUnreadable.
func lone(ctx context.Context, t table) (e entry, some bool, err error) {
	record, some, err := t.get(ctx, "")
	if err == nil && some {
		e, err = decodeEntry(record)
	}
	return e, some, err
}

// sweepOne is sweep for such a table.
func sweepOne(ctx context.Context, t table, now int64, keep func(fence int64) error) error {
	e, _, err := lone(ctx, t)
	if isUnreadable(err) {
		return nil
	}
	if err != nil || e.state == absent || e.watch != 0 || now < e.due() {
		return err
	}
	if err := keep(e.fenced()); err != nil {
		return err
	}
	return t.remove(ctx, "")
}

// watchedOne is watched for such a table.
func watchedOne(ctx context.Context, t table, now int64) ([]sighting, error) {
	e, _, err := lone(ctx, t)
	if isUnreadable(err) {
		return nil, nil
	}
	if err != nil || e.watch == 0 || now < e.due() {
		return nil, err
	}
	return []sighting{{"", e}}, nil
}

// earliestOfOne is earliest for such a table.
func earliestOfOne(ctx context.Context, t table, now int64) (due int64, some bool, err error) {
	e, some, err := lone(ctx, t)
	switch {
	case errors.Is(err, ErrVersion):
		return now + newerRetry, true, nil
	case isUnreadable(err):
		return never, true, nil
	case err != nil || e.state == absent:
		return never, some, err
	}
	return e.due(), true, nil
}
