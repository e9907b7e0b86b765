package durable

import (
	"flow.internal/capdo/internal/jsrt"
)

// SQL is the SQLite database of an object (https://developers.cloudflare.com/durable-objects/api/sqlite-storage-api/#sql-api). Package
// durablesql makes a [database/sql.DB] of it.
//
// # Values
//
// What is bound and scanned again is the same, or it is refused with [ErrValue]:
//
//   - Integers of any type and bool bind as INTEGER, exactly; a bool is 0 or 1. (JavaScript's numbers bind as REAL, so the statement that SQLite
//     sees has +CAST(? AS INTEGER) in the place of such a parameter. Give an expression with one in it a name where the column's matters.)
//   - An INTEGER beyond ±(2^53-1) is stored exactly but arrives from workerd as an inexact number, and is refused except into a *float64.
//     Select CAST(column AS TEXT): decimal text scans into integers.
//   - float64 binds as REAL. NaN is refused, which SQLite stores as NULL. -0 comes back as 0 from a column of type REAL.
//   - time.Time binds as TEXT in UTC with milliseconds, "2006-01-02T15:04:05.000Z": what JavaScript's Date prints, SQLite's date functions read,
//     and strftime('%Y-%m-%dT%H:%M:%fZ') returns; it sorts by time. Finer fractions and years beyond 9999 are refused. It comes back in UTC.
//   - string binds as TEXT, []byte as BLOB; a nil []byte, a nil pointer and nil as NULL. Text that is not UTF-8 is refused; what SQL itself makes of
//     such bytes, as in CAST(x'ff' AS TEXT), arrives with U+FFFD in their place.
//   - A column's type may change what is stored in it (https://www.sqlite.org/datatype3.html#type_affinity): 5 is "5" in a TEXT column, which
//     scans into integers as 5.
type SQL struct {
	storage *Storage
	ref     *jsrt.Ref
}

// Exec runs one or more statements separated by semicolons; args bind to the last one's parameters, in order of their numbers. Named
// parameters (:name) have numbers, too, in order of their first use. An argument is nil, a bool, a string, a []byte, a time.Time, an integer or
// a float of any size, or a pointer to one of them.
//
// The statements have run, and written, when Exec returns; only the rows of the last one are still to be read. When one fails, those before it
// have run, and what they wrote stays unless Exec is within a transaction.
//
// Errors of SQLite are returned as [*SQLError]. Exec fails with a [*LimitError] beyond [MaxSQLParameters], [MaxSQLLength] and
// [MaxSQLValueSize], with [ErrValue] for an argument that would change, and with [ErrNoSQL]. BEGIN, SAVEPOINT and their likes are refused by the
// platform: use [Storage.TransactionSync] or [Storage.Transaction].
func (s *SQL) Exec(query string, args ...any) (*Cursor, error) {
	ref, err := s.storage.part("sql", &s.ref)
	if err != nil {
		return nil, err
	}
	in, isInteger, err := bindAll(args, ref, batchRows, batchBytes, query)
	if err != nil {
		return nil, err
	}
	text := castIntegers(query, isInteger)
	if len(text) > MaxSQLLength {
		return nil, &LimitError{"length of SQL statements, in bytes", MaxSQLLength, len(text)}
	}
	in[3] = text
	v, err := ref.Context().Helpers().Call("query", in...)
	if err != nil {
		return nil, sqlFailure(err, query, isInteger)
	}
	c := newCursor(v.([]any))
	if c.err != nil && len(c.rows) == 0 {
		return nil, c.err
	}
	return c, nil
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
