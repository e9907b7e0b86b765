package engine

import (
	"errors"
	"strings"

	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/durable"
)

// sqlBackend is the backend of an object that keeps many keys' entries, in SQL.
type sqlBackend struct {
	object
	run func(query string, args ...any) (*durable.Cursor, error)
}

// SQL returns the backend of an object that keeps many keys' entries.
func SQL(storage *durable.Storage) Backend { return newSQLBackend(storage) }

func newSQLBackend(storage *durable.Storage) *sqlBackend {
	return &sqlBackend{object: object{storage}, run: storage.SQL().Exec}
}

// Names that begin with "_capdo_" are reserved for this module.
const schema = `
	CREATE TABLE IF NOT EXISTS _capdo_entries (
		key BLOB PRIMARY KEY, notify INTEGER, due INTEGER, record BLOB NOT NULL) WITHOUT ROWID;
	CREATE INDEX IF NOT EXISTS _capdo_entries_due ON _capdo_entries (notify, due)`

// HasEntries reports whether the object keeps entries in SQL. It fails with
// [durable.ErrNoSQL] in a key-value backed class.
func HasEntries(storage *durable.Storage) (bool, error) {
	c, err := storage.SQL().Exec("SELECT 1 FROM sqlite_master WHERE name = '_capdo_entries'")
	if err != nil {
		return false, err
	}
	return c.Next(), c.Err()
}

// exec runs a statement, and creates the table if it is missing. The existence
// of the table cannot be remembered, because its creation may be rolled back,
// or everything may be deleted.
func (t *sqlBackend) exec(query string, args ...any) (*durable.Cursor, error) {
	c, err := t.run(query, args...)
	if !isNoTable(err) {
		return c, err
	}
	if _, err := t.run(schema); err != nil {
		return nil, err
	}
	return t.run(query, args...)
}

func isNoTable(err error) bool {
	var e *durable.SQLError
	return errors.As(err, &e) && strings.HasPrefix(e.Message, "no such table: _capdo_entries")
}

func (t *sqlBackend) Get(key string) (record []byte, ok bool, err error) {
	c, err := t.run("SELECT record FROM _capdo_entries WHERE key = ?", []byte(key))
	if isNoTable(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	if !c.Next() {
		return nil, false, c.Err()
	}
	return record, true, c.Scan(&record)
}

func (t *sqlBackend) Put(key string, e, before *entry.Entry) error {
	if before.State != entry.Absent && before.Due() == e.Due() && before.NotifyAt == e.NotifyAt {
		// SQLite rewrites the index if an update even names its columns.
		_, err := t.exec("UPDATE _capdo_entries SET record = ? WHERE key = ?",
			e.Encode(), []byte(key))
		return err
	}
	_, err := t.exec("INSERT INTO _capdo_entries (key, notify, due, record) VALUES (?, ?, ?, ?) "+
		"ON CONFLICT (key) DO UPDATE SET "+
		"notify = excluded.notify, due = excluded.due, record = excluded.record",
		[]byte(key), e.NotifyAt != 0, e.Due(), e.Encode())
	return err
}

func (t *sqlBackend) Remove(key string) error {
	_, err := t.exec("DELETE FROM _capdo_entries WHERE key = ?", []byte(key))
	return err
}

func (t *sqlBackend) Sweep(now int64, limit int, keep func(fence int64) error) error {
	return t.Transact(func() error {
		c, err := t.exec("DELETE FROM _capdo_entries WHERE key IN "+
			"(SELECT key FROM _capdo_entries WHERE notify = 0 AND due <= ? ORDER BY due LIMIT ?) "+
			"RETURNING substr(record, 1, ?)",
			now, limit, entry.HeadSize)
		if err != nil {
			return err
		}
		fence := int64(0)
		for c.Next() {
			var head []byte
			if err := c.Scan(&head); err != nil {
				return err
			}
			fence = max(fence, entry.FenceOf(head))
		}
		if c.Err() != nil {
			return c.Err()
		}
		return keep(fence)
	})
}

func (t *sqlBackend) Expired(now int64, limit int) (expired []entry.Keyed, err error) {
	c, err := t.exec("SELECT key, record FROM _capdo_entries "+
		"WHERE notify = 1 AND due <= ? ORDER BY due LIMIT ?", now, limit)
	if err != nil {
		return nil, err
	}
	unreadable := map[string]error{}
	for c.Next() {
		var key, record []byte
		if err := c.Scan(&key, &record); err != nil {
			return nil, err
		}
		e, err := entry.Decode(record)
		if err != nil {
			unreadable[string(key)] = err
			continue
		}
		expired = append(expired, entry.Keyed{Key: string(key), Entry: e})
	}
	if c.Err() != nil {
		return nil, c.Err()
	}
	for key, err := range unreadable {
		notify, due := entry.Postpone(err, now)
		_, err := t.exec("UPDATE _capdo_entries SET notify = ?, due = ? WHERE key = ?",
			notify, due, []byte(key))
		if err != nil {
			return expired, err
		}
	}
	return expired, nil
}

func (t *sqlBackend) Earliest(int64) (due int64, some bool, err error) {
	c, err := t.run("SELECT due FROM (" +
		"SELECT min(due) AS due FROM _capdo_entries WHERE notify = 0 " +
		"UNION ALL SELECT min(due) FROM _capdo_entries WHERE notify = 1) " +
		"WHERE due IS NOT NULL ORDER BY due LIMIT 1")
	if isNoTable(err) {
		return entry.Never, false, nil
	}
	if err != nil {
		return entry.Never, false, err
	}
	if !c.Next() {
		return entry.Never, false, c.Err()
	}
	return due, true, c.Scan(&due)
}
