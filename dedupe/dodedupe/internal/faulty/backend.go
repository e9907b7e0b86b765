package faulty

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
)

// Backend is an engine's backend in memory.
type Backend struct {
	Log
	Rows    map[string]Row
	Notes   map[string][]byte
	Alarm   int64          // 0: none
	Armed   func(at int64) // if set, is told of alarms
	Cleared func()         // if set, is told that everything was deleted
}

// Row is a record.
type Row struct {
	Record []byte
	Notify bool
	Due    int64
}

// NewBackend returns an empty one.
func NewBackend() *Backend { return &Backend{Rows: map[string]Row{}, Notes: map[string][]byte{}} }

// Get returns a record.
func (b *Backend) Get(key string) (record []byte, ok bool, err error) {
	if err := b.do("get", func() {}); err != nil {
		return nil, false, err
	}
	row, ok := b.Rows[key]
	return slices.Clone(row.Record), ok, nil
}

// Put stores a record. It fails if the stored record is not the expected one. A
// record that is due for a notice may have been postponed.
func (b *Backend) Put(key string, e, before *entry.Entry) error {
	row, ok := b.Rows[key]
	if ok != (before.State != entry.Absent) || ok && row.Due != before.Due() && !row.Notify {
		return errors.New("the record that is replaced is another one")
	}
	record := e.Encode()
	return b.do("put", func() { b.Rows[key] = Row{record, e.NotifyAt != 0, e.Due()} })
}

// Remove removes a record.
func (b *Backend) Remove(key string) error {
	return b.do("remove", func() { delete(b.Rows, key) })
}

// Sweep removes the records that are due and need no notice.
func (b *Backend) Sweep(now int64, limit int, keep func(int64) error) error {
	return b.Transact(func() error {
		fence, due := int64(0), b.due(false, now, limit)
		for _, key := range due {
			fence = max(fence, entry.FenceOf(b.Rows[key].Record))
		}
		if err := keep(fence); err != nil {
			return err
		}
		return b.do("sweep", func() {
			for _, key := range due {
				delete(b.Rows, key)
			}
		})
	})
}

// Expired returns the records that are due for a notice.
func (b *Backend) Expired(now int64, limit int) (expired []entry.Keyed, err error) {
	err = b.do("expired", func() {
		for _, key := range b.due(true, now, limit) {
			row := b.Rows[key]
			e, err := entry.Decode(row.Record)
			if err == nil {
				expired = append(expired, entry.Keyed{Key: key, Entry: e})
				continue
			}
			row.Notify, row.Due = entry.Postpone(err, now)
			b.Rows[key] = row
		}
	})
	return expired, err
}

// due returns the keys that are due, the oldest first.
func (b *Backend) due(notify bool, now int64, limit int) (keys []string) {
	for key, row := range b.Rows {
		if row.Notify == notify && row.Due <= now {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(k, l string) int {
		return cmp.Or(cmp.Compare(b.Rows[k].Due, b.Rows[l].Due), cmp.Compare(k, l))
	})
	return keys[:min(limit, len(keys))]
}

// Earliest returns when the next record is due.
func (b *Backend) Earliest(int64) (due int64, some bool, err error) {
	if err := b.do("earliest", func() {}); err != nil {
		return entry.Never, false, err
	}
	return b.earliest(), len(b.Rows) > 0, nil
}

func (b *Backend) earliest() int64 {
	due := entry.Never
	for _, row := range b.Rows {
		due = min(due, row.Due)
	}
	return due
}

// Transact undoes fn's changes to the rows if it fails.
func (b *Backend) Transact(fn func() error) error {
	before := maps.Clone(b.Rows)
	err := fn()
	if err != nil {
		b.Rows = before
	}
	return err
}

// SetAlarm sets the alarm.
func (b *Backend) SetAlarm(_ context.Context, at int64) error {
	return b.do("setAlarm", func() {
		b.Alarm = at
		if b.Armed != nil {
			b.Armed(at)
		}
	})
}

// AlarmAt returns the alarm.
func (b *Backend) AlarmAt(context.Context) (at int64, err error) {
	err = b.do("alarmAt", func() { at = b.Alarm })
	return at, err
}

// Note keeps bytes under a name.
func (b *Backend) Note(name string, value []byte) error {
	return b.do("note", func() { b.Notes[name] = slices.Clone(value) })
}

// Noted returns them.
func (b *Backend) Noted(name string) (value []byte, err error) {
	err = b.do("noted", func() { value = slices.Clone(b.Notes[name]) })
	return value, err
}

// Clear deletes everything.
func (b *Backend) Clear(context.Context) error {
	return b.do("clear", func() {
		b.Rows, b.Notes, b.Alarm = map[string]Row{}, map[string][]byte{}, 0
		if b.Cleared != nil {
			b.Cleared()
		}
	})
}

// State is the stored state, in words. It has no fences, which may differ, but
// it has the numbers of a sequence.
func (b *Backend) State() string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(b.Rows)) {
		e, err := entry.Decode(b.Rows[key].Record)
		if e.State != entry.Numbered {
			e.Number = 0
		}
		all = append(all, fmt.Sprintf("%q: %+v until %d %v", key, e, b.Rows[key].Due-Noon, err))
	}
	return strings.Join(all, "\n")
}

// IsArmed reports whether there is an alarm when the first record is due, or at
// latest if that time is past.
func (b *Backend) IsArmed(latest int64) bool {
	due := b.earliest()
	return due >= entry.Never || b.Alarm != 0 && b.Alarm <= max(due, latest)
}
