package dodedupe

import (
	"context"
	"testing"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// countedRows counts the rows that are read and written, by SQLite's own count.
type countedRows struct {
	*rows
	cursors []*durable.Cursor
	alarms  int
}

func newCountedRows(storage *durable.Storage) *countedRows {
	c := &countedRows{rows: newRows(storage)}
	c.exec("SELECT 1") // makes the tables
	c.run = func(query string, args ...any) (*durable.Cursor, error) {
		cursor, err := storage.SQL().Exec(query, args...)
		c.cursors = append(c.cursors, cursor)
		return cursor, err
	}
	return c
}

func (c *countedRows) setAlarm(ctx context.Context, at int64) error {
	c.alarms++
	return c.rows.setAlarm(ctx, at)
}

func (c *countedRows) take() (read, written int) {
	for _, cursor := range c.cursors {
		read, written = read+cursor.RowsRead(), written+cursor.RowsWritten()
	}
	written += c.alarms
	c.cursors, c.alarms = nil, 0
	return read, written
}

// countedSingle counts writes, of a row each.
type countedSingle struct {
	single
	written int
}

func (c *countedSingle) put(ctx context.Context, key string, e, before *entry) error {
	c.written++
	return c.single.put(ctx, key, e, before)
}

func (c *countedSingle) remove(ctx context.Context, key string) error {
	c.written++
	return c.single.remove(ctx, key)
}

func (c *countedSingle) setAlarm(ctx context.Context, at int64) error {
	c.written++
	return c.single.setAlarm(ctx, at)
}

// TestCosts measures what is billed, in real objects.
func TestCosts(t *testing.T) {
	measured := make([]cost, len(costs))
	for i, c := range costs {
		measured[i] = cost{c.operation, -1, -1, -1, -1}
	}
	measure := func(many, watched bool, note func(c *cost, read, written int)) {
		durabletest.Run(t, durabletest.New(t, durabletest.SQLite), func(ctx context.Context, state *durable.State) {
			one := &countedSingle{single: single{slotAlarm{state.Storage()}}}
			b, take := &book{table: one, clock: unixMilli}, func() (_, written int) {
				written, one.written = one.written, 0
				return 0, written
			}
			if many {
				rows := newCountedRows(state.Storage())
				b.table, take = rows, rows.take
			}
			if watched {
				b.tell = func(context.Context, string, *entry) error { return nil }
			}
			operate(ctx, b, many, func(operation string, do func() error) {
				take()
				if err := do(); err != nil {
					t.Errorf("%s: %v", operation, err)
				}
				read, written := take()
				for i := range measured {
					if measured[i].operation == operation {
						note(&measured[i], read, written)
					}
				}
			})
		})
	}
	measure(false, false, func(c *cost, _, written int) { c.perKey = written })
	measure(true, false, func(c *cost, read, written int) { c.inBucket, c.read = written, read })
	measure(true, true, func(c *cost, _, written int) { c.watched = written })
	for i, c := range measured {
		if c != costs[i] {
			t.Errorf("measured %+v, stated is %+v", c, costs[i])
		}
	}
}
