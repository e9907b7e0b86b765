package dodedupe

import (
	"context"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// countedRows counts the rows that are read and written, by SQLite's own count.
type countedRows struct {
	*rows
	cursors []*durable.Cursor
	others  int // alarms and notes, a row each
}

func newCountedRows(storage *durable.Storage) *countedRows {
	c := &countedRows{rows: newRows(storage)}
	c.run(schema)
	c.run = func(query string, args ...any) (*durable.Cursor, error) {
		cursor, err := storage.SQL().Exec(query, args...)
		if err == nil {
			c.cursors = append(c.cursors, cursor)
		}
		return cursor, err
	}
	return c
}

func (c *countedRows) setAlarm(ctx context.Context, at int64) error {
	c.others++
	return c.rows.setAlarm(ctx, at)
}

func (c *countedRows) take() (read, written int) {
	for _, cursor := range c.cursors {
		read, written = read+cursor.RowsRead(), written+cursor.RowsWritten()
	}
	written += c.others
	c.cursors, c.others = nil, 0
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

func (c *countedRows) note(ctx context.Context, name string, value []byte) error {
	c.others++
	return c.rows.note(ctx, name, value)
}

func (c *countedSingle) note(ctx context.Context, name string, value []byte) error {
	c.written++
	return c.single.note(ctx, name, value)
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
			b, take := &book{table: one, clock: unixMilli, many: many}, func() (_, written int) {
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

// operate does what the table names, in its order, through run.
func operate(ctx context.Context, b *book, many bool, run func(operation string, do func() error)) {
	r := request{owner: "a", lease: 60_000, ttl: 3_600_000}
	other := request{owner: "b", lease: 1, ttl: 1}
	var a answer
	claim := func() (err error) { a, err = b.claim(ctx, "k", r); return err }
	claimed := func(key string, r request) func() error {
		return func() error { _, err := b.claim(ctx, key, r); return err }
	}
	run("claim, the first of an object", claim)
	if many {
		run("claim, the first of a key", claimed("another", request{owner: "a", lease: 60_000, ttl: 7_200_000}))
	}
	run("claim of a key that is in progress", claimed("k", other))
	run("extend within the TTL", func() error { return b.extend(ctx, "k", a.holder(), 120_000) })
	run("extend beyond the TTL", func() error { return b.extend(ctx, "k", a.holder(), 7_200_000) })
	run("complete, after a lease that outlasts the TTL", func() error { return b.complete(ctx, "k", a.holder(), []byte("result")) })
	time.Sleep(5 * time.Millisecond) // a fence that is not in the past would be kept
	run("forget", func() error { return b.forget(ctx, "k", lookFence, a.entry.number) })
	run("claim after forget", claim)
	run("release", func() error { return b.release(ctx, "k", a.holder()) })
	run("claim after release", claim)
	run("complete", func() error { return b.complete(ctx, "k", a.holder(), []byte("result")) })
	run("claim of a key that is completed", claimed("k", other))
	if !many {
		return
	}
	reserve := func(owner string) func() error {
		return func() error { _, err := b.reserve(ctx, "p", request{owner: owner, ttl: 7_200_000}); return err }
	}
	run("PutIfAbsent of a new key", reserve("a"))
	run("PutIfAbsent of a key that is there", reserve("b"))
	next := func(key, owner string) func() error {
		return func() error {
			_, _, err := b.next(ctx, key, request{owner: owner, ttl: int64(2 * time.Hour / time.Millisecond)})
			return err
		}
	}
	run("the first entry of a sequence", next("e", "a"))
	run("an entry of a sequence", next("f", "a"))
	run("an entry of a sequence that has its number", next("f", "b"))
}
