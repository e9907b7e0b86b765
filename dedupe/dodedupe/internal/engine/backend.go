package engine

import (
	"context"

	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
)

// Backend is what an engine needs of an object. Writes take effect when they
// are called, together with those before them; what SetAlarm and Clear wait for
// is only the report.
type Backend interface {
	Get(key string) (record []byte, ok bool, err error)
	// Put stores an entry in place of what Get found, the zero entry if
	// nothing.
	Put(key string, e, before *entry.Entry) error
	Remove(key string) error
	// Sweep removes records that are due and need no notice, the oldest first,
	// and calls keep with their largest fence.
	Sweep(now int64, limit int, keep func(fence int64) error) error
	// Expired returns entries that are due for a notice, the oldest first. It
	// leaves out records that it cannot read, and postpones them as
	// [entry.Postpone] says.
	Expired(now int64, limit int) ([]entry.Keyed, error)
	// Earliest returns when the next record is due, entry.Never if none is, and
	// whether there are records at all. A record of a newer program may be due
	// at any time: if only the record says when, it is due after
	// entry.NewerRetry.
	Earliest(now int64) (due int64, some bool, err error)
	// Transact does all puts of fn or none.
	Transact(fn func() error) error
	SetAlarm(ctx context.Context, at int64) error
	// AlarmAt returns when the alarm is due; 0 if none is set.
	AlarmAt(ctx context.Context) (at int64, err error)
	// Clear deletes everything, with the alarm.
	Clear(ctx context.Context) error
	// Note and Noted keep bytes under a name beside the entries, nil if there
	// are none.
	Note(name string, value []byte) error
	Noted(name string) ([]byte, error)
}
