package dodedupe

import (
	"context"
	"errors"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
)

// ledgerKey is where the entry of an object with a single one is; see recordKey.
const ledgerKey = "_capdo_ledger"

// single is the table of an object that keeps one key's entry, in key-value storage of either backend. An asynchronous get and the put
// that follows have nothing else to wait for in between; the input gate keeps other events out, and the book other goroutines.
type single struct{ storage *durable.Storage }

func (s single) get(ctx context.Context, _ string) (record []byte, ok bool, err error) {
	v, ok, err := s.storage.KV().Get(ledgerKey)
	if errors.Is(err, durable.ErrNoSQL) {
		v, ok, err = s.storage.Get(ctx, ledgerKey, nil)
	}
	record, _ = v.([]byte) // anything else is as corrupt as no bytes
	return record, ok, err
}

func (s single) put(ctx context.Context, _ string, record []byte, _ int64) error {
	err := s.storage.KV().Put(ledgerKey, record)
	if errors.Is(err, durable.ErrNoSQL) {
		err = s.storage.Put(ctx, ledgerKey, record, nil)
	}
	if errors.Is(err, durable.ErrLimit) { // key-value backed objects take 128 KiB; only a result can be so large
		err = undone{dedupe.ErrResultTooLarge}
	}
	return err
}

func (s single) remove(ctx context.Context, _ string) error {
	_, err := s.storage.KV().Delete(ledgerKey)
	if errors.Is(err, durable.ErrNoSQL) {
		_, err = s.storage.Delete(ctx, ledgerKey, nil)
	}
	return err
}

func (s single) sweep(ctx context.Context, now int64, _ int) error {
	expires, some, err := s.earliest(ctx)
	if err != nil || !some || now < expires {
		return err
	}
	return s.remove(ctx, "")
}

func (s single) earliest(ctx context.Context) (expires int64, some bool, err error) {
	record, ok, err := s.get(ctx, "")
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

// rows is the table of an object that keeps many keys' entries, in SQL. It is single's for the alarm and for clear.
type rows struct {
	single
	created bool
}

// An expiry of NULL is never. Names that begin with "_capdo_" are this module's.
const schema = `
	CREATE TABLE IF NOT EXISTS _capdo_entries (key BLOB PRIMARY KEY, expires INTEGER, record BLOB NOT NULL) WITHOUT ROWID;
	CREATE INDEX IF NOT EXISTS _capdo_entries_expires ON _capdo_entries (expires)`

func (r *rows) exec(query string, args ...any) (*durable.Cursor, error) {
	if !r.created {
		if _, err := r.storage.SQL().Exec(schema); err != nil {
			return nil, err
		}
		r.created = true
	}
	return r.storage.SQL().Exec(query, args...)
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

func (r *rows) put(_ context.Context, key string, record []byte, expires int64) error {
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
