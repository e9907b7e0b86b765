package engine

import (
	"context"

	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
)

// Backend is an engine's access to its object. Writes take effect when they are
// called, together with those before them. SetAlarm and Clear wait only for the
// confirmation.
type Backend interface {
	Get(key string) (record []byte, ok bool, err error)
	// Put stores an entry in place of the one that Get found, which is the zero
	// entry if there was none.
	Put(key string, e, before *entry.Entry) error
	Remove(key string) error
	// Sweep removes records that are due and need no notice, the oldest first,
	// and calls keep with their largest fence.
	Sweep(now int64, limit int, keep func(fence int64) error) error
	// Expired returns entries that are due for a notice, the oldest first. It
	// leaves out records that it cannot read, and postpones them by
	// [entry.Postpone].
	Expired(now int64, limit int) ([]entry.Keyed, error)
	// Earliest returns when the next record is due, or entry.Never if none is,
	// and whether there are records at all. If a newer program's record must be
	// read to know its time, it counts as due after entry.NewerRetry.
	Earliest(now int64) (due int64, some bool, err error)
	// Transact runs fn, and keeps all of its puts or none.
	Transact(fn func() error) error
	SetAlarm(ctx context.Context, at int64) error
	// AlarmAt returns when the alarm is due, or 0 if none is set.
	AlarmAt(ctx context.Context) (at int64, err error)
	// Clear deletes everything, with the alarm.
	Clear(ctx context.Context) error
	// Note and Noted store and return bytes under a name, besides the entries;
	// nil means none.
	Note(name string, value []byte) error
	Noted(name string) ([]byte, error)
}
