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
	// Sweep removes what is due and needs no notice, the oldest first, and has
	// keep keep the largest fence of it.
	Sweep(now int64, limit int, keep func(fence int64) error) error
	// Expired returns what is due for a notice, the oldest first. A record that
	// it cannot read it leaves, and postpones as [entry.Postpone] says.
	Expired(now int64, limit int) ([]entry.Keyed, error)
	// Earliest returns when the next record is due, entry.Never if none is, and
	// whether there are records at all. One that a newer program wrote may be
	// due at any time: where only its record says when, that is put off by
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
