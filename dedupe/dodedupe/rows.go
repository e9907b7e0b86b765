package dodedupe

import (
	"context"
	"errors"
	"strings"

	"flow.internal/capdo/durable"
)

// rows is the table of an object that keeps many keys' entries, in SQL.
type rows struct {
	slotAlarm
	run func(query string, args ...any) (*durable.Cursor, error)
}

func newRows(storage *durable.Storage) *rows {
	return &rows{slotAlarm: slotAlarm{storage}, run: storage.SQL().Exec}
}

// Names that begin with "_capdo_" are this module's.
const schema = `
	CREATE TABLE IF NOT EXISTS _capdo_entries (key BLOB PRIMARY KEY, watched INTEGER, due INTEGER, record BLOB NOT NULL) WITHOUT ROWID;
	CREATE INDEX IF NOT EXISTS _capdo_entries_due ON _capdo_entries (watched, due)`

// hasRows reports whether the object keeps entries in SQL.
func hasRows(storage *durable.Storage) (bool, error) {
	c, err := storage.SQL().Exec("SELECT 1 FROM sqlite_master WHERE name = '_capdo_entries'")
	if err != nil {
		return false, err
	}
	return c.Next(), c.Err()
}

// exec runs a statement. The tables are made where one finds that they are not
// there: whether they are is nothing to remember, as what made them may be
// rolled back, or everything be deleted.
func (r *rows) exec(query string, args ...any) (*durable.Cursor, error) {
	c, err := r.run(query, args...)
	if isNoTable(err) {
		if _, err := r.run(schema); err != nil {
			return nil, err
		}
		return r.run(query, args...)
	}
	return c, err
}

func isNoTable(err error) bool {
	var e *durable.SQLError
	return errors.As(err, &e) && strings.HasPrefix(e.Message, "no such table: _capdo_entries")
}

func (r *rows) get(_ context.Context, key string) (record []byte, ok bool, err error) {
	c, err := r.run("SELECT record FROM _capdo_entries WHERE key = ?", []byte(key))
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

func (r *rows) put(_ context.Context, key string, e, before *entry) error {
	if before.state != absent && before.due() == e.due() && before.watch == e.watch { // SQLite writes the index anew if an update as much as names its columns
		_, err := r.exec("UPDATE _capdo_entries SET record = ? WHERE key = ?", e.encode(), []byte(key))
		return err
	}
	_, err := r.exec("INSERT INTO _capdo_entries (key, watched, due, record) VALUES (?, ?, ?, ?) "+
		"ON CONFLICT (key) DO UPDATE SET watched = excluded.watched, due = excluded.due, record = excluded.record",
		[]byte(key), e.watch != 0, e.due(), e.encode())
	return err
}

func (r *rows) remove(_ context.Context, key string) error {
	_, err := r.exec("DELETE FROM _capdo_entries WHERE key = ?", []byte(key))
	return err
}

func (r *rows) sweep(_ context.Context, now int64, limit int, keep func(fence int64) error) error {
	return r.storage.TransactionSync(func() error {
		c, err := r.exec("DELETE FROM _capdo_entries WHERE key IN "+
			"(SELECT key FROM _capdo_entries WHERE watched = 0 AND due <= ? ORDER BY due LIMIT ?) RETURNING substr(record, 1, ?)", now, limit, headSize)
		if err != nil {
			return err
		}
		fence := int64(0)
		for c.Next() {
			var head []byte
			if err := c.Scan(&head); err != nil {
				return err
			}
			fence = max(fence, givenFence(head))
		}
		if c.Err() != nil {
			return c.Err()
		}
		return keep(fence)
	})
}

func (r *rows) watched(_ context.Context, now int64, limit int) (due []sighting, err error) {
	c, err := r.exec("SELECT key, record FROM _capdo_entries WHERE watched = 1 AND due <= ? ORDER BY due LIMIT ?", now, limit)
	if err != nil {
		return nil, err
	}
	unreadable := map[string]error{}
	for c.Next() {
		var key, record []byte
		if err := c.Scan(&key, &record); err != nil {
			return nil, err
		}
		e, err := decodeEntry(record)
		if err != nil {
			unreadable[string(key)] = err
			continue
		}
		due = append(due, sighting{string(key), e})
	}
	if c.Err() != nil {
		return nil, c.Err()
	}
	for key, unreadable := range unreadable {
		watched, later := putOff(unreadable, now)
		if _, err := r.exec("UPDATE _capdo_entries SET watched = ?, due = ? WHERE key = ?", watched, later, []byte(key)); err != nil {
			return due, err
		}
	}
	return due, nil
}

// putOff returns what becomes of a watched record that is due and cannot be read.
func putOff(unreadable error, now int64) (watched bool, due int64) {
	if errors.Is(unreadable, ErrVersion) {
		return true, now + newerRetry
	}
	return false, never
}

func (r *rows) earliest(context.Context, int64) (due int64, some bool, err error) {
	c, err := r.run("SELECT due FROM (SELECT min(due) AS due FROM _capdo_entries WHERE watched = 0 " +
		"UNION ALL SELECT min(due) FROM _capdo_entries WHERE watched = 1) WHERE due IS NOT NULL ORDER BY due LIMIT 1")
	if isNoTable(err) {
		return never, false, nil
	}
	if err != nil || !c.Next() {
		if err == nil {
			err = c.Err()
		}
		return never, false, err
	}
	return due, true, c.Scan(&due)
}

func (r *rows) transact(_ context.Context, fn func() error) error {
	return r.storage.TransactionSync(fn)
}

func (r *rows) note(ctx context.Context, name string, value []byte) error {
	return single{r.slotAlarm}.note(ctx, name, value)
}

func (r *rows) noted(ctx context.Context, name string) ([]byte, error) {
	return single{r.slotAlarm}.noted(ctx, name)
}
