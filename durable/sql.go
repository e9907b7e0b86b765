package durable

import (
	"slices"
	"strings"
	"unicode/utf8"

	"flow.internal/capdo/durable/internal/sqltext"
	"flow.internal/capdo/internal/jsrt"
)

// SQL is the SQLite database of an object. Package durablesql offers it as a
// [database/sql.DB].
//
// https://developers.cloudflare.com/durable-objects/api/sqlite-storage-api/#sql-api
//
// # Values
//
// A value that is bound and later scanned is unchanged. If that is impossible,
// it is refused with [ErrValue]:
//
//   - Integers of any type bind as INTEGER, exactly. A bool binds as the
//     INTEGER 0 or 1. (JavaScript's numbers bind as REAL, so the library
//     replaces such a parameter by +CAST(? AS INTEGER). If the name of a result
//     column matters, name an expression that has such a parameter with AS.)
//   - An INTEGER beyond ±(2^53-1) is stored exactly, but arrives from workerd
//     as an inexact number. It is refused, except into a *float64. Select
//     CAST(column AS TEXT) instead: decimal text scans into integers.
//   - float64 binds as REAL. NaN is refused, because SQLite stores it as NULL.
//     -0 comes back as 0 from a column of type REAL.
//   - string binds as TEXT, and []byte as BLOB. nil, a nil []byte and a nil
//     pointer bind as NULL. Text that is not UTF-8 is refused. If SQL itself
//     makes such text, as in CAST(x'ff' AS TEXT), it arrives with U+FFFD in
//     place of the wrong bytes.
//   - A column's type may change the stored value
//     (https://www.sqlite.org/datatype3.html#type_affinity): a TEXT column
//     stores 5 as "5", which scans into integers as 5.
//
// # Times
//
// A time.Time binds as TEXT in UTC in SQLite's own form, "2006-01-02 15:04:05",
// with as many decimals as it needs, up to ns. So texts sort by time, and
// compare with CURRENT_TIMESTAMP, datetime(…) and defaults. SQLite's date
// functions read them, and keep ms. Years before 0 and after 9999 are refused.
// A time comes back in UTC.
//
// Three kinds of text do not compare with a bound time, although SQLite's
// functions read all of them. Compare julianday(…) or unixepoch(…) of both
// sides instead.
//
//   - Text with trailing zeros, as strftime('%f') and the modifier 'subsec'
//     write it: an equal time is a different text. Earlier and later times
//     compare correctly.
//   - Text with a T, a Z or an offset, as JavaScript and RFC 3339 write times,
//     and as early versions of durable did: comparisons within one day are
//     wrong. [Cursor.Scan] reads such text.
//   - A date alone, as date(…) and CURRENT_DATE return it, sorts before every
//     time of its day. Bind t.Format(time.DateOnly) to compare with these.
type SQL struct {
	storage *Storage
	ref     *jsrt.Ref
}

// Exec runs one or more statements separated by semicolons. args bind to the
// parameters of the last one, in the order of their numbers. Named parameters
// (:name) also have numbers, in the order of their first use.
//
// An argument is nil, a bool, a string, a []byte, a time.Time, an integer or a
// float of any size, a type based on one of these, a pointer to one, or a type
// like [database/sql.NullString]. Another type with methods besides String may
// be a [database/sql/driver.Valuer]. It is refused unless the program links
// package durablesql.
//
// Exec ignores comments and empty statements; the whole query may be empty.
// When Exec returns, all statements have run and written; only the rows of the
// last one remain to be read. If one of several statements fails, the writes of
// the earlier ones are undone, which ends open cursors.
//
// Exec returns errors of SQLite as [*SQLError]. It fails with a [*LimitError]
// beyond [MaxSQLParameters], [MaxSQLLength] and [MaxSQLValueSize], with
// [ErrValue] for a query or an argument that would change, and with [ErrNoSQL].
// The platform refuses BEGIN, SAVEPOINT and similar statements: use
// [Storage.TransactionSync] or [Storage.Transaction].
func (s *SQL) Exec(query string, args ...any) (*Cursor, error) {
	ref, err := s.storage.part("sql", &s.ref)
	if err != nil {
		return nil, err
	}
	if err := checkQuery(query); err != nil {
		return nil, err
	}
	text, isMany := sqltext.Statements(query)
	switch {
	case text == "":
		return noStatement(len(args))
	case isMany:
		return s.runAll(ref, sqltext.Split(text), args)
	}
	return run(ref, text, args)
}

// runAll runs all statements or none. args are for the last one. (workerd can
// run several statements in one call, but does not undo them, and does not run
// an earlier one again if it returns rows.)
func (s *SQL) runAll(ref *jsrt.Ref, list []string, args []any) (c *Cursor, err error) {
	last := len(list) - 1
	if last == 0 {
		return run(ref, list[0], args)
	}
	if slices.ContainsFunc(list[:last], hasParameters) {
		return nil, errParametersBefore
	}
	err = s.storage.TransactionSync(func() (err error) {
		for _, text := range list[:last] {
			if c, err = run(ref, text, nil); err != nil {
				return err
			}
			for c.Next() {
			}
			if c.Err() != nil {
				return c.Err()
			}
		}
		c, err = run(ref, list[last], args)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

func hasParameters(text string) (has bool) {
	sqltext.EachParameter(text, func(int, int, int) { has = true })
	return has
}

// run runs one statement.
func run(ref *jsrt.Ref, query string, args []any) (*Cursor, error) {
	in, isInteger, err := bindAll(args, ref, batchRows, batchBytes, query)
	if err != nil {
		return nil, err
	}
	text := castIntegers(query, isInteger)
	if len(text) > MaxSQLLength {
		return nil, &LimitError{Limit: "length of a SQL statement, in bytes", Max: MaxSQLLength,
			Actual: len(text)}
	}
	in[3] = text
	v, err := ref.Context().Host().Call("query", in...)
	if err != nil {
		return nil, sqlFailure(err, query, isInteger)
	}
	c := newCursor(v.([]any))
	if c.err != nil && len(c.rows) == 0 {
		return nil, c.err
	}
	return c, nil
}

// checkQuery refuses text that would reach SQLite changed.
func checkQuery(query string) error {
	switch {
	case !utf8.ValidString(query):
		return errQueryUTF8
	case strings.IndexByte(query, 0) >= 0:
		return errQueryNUL
	}
	return nil
}

// noStatement is Exec of a query that has only comments and space.
func noStatement(args int) (*Cursor, error) {
	if args > 0 {
		return nil, errNoParameters
	}
	return &Cursor{columns: []string{}}, nil
}

// DatabaseSize returns the size of the database, in bytes.
func (s *SQL) DatabaseSize() (int64, error) {
	ref, err := s.storage.part("sql", &s.ref)
	if err != nil {
		return 0, err
	}
	v, err := ref.Get("databaseSize")
	n, _ := v.(float64)
	return int64(n), classify(err)
}
