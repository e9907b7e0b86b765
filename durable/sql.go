package durable

import (
	"slices"
	"strings"
	"unicode/utf8"

	"flow.internal/capdo/durable/internal/sqltext"
	"flow.internal/capdo/internal/jsrt"
)

// SQL is the SQLite database of an object
// (https://developers.cloudflare.com/durable-objects/api/sqlite-storage-api/#sql-api).
// Package durablesql makes a [database/sql.DB] of it.
//
// # Values
//
// A value that is bound and then scanned is the same value; otherwise it is
// refused with [ErrValue]:
//
//   - Integers of any type and bool bind as INTEGER, exactly; a bool is 0 or 1.
//     (JavaScript's numbers bind as REAL, so the statement that SQLite sees has
//     +CAST(? AS INTEGER) in the place of such a parameter. Give an expression
//     with one in it a name where the column's matters.)
//   - An INTEGER beyond ±(2^53-1) is stored exactly but arrives from workerd as
//     an inexact number, and is refused except into a *float64. Select
//     CAST(column AS TEXT): decimal text scans into integers.
//   - float64 binds as REAL. NaN is refused, which SQLite stores as NULL. -0
//     comes back as 0 from a column of type REAL.
//   - string binds as TEXT, []byte as BLOB; a nil []byte, a nil pointer and nil
//     as NULL. Text that is not UTF-8 is refused; what SQL itself makes of such
//     bytes, as in CAST(x'ff' AS TEXT), arrives with U+FFFD in their place.
//   - A column's type may change what is stored in it
//     (https://www.sqlite.org/datatype3.html#type_affinity): 5 is "5" in a TEXT
//     column, which scans into integers as 5.
//
// # Times
//
// A time.Time binds as TEXT in UTC in SQLite's own form, "2006-01-02 15:04:05",
// with as many decimals as it needs, up to ns, and none if it needs none. So
// texts sort by time, and compare with CURRENT_TIMESTAMP, datetime(…) and
// defaults; and SQLite's date functions read it (they keep ms). Years before 0
// and after 9999 are refused. It comes back in UTC.
//
// Three kinds of text do not compare with a bound time, although SQLite's
// functions read all of them: compare julianday(…) or unixepoch(…) of both
// sides.
//
//   - With trailing zeros, as strftime('%f') and the modifier 'subsec' write
//     them: an equal time is another text. Before and after are right.
//   - With a T, a Z or an offset, as JavaScript and RFC 3339 write times, and
//     durable did at first: wrong within a day. [Cursor.Scan] reads them.
//   - A date alone, as date(…) and CURRENT_DATE return it, is before every time
//     of its day. Bind t.Format(time.DateOnly) to compare with these.
type SQL struct {
	storage *Storage
	ref     *jsrt.Ref
}

// Exec runs one or more statements separated by semicolons; args bind to the
// last one's parameters, in order of their numbers. Named parameters (:name)
// have numbers, too, in order of their first use. An argument is nil, a bool, a
// string, a []byte, a time.Time, an integer or a float of any size, a type
// based on one of these, a pointer to one, or a type like
// [database/sql.NullString]. Other types that have methods besides String may
// be a [database/sql/driver.Valuer]: they are refused unless the program links
// package durablesql. Exec ignores comments and empty statements; the whole
// query may be empty.
//
// When Exec returns, all statements have run and written; only the rows of the
// last one remain to be read. If one of several statements fails, the writes of
// the earlier ones are undone, which ends open cursors.
//
// Errors of SQLite are returned as [*SQLError]. Exec fails with a [*LimitError]
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

// runAll runs statements, of which the last one has the arguments: all or none.
// (workerd would run several itself, but not undo them, and refuses to run
// those before the last that return rows a second time.)
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

// checkQuery refuses text that SQLite would see another of.
func checkQuery(query string) error {
	switch {
	case !utf8.ValidString(query):
		return errQueryUTF8
	case strings.IndexByte(query, 0) >= 0:
		return errQueryNUL
	}
	return nil
}

// noStatement is what a query of nothing but comments and space does.
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
