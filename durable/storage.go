package durable

import (
	"context"
	"time"

	"flow.internal/capdo/internal/jsrt"
)

// Storage is an object's private, durable storage, at most 10 GB (https://developers.cloudflare.com/durable-objects/platform/limits/).
// Writes made without waiting in between are committed together, and no answer leaves the object before they are durable.
type Storage struct {
	ref *jsrt.Ref
	kv  KV
	sql SQL
}

// KV returns the synchronous key-value store. It needs a SQLite-backed class.
func (s *Storage) KV() *KV { return &s.kv }

// SQL returns the SQLite database. It needs a SQLite-backed class.
func (s *Storage) SQL() *SQL { return &s.sql }

// TransactionSync runs fn, which commits when it returns nil, and is rolled back when it returns an error (which TransactionSync
// returns) or panics (which goes on). No I/O of this object's other goroutines happens meanwhile. fn must not wait for anything:
// if it does, it is given up with [ErrTransactionParked], and later operations of its goroutine on this object fail likewise. It
// needs a SQLite-backed class.
func (s *Storage) TransactionSync(fn func() error) error { return classify(s.ref.Transact(fn)) }

// DeleteAll deletes everything the object has stored, and its alarm (compatibility date 2026-02-24 or later). An object without stored data
// costs nothing.
func (s *Storage) DeleteAll(ctx context.Context) error {
	_, err := s.ref.Await(ctx, "deleteAll")
	return classify(err)
}

// SetAlarm schedules the object's one alarm, replacing an earlier one; the time is kept in ms, and one that has passed means at once. The
// class must implement [Alarmer], else [ErrNoAlarmHandler]. The write happens when SetAlarm is called, together with the writes just before it; what
// it waits for is only the report.
func (s *Storage) SetAlarm(ctx context.Context, at time.Time) error {
	_, err := s.ref.Await(ctx, "setAlarm", at.UnixMilli())
	return classify(err)
}

// GetAlarm returns when the alarm is due; the zero time when there is none, or while it is being delivered.
func (s *Storage) GetAlarm(ctx context.Context) (time.Time, error) {
	v, err := s.ref.Await(ctx, "getAlarm")
	if ms, ok := v.(float64); ok {
		return time.UnixMilli(int64(ms)), nil
	}
	return time.Time{}, classify(err)
}

// DeleteAlarm cancels the alarm, if there is one.
func (s *Storage) DeleteAlarm(ctx context.Context) error {
	_, err := s.ref.Await(ctx, "deleteAlarm")
	return classify(err)
}

// part returns a property of the storage, which workerd makes on first use.
func (s *Storage) part(name string, cached **jsrt.Ref) (*jsrt.Ref, error) {
	if *cached == nil {
		v, err := s.ref.Get(name)
		if err != nil {
			return nil, classify(err)
		}
		ref, ok := v.(*jsrt.Ref)
		if !ok {
			return nil, ErrNoSQL
		}
		*cached = ref
	}
	return *cached, nil
}
