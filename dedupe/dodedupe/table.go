package dodedupe

import (
	"context"
	"strconv"
	"time"

	"flow.internal/capdo/durable"
)

// ledgerKey is where the entry of an object with a single one is, and the beginning of its other keys; see recordKey.
const ledgerKey = "_capdo_ledger"

// single is the table of an object that keeps one key's entry.
type single struct{ storage *durable.Storage }

func (s single) get(context.Context, string) (record []byte, ok bool, err error) {
	v, ok, err := s.storage.KV().Get(ledgerKey)
	record, _ = v.([]byte) // anything else is as corrupt as no bytes
	return record, ok, err
}

func (s single) put(_ context.Context, _ string, record []byte, _, _ int64) error {
	return s.storage.KV().Put(ledgerKey, record)
}

func (s single) remove(context.Context, string) error {
	_, err := s.storage.KV().Delete(ledgerKey)
	return err
}

func (s single) sweep(ctx context.Context, now int64, _ int) error { return sweepOne(ctx, s, now) }

func (s single) earliest(ctx context.Context) (expires int64, some bool, err error) {
	return earliestOfOne(ctx, s)
}

// sweepOne is sweep for a table with one entry.
func sweepOne(ctx context.Context, t table, now int64) error {
	expires, some, err := t.earliest(ctx)
	if err != nil || !some || now < expires {
		return err
	}
	return t.remove(ctx, "")
}

// earliestOfOne is earliest for a table with one entry.
func earliestOfOne(ctx context.Context, t table) (expires int64, some bool, err error) {
	record, ok, err := t.get(ctx, "")
	if err != nil || !ok {
		return never, false, err
	}
	e, err := decodeEntry(record)
	if err != nil {
		return never, true, err
	}
	return e.kept(), true, nil
}

func (s single) transact(fn func() error) error { return s.storage.TransactionSync(fn) }

func (s single) setAlarm(ctx context.Context, at int64) error {
	return s.storage.SetAlarm(ctx, time.UnixMilli(at), nil)
}

func (s single) clear(ctx context.Context) error { return s.storage.DeleteAll(ctx, nil) }

// chunked is single for a class with key-value storage, whose values have 128 KiB at most: a record that is larger continues under further
// keys. What a step waits for is this storage only; the input gate keeps other events out meanwhile, and the book other goroutines.
type chunked struct{ single }

const chunkSize = 120 << 10

func chunkKey(n int) string { return ledgerKey + "." + strconv.Itoa(n) }

func (c chunked) get(ctx context.Context, _ string) (record []byte, ok bool, err error) {
	v, ok, err := c.storage.Get(ctx, ledgerKey, nil)
	if err != nil || !ok {
		return nil, false, err
	}
	if record, ok := v.([]byte); ok {
		return record, true, nil
	}
	chunks, _ := v.(float64) // how many, where they are several
	var keys []string
	for n := range int(min(chunks, 1<<20/chunkSize+2)) {
		keys = append(keys, chunkKey(n))
	}
	entries, err := c.storage.GetMany(ctx, keys, nil)
	if err != nil {
		return nil, false, err
	}
	for _, e := range entries {
		chunk, _ := e.Value.([]byte)
		record = append(record, chunk...)
	}
	return record, true, nil
}

func (c chunked) put(ctx context.Context, _ string, record []byte, _, _ int64) error {
	if len(record) <= chunkSize {
		return c.storage.Put(ctx, ledgerKey, record, nil)
	}
	entries := []durable.Entry{{Key: ledgerKey}}
	for n := 0; len(record) > 0; n++ {
		size := min(len(record), chunkSize)
		entries = append(entries, durable.Entry{Key: chunkKey(n), Value: record[:size]})
		record = record[size:]
	}
	entries[0].Value = float64(len(entries) - 1)
	return c.storage.PutMany(ctx, entries, nil)
}

func (c chunked) remove(ctx context.Context, _ string) error {
	_, err := c.storage.Delete(ctx, ledgerKey, nil) // the object is empty then, and cleared
	return err
}

func (c chunked) sweep(ctx context.Context, now int64, _ int) error { return sweepOne(ctx, c, now) }

func (c chunked) earliest(ctx context.Context) (expires int64, some bool, err error) {
	return earliestOfOne(ctx, c)
}

// rows is the table of an object that keeps many keys' entries, in SQL. It is single's for the alarm and for clear.
type rows struct {
	single
	run     func(query string, args ...any) (*durable.Cursor, error)
	created bool
}

func newRows(storage *durable.Storage) *rows {
	return &rows{single: single{storage}, run: storage.SQL().Exec}
}

// An expiry of NULL is never. Names that begin with "_capdo_" are this module's.
const schema = `
	CREATE TABLE IF NOT EXISTS _capdo_entries (key BLOB PRIMARY KEY, expires INTEGER, record BLOB NOT NULL) WITHOUT ROWID;
	CREATE INDEX IF NOT EXISTS _capdo_entries_expires ON _capdo_entries (expires)`

func (r *rows) exec(query string, args ...any) (*durable.Cursor, error) {
	if !r.created {
		if _, err := r.run(schema); err != nil {
			return nil, err
		}
		r.created = true
	}
	return r.run(query, args...)
}

func (r *rows) get(_ context.Context, key string) (record []byte, ok bool, err error) {
	c, err := r.exec("SELECT record FROM _capdo_entries WHERE key = ?", []byte(key))
	if err != nil {
		return nil, false, err
	}
	if !c.Next() {
		return nil, false, c.Err()
	}
	return record, true, c.Scan(&record)
}

func (r *rows) put(_ context.Context, key string, record []byte, expires, before int64) error {
	if before == expires { // SQLite writes the index anew if an update as much as names its column
		_, err := r.exec("UPDATE _capdo_entries SET record = ? WHERE key = ?", record, []byte(key))
		return err
	}
	_, err := r.exec("INSERT INTO _capdo_entries (key, expires, record) VALUES (?, ?, ?) "+
		"ON CONFLICT (key) DO UPDATE SET expires = excluded.expires, record = excluded.record", []byte(key), sqlTime(expires), record)
	return err
}

func sqlTime(at int64) any {
	if at >= never {
		return nil
	}
	return at
}

func (r *rows) remove(_ context.Context, key string) error {
	_, err := r.exec("DELETE FROM _capdo_entries WHERE key = ?", []byte(key))
	return err
}

func (r *rows) sweep(_ context.Context, now int64, limit int) error {
	_, err := r.exec("DELETE FROM _capdo_entries WHERE key IN "+
		"(SELECT key FROM _capdo_entries WHERE expires <= ? ORDER BY expires LIMIT ?)", now, limit)
	return err
}

func (r *rows) earliest(context.Context) (expires int64, some bool, err error) {
	c, err := r.exec("SELECT COALESCE(expires, ?) FROM _capdo_entries ORDER BY expires IS NULL, expires LIMIT 1", never)
	if err != nil || !c.Next() {
		if err == nil {
			err = c.Err()
		}
		return never, false, err
	}
	return expires, true, c.Scan(&expires)
}

func (r *rows) clear(ctx context.Context) error {
	r.created = false
	return r.single.clear(ctx)
}
