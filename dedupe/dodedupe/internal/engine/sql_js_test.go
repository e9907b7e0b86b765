package engine

import (
	"context"
	"errors"
	"testing"

	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// A sweep reads a small multiple of the rows that it removes. The test also
// makes the mistake of listing all rows, which reads them all.
func TestKnownMistakeOfASweep(t *testing.T) {
	t.Run("known mistake: a sweep that lists the whole object into memory", func(t *testing.T) {
		durabletest.Run(t, durabletest.New(t, durabletest.SQLite), func(ctx context.Context, state *durable.State) {
			if read := rowsReadBySweep(ctx, t, state, func(b *sqlBackend) error { return b.Sweep(noon+101, 10, func(int64) error { return nil }) }); read > 100 {
				t.Errorf("a sweep of 10 out of 500 records reads %d rows", read)
			}
			listing := func(b *sqlBackend) error {
				c, err := b.run("SELECT key, due FROM _capdo_entries")
				for err == nil && c.Next() {
				}
				return errors.Join(err, b.Sweep(noon+101, 10, func(int64) error { return nil }))
			}
			if read := rowsReadBySweep(ctx, t, state, listing); read < 500 {
				t.Errorf("listing the records reads %d rows", read)
			}
		})
	})
}

func rowsReadBySweep(ctx context.Context, t *testing.T, state *durable.State, sweep func(*sqlBackend) error) (read int) {
	t.Helper()
	b := newSQLBackend(state.Storage())
	for n := range 500 {
		if err := b.Put(string(rune('a'+n)), &entry.Entry{State: entry.Held, FirstSeen: noon, TTL: 1 + int64(n)}, &entry.Entry{}); err != nil {
			t.Fatal(err)
		}
	}
	var cursors []*durable.Cursor
	run := b.run
	b.run = func(query string, args ...any) (*durable.Cursor, error) {
		c, err := run(query, args...)
		cursors = append(cursors, c)
		return c, err
	}
	if err := sweep(b); err != nil {
		t.Fatal(err)
	}
	for _, c := range cursors {
		read += c.RowsRead()
	}
	return read
}
