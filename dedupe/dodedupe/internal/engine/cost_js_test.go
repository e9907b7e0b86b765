package engine

import (
	"context"
	"strconv"
	"testing"
	"time"

	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
	"flow.internal/capdo/internal/opcost"
)

// countedTable counts the rows that SQLite reads and writes, by its own
// counters.
type countedTable struct {
	*sqlBackend
	cursors []*durable.Cursor
	others  int // alarms and notes count one row each
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

// countedSingle counts reads and writes, one row each.
type countedSingle struct {
	single
	read, written int
}

func (c *countedSingle) Get(key string) (record []byte, ok bool, err error) {
	c.read++
	return c.single.Get(key)
}

func (c *countedSingle) Noted(name string) ([]byte, error) {
	c.read++
	return c.single.Noted(name)
}

func (c *countedSingle) Expired(now int64, limit int) ([]entry.Keyed, error) {
	c.read++
	return c.single.Expired(now, limit)
}

func (c *countedSingle) Earliest(now int64) (due int64, some bool, err error) {
	c.read++
	return c.single.Earliest(now)
}

func (c *countedSingle) Put(key string, e, before *entry.Entry) error {
	c.written++
	return c.single.Put(key, e, before)
}

func (c *countedSingle) Remove(key string) error {
	c.written++
	return c.single.Remove(key)
}

// Sweep removes the record with a method of single.
func (c *countedSingle) Sweep(now int64, limit int, keep func(fence int64) error) error {
	c.read++
	_, before, _ := c.single.Get("")
	err := c.single.Sweep(now, limit, keep)
	if _, after, _ := c.single.Get(""); before && !after {
		c.written++
	}
	return err
}

func (c *countedSingle) Note(name string, value []byte) error {
	c.written++
	return c.single.Note(name, value)
}

func (c *countedSingle) SetAlarm(ctx context.Context, at int64) error {
	c.written++
	return c.single.SetAlarm(ctx, at)
}

func (c *countedSingle) take() (read, written int) {
	read, written = c.read, c.written
	c.read, c.written = 0, 0
	return read, written
}

// TestCosts measures the billed rows in real objects.
func TestCosts(t *testing.T) {
	const none = opcost.None
	measured := make([]opcost.Cost, len(opcost.Table))
	for i, c := range opcost.Table { // requests are counted in dodedupe
		measured[i] = opcost.Cost{Operation: c.Operation, Requests: c.Requests, PerKey: none, InBucket: none, Notifies: none, ReadPerKey: none, Read: none}
	}
	measure := func(many, notifies bool, note func(c *opcost.Cost, read, written int)) {
		durabletest.Run(t, durabletest.New(t, durabletest.SQLite), func(ctx context.Context, state *durable.State) {
			ahead := time.Duration(0)
			clock := func() int64 { return time.Now().Add(ahead).UnixMilli() }
			e, take := countedEngine(state.Storage(), clock, many, notifies)
			later := func(d time.Duration) { ahead += d }
			operate(ctx, e, many, later, func(operation string, do func() error) {
				take()
				if err := do(); err != nil {
					t.Errorf("%s: %v", operation, err)
				}
				read, written := take()
				for i := range measured {
					if measured[i].Operation == operation {
						note(&measured[i], read, written)
					}
				}
			})
		})
	}
	measure(false, false, func(c *opcost.Cost, read, written int) { c.PerKey, c.ReadPerKey = written, read })
	measure(true, false, func(c *opcost.Cost, read, written int) { c.InBucket, c.Read = written, read })
	measure(true, true, func(c *opcost.Cost, _, written int) { c.Notifies = written })
	for i, c := range measured {
		if c != opcost.Table[i] {
			t.Errorf("measured %+v, the table has %+v", c, opcost.Table[i])
		}
	}
}

func countedEngine(
	storage *durable.Storage, clock func() int64, many, notifies bool,
) (e *Engine, take func() (read, written int)) {
	config := Config{Clock: clock, Many: many}
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

// operate performs the operations of the table in order, each through run.
// later lets time pass.
func operate(
	ctx context.Context, b *Engine, many bool, later func(time.Duration),
	run func(operation string, do func() error),
) {
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
		later(3 * time.Hour)
		run("alarm that removes one record", func() error { return b.Alarm(ctx) })
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
	expire(ctx, b, later, run)
}

// expire lets records of a bucket expire while another record stays.
func expire(
	ctx context.Context, b *Engine, later func(time.Duration),
	run func(operation string, do func() error),
) {
	claim := func(key string, ttl time.Duration) {
		run("", func() error {
			a, err := b.Claim(ctx, key, entry.Request{Owner: "a", Lease: 60_000, TTL: ttl.Milliseconds()})
			if err != nil {
				return err
			}
			return b.Complete(ctx, key, holderOf(a), nil)
		})
	}
	alarm := func() error { return b.Alarm(ctx) }
	claim("stays", 100*time.Hour)
	for range 2 { // the first alarm may report a holder
		later(3 * time.Hour)
		run("", alarm)
	}
	claim("expires", time.Hour)
	later(2 * time.Hour)
	run("alarm that removes one record", alarm)
	for i := range 10 {
		claim("expires "+strconv.Itoa(i), time.Hour)
	}
	later(2 * time.Hour)
	run("alarm that removes ten records", alarm)
}
