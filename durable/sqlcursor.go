package durable

import (
	"strconv"

	"flow.internal/capdo/internal/jsrt"
)

// Rows cross from JavaScript in batches of at most batchRows rows. A batch ends
// early with the row that brings it to batchBytes.
const batchRows, batchBytes = 128, 64 << 10

// Cursor iterates over the rows of a query. It keeps only one batch of rows in
// memory: up to 128 rows or 64 KiB, and the one row that exceeds it.
//
//	for c.Next() {
//		err := c.Scan(&key, &value)
//	}
//	err := c.Err()
//
// [All] and [One] do that for structs and single values.
//
// # Other statements meanwhile
//
// A cursor is not a snapshot. The rows of the current batch do not change.
// Later batches show what other statements have written: deleted rows are
// missing, inserted rows appear, and a row whose index entry moves may appear
// twice or never. A rollback, even of a transaction that began later, ends the
// cursor with a [*SQLError] of Code SQLITE_ABORT; Storage.DeleteAll ends it
// with an error, too. While the cursor has rows left, DROP TABLE fails with
// SQLITE_LOCKED for every table. [Cursor.Close] does not change that at once,
// because workerd ends such a query only when JavaScript's garbage collector
// runs. So read to the end, or end the query with LIMIT, before such
// statements.
type Cursor struct {
	columns               []string
	rows                  []any
	row                   []any
	rowsRead, rowsWritten int
	more                  *jsrt.Ref // where the next rows come from, until all are fetched
	err                   error
	fields                any // of ScanStruct
}

// newCursor takes the result of host.query.
func newCursor(out []any) *Cursor {
	names := out[0].([]any)
	c := &Cursor{columns: make([]string, len(names))}
	for i, name := range names {
		c.columns[i] = name.(string)
	}
	c.more, _ = out[4].(*jsrt.Ref)
	c.fill(out[1:])
	return c
}

// fill takes the result of next.
func (c *Cursor) fill(out []any) {
	c.rows = out[0].([]any)
	c.rowsRead, c.rowsWritten = int(out[1].(float64)), int(out[2].(float64))
	if err, ok := out[3].(error); ok {
		c.err = classifyStatement(err)
	}
}

// Next moves to the next row, and reports whether there is one.
func (c *Cursor) Next() bool {
	if len(c.rows) == 0 && c.more != nil {
		c.fetch()
	}
	if len(c.rows) == 0 {
		c.row = nil
		return false
	}
	c.row, c.rows = c.rows[0].([]any), c.rows[1:]
	return true
}

func (c *Cursor) fetch() {
	c.row, c.rows = nil, nil
	v, err := c.more.Call("next", batchRows, batchBytes)
	if err != nil {
		c.err = classifyStatement(err)
		c.Close()
		return
	}
	out := v.([]any)
	c.fill(out)
	if out[3] != true {
		c.more.Release()
		c.more = nil
	}
}

// Err returns the error that ended the iteration, if any. Next returns the rows
// before the error first. (workerd reads one row ahead, so the row just before
// the error does not arrive.)
func (c *Cursor) Err() error {
	if c.isAtRow() {
		return nil
	}
	return c.err
}

// isAtRow reports whether there is a current row or a fetched one.
func (c *Cursor) isAtRow() bool { return c.row != nil || len(c.rows) > 0 }

// Close ends the iteration, and releases the cursor's JavaScript objects. Next
// does so after the last row. Close may be called twice.
func (c *Cursor) Close() {
	if c.isAtRow() {
		c.err = nil // it was not what ended the iteration
	}
	c.more.Release()
	c.more, c.row, c.rows = nil, nil, nil
}

// ColumnNames returns the columns' names. SQLite names an expression without AS
// by its text.
func (c *Cursor) ColumnNames() []string { return c.columns }

// RowsRead returns how many rows the query has read so far, as billing counts
// them. A cursor reads one batch ahead.
func (c *Cursor) RowsRead() int { return c.rowsRead }

// RowsWritten returns how many rows the query has written so far, as billing
// counts them: each index adds one.
func (c *Cursor) RowsWritten() int { return c.rowsWritten }

// Scan copies the current row into dest, one pointer per column:
//
//   - to a string from TEXT, to a []byte from a BLOB or NULL;
//   - to an integer of any size from a number without fraction, or from decimal
//     text; to a bool from 0 and 1;
//   - to a float64 or float32 from a number;
//   - to a time.Time from text as SQLite's functions, JavaScript and Go drivers
//     write times, in UTC;
//   - to an any: nil, float64, string or []byte;
//   - to a named type based on one of these, except on time.Time;
//   - to a pointer to one of these, which is nil for NULL;
//   - to a type with a method Scan(any) error, as in package database/sql. It
//     gets text as a string. If it refuses the string and the text is a time,
//     it gets the time. If the type has a method ScanInexact(float64) error,
//     that method gets the numbers that Scan would refuse as inexact.
//
// Scan refuses a value that does not fit exactly, with [ErrValue]. It also
// refuses a number beyond ±(2^53-1) unless dest is a float64, because an
// INTEGER of that size has lost precision. See [SQL].
func (c *Cursor) Scan(dest ...any) error {
	if err := c.checkRow(len(dest)); err != nil {
		return err
	}
	for i, d := range dest {
		if err := scan(d, c.row[i]); err != nil {
			return c.columnError(i, err)
		}
	}
	return nil
}

func (c *Cursor) checkRow(dests int) error {
	switch {
	case c.row == nil:
		return errNoRow
	case dests != len(c.row):
		return refusal("durable: Scan into " + strconv.Itoa(dests) + " values of a row with " +
			strconv.Itoa(len(c.row)) + " columns")
	}
	return nil
}

func (c *Cursor) columnError(i int, err error) error {
	return wrappedError("durable: column "+strconv.Quote(c.columns[i])+": "+err.Error(), err)
}
