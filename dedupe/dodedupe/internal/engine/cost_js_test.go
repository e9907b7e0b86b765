package engine

import (
	"context"
	"testing"
	"time"

	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// countedTable counts the rows that are read and written, by SQLite's own
// count.
type countedTable struct {
	*sqlBackend
	cursors []*durable.Cursor
	others  int // alarms and notes, a row each
}

func newCountedTable(storage *durable.Storage) *countedTable {
	c := &countedTable{sqlBackend: newSQLBackend(storage)}
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

func (c *countedTable) SetAlarm(ctx context.Context, at int64) error {
	c.others++
	return c.sqlBackend.SetAlarm(ctx, at)
}

func (c *countedTable) Note(name string, value []byte) error {
	c.others++
	return c.sqlBackend.Note(name, value)
}

func (c *countedTable) take() (read, written int) {
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

func (c *countedSingle) Put(key string, e, before *entry.Entry) error {
	c.written++
	return c.single.Put(key, e, before)
}

func (c *countedSingle) Remove(key string) error {
	c.written++
	return c.single.Remove(key)
}

func (c *countedSingle) Note(name string, value []byte) error {
	c.written++
	return c.single.Note(name, value)
}

func (c *countedSingle) SetAlarm(ctx context.Context, at int64) error {
	c.written++
	return c.single.SetAlarm(ctx, at)
}

func (c *countedSingle) take() (_, written int) {
	written, c.written = c.written, 0
	return 0, written
}

// TestCosts measures what is billed, in real objects.
func TestCosts(t *testing.T) {
	measured := make([]cost, len(costs))
	for i, c := range costs {
		measured[i] = cost{c.operation, -1, -1, -1, -1}
	}
	measure := func(many, notifies bool, note func(c *cost, read, written int)) {
		durabletest.Run(t, durabletest.New(t, durabletest.SQLite), func(ctx context.Context, state *durable.State) {
			e, take := countedEngine(state.Storage(), many, notifies)
			operate(ctx, e, many, func(operation string, do func() error) {
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
	measure(true, true, func(c *cost, _, written int) { c.notifies = written })
	for i, c := range measured {
		if c != costs[i] {
			t.Errorf("measured %+v, stated is %+v", c, costs[i])
		}
	}
}

func countedEngine(storage *durable.Storage, many, notifies bool) (e *Engine, take func() (read, written int)) {
	config := Config{Clock: func() int64 { return time.Now().UnixMilli() }, Many: many}
	if notifies {
		config.Notify = func(context.Context, string, *entry.Entry) error { return nil }
	}
	if many {
		table := newCountedTable(storage)
		config.Backend = table
		return New(config), table.take
	}
	one := &countedSingle{single: single{object{storage}}}
	config.Backend = one
	return New(config), one.take
}

// operate does what the table names, in its order, through run.
func operate(ctx context.Context, b *Engine, many bool, run func(operation string, do func() error)) {
	r := entry.Request{Owner: "a", Lease: 60_000, TTL: 3_600_000}
	other := entry.Request{Owner: "b", Lease: 1, TTL: 1}
	var a entry.Answer
	claim := func() (err error) { a, err = b.Claim(ctx, "k", r); return err }
	claimed := func(key string, r entry.Request) func() error {
		return func() error { _, err := b.Claim(ctx, key, r); return err }
	}
	run("claim, the first of an object", claim)
	if many {
		run("claim, the first of a key", claimed("another", entry.Request{Owner: "a", Lease: 60_000, TTL: 7_200_000}))
	}
	run("claim of a key that is in progress", claimed("k", other))
	run("extend within the TTL", func() error { return b.Extend(ctx, "k", holderOf(a), 120_000) })
	run("extend beyond the TTL", func() error { return b.Extend(ctx, "k", holderOf(a), 7_200_000) })
	run("complete, after a lease that outlasts the TTL", func() error { return b.Complete(ctx, "k", holderOf(a), []byte("result")) })
	// A fence that is not in the past would be kept.
	time.Sleep(5 * time.Millisecond)
	run("forget", func() error { return b.Forget(ctx, "k", entry.Found{What: entry.Readable, Fence: a.Entry.Number}) })
	run("claim after forget", claim)
	run("release", func() error { return b.Release(ctx, "k", holderOf(a)) })
	run("claim after release", claim)
	run("complete", func() error { return b.Complete(ctx, "k", holderOf(a), []byte("result")) })
	run("claim of a key that is completed", claimed("k", other))
	if !many {
		return
	}
	reserve := func(owner string) func() error {
		return func() error { _, err := b.Reserve(ctx, "p", entry.Request{Owner: owner, TTL: 7_200_000}); return err }
	}
	run("PutIfAbsent of a new key", reserve("a"))
	run("PutIfAbsent of a key that is there", reserve("b"))
	next := func(key, owner string) func() error {
		return func() error {
			_, _, err := b.Sequence().Next(ctx, key, entry.Request{Owner: owner, TTL: int64(2 * time.Hour / time.Millisecond)})
			return err
		}
	}
	run("the first entry of a sequence", next("e", "a"))
	run("an entry of a sequence", next("f", "a"))
	run("an entry of a sequence that has its number", next("f", "b"))
}
