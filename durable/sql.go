package durable

import (
	"errors"
	"math"
	"strconv"

	"flow.internal/capdo/internal/jsrt"
)

// SQL is the SQLite database of an object.
type SQL struct {
	storage *Storage
	ref     *jsrt.Ref
}

// batch is how many rows cross from JavaScript at once.
const batch = 128

// Exec runs one or more statements separated by semicolons; args bind to the last one's parameters, at most 100: nil, bool (as 0 and 1),
// int, int64, float64, string, []byte. Numbers bind as REAL, as they do from JavaScript: a column of INTEGER or NUMERIC affinity
// stores 5 as 5, one of TEXT affinity stores "5.0"; integers beyond ±(2^53-1) are refused. Errors of SQLite are returned as [*Error].
// The statements have run, and written, when Exec returns; only the rows of the last one are still to be read.
func (s *SQL) Exec(query string, args ...any) (*Cursor, error) {
	ref, err := s.storage.part("sql", &s.ref)
	if err != nil {
		return nil, err
	}
	in := make([]any, 3, 3+len(args))
	in[0], in[1], in[2] = ref, batch, query
	for _, a := range args {
		if a, err = bindValue(a); err != nil {
			return nil, err
		}
		in = append(in, a)
	}
	v, err := ref.Context().Helpers().Call("query", in...)
	if err != nil {
		return nil, classify(err)
	}
	out := v.([]any)
	c := &Cursor{}
	for _, name := range out[0].([]any) {
		c.columns = append(c.columns, name.(string))
	}
	c.fill(out[1:])
	return c, nil
}

func bindValue(a any) (any, error) {
	switch v := a.(type) {
	case bool: // workerd would bind it as text
		if v {
			return 1, nil
		}
		return 0, nil
	case int:
		return bindValue(int64(v))
	case int64:
		if v != int64(float64(v)) || v >= 1<<53 || v <= -1<<53 {
			return nil, errors.New("durable: SQL parameter " + strconv.FormatInt(v, 10) + " is beyond ±(2^53-1) and would lose precision; pass it as text with CAST(? AS INTEGER)")
		}
		return v, nil
	case nil, float64, string, []byte:
		return a, nil
	}
	return nil, errors.New("durable: a SQL parameter must be nil, bool, int, int64, float64, string or []byte")
}

// Cursor iterates over the rows of a query.
//
//	for c.Next() {
//		err := c.Scan(&key, &value)
//	}
//	err := c.Err()
type Cursor struct {
	columns               []string
	rows                  []any
	row                   []any
	rowsRead, rowsWritten int
	cursor, rest          *jsrt.Ref
	err                   error
}

// fill takes a batch from helpers.rows.
func (c *Cursor) fill(out []any) {
	c.rows, c.cursor, c.rest = out[0].([]any), nil, nil
	c.rowsRead, c.rowsWritten = int(out[1].(float64)), int(out[2].(float64))
	if len(out) == 5 {
		c.cursor, c.rest = out[3].(*jsrt.Ref), out[4].(*jsrt.Ref)
	}
}

// Next moves to the next row, and reports whether there is one.
func (c *Cursor) Next() bool {
	if len(c.rows) == 0 && c.rest != nil {
		cursor, rest := c.cursor, c.rest
		v, err := rest.Context().Helpers().Call("rows", cursor, rest, batch)
		cursor.Release()
		rest.Release()
		if err != nil {
			c.cursor, c.rest, c.err = nil, nil, classify(err)
			return false
		}
		c.fill(v.([]any))
	}
	if len(c.rows) == 0 {
		return false
	}
	c.row, c.rows = c.rows[0].([]any), c.rows[1:]
	return true
}

// Err returns what ended the iteration early, if something did.
func (c *Cursor) Err() error { return c.err }

// ColumnNames returns the columns' names.
func (c *Cursor) ColumnNames() []string { return c.columns }

// RowsRead returns how many rows the query has read so far, as billing counts them.
func (c *Cursor) RowsRead() int { return c.rowsRead }

// RowsWritten returns how many rows the query has written so far, as billing counts them: each index adds one.
func (c *Cursor) RowsWritten() int { return c.rowsWritten }

// Scan copies the current row into dest, one pointer per column: *int, *int64, *float64, *string, *[]byte, *bool or *any. A value that does not
// fit exactly is an error: NULL except into *any, a fraction or an integer beyond ±(2^53-1) into an integer.
func (c *Cursor) Scan(dest ...any) error {
	if c.row == nil {
		return errors.New("durable: Scan without a row; call Next first")
	}
	if len(dest) != len(c.row) {
		return errors.New("durable: Scan into " + strconv.Itoa(len(dest)) + " values of a row with " + strconv.Itoa(len(c.row)) + " columns")
	}
	for i, d := range dest {
		if !scan(d, c.row[i]) {
			return errors.New("durable: column " + strconv.Quote(c.columns[i]) + ": " + sqlType(c.row[i]) + " does not fit its destination without changing")
		}
	}
	return nil
}

func scan(dest, v any) (ok bool) {
	switch d := dest.(type) {
	case *any:
		*d, ok = v, true
	case *string:
		*d, ok = v.(string)
	case *[]byte:
		*d, ok = v.([]byte)
	case *float64:
		*d, ok = v.(float64)
	case *int64:
		*d, ok = exactInt(v)
	case *int:
		var n int64
		n, ok = exactInt(v)
		*d = int(n)
	case *bool:
		var n int64
		n, ok = exactInt(v)
		*d, ok = n == 1, ok && (n == 0 || n == 1)
	}
	return ok
}

// sqlType names a value as SQLite does.
func sqlType(v any) string {
	switch v.(type) {
	case nil:
		return "NULL"
	case float64:
		return "a number"
	case string:
		return "TEXT"
	case []byte:
		return "a BLOB"
	}
	return "a value"
}

func exactInt(v any) (int64, bool) {
	f, ok := v.(float64)
	return int64(f), ok && f == math.Trunc(f) && math.Abs(f) < 1<<53
}
