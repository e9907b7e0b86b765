package main

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"flow.internal/capdo/durable"
)

// rows are the rows of a query, with SQLite's types.
//
// JavaScript has only one number type. workerd returns 5 for both an INTEGER
// and a REAL, and rounds integers beyond 2^53. So a query that only reads is
// wrapped: SQLite returns each integer as text with the prefix "i", and each
// text with the prefix "t". Rows of other statements, such as INSERT …
// RETURNING, arrive as they are: a number without a fraction counts as an
// integer, and one beyond ±(2^53-1) is refused.
type rows struct {
	*durable.Cursor
	columns []string
	marked  bool
}

// query runs a query. If the wrapped query is impossible or fails, it runs the
// original text, so that errors refer to that.
func query(sql *durable.SQL, text string, args []any) (*rows, error) {
	if body, ok := readOnly(text); ok {
		if r, err := queryMarked(sql, body, args); err == nil {
			return r, nil
		}
	}
	c, err := sql.Exec(text, args...)
	if err != nil {
		return nil, err
	}
	return &rows{Cursor: c, columns: c.ColumnNames()}, nil
}

// readOnly returns a query without its last semicolon, if it is a single
// statement that cannot write. Any other semicolon counts as a second
// statement.
func readOnly(text string) (body string, ok bool) {
	body = strings.TrimSpace(text)
	body = strings.TrimSpace(strings.TrimSuffix(body, ";"))
	word := strings.ToUpper(body[:min(len(body), len("SELECT"))])
	return body, !strings.Contains(body, ";") &&
		(strings.HasPrefix(word, "SELECT") || strings.HasPrefix(word, "VALUES") ||
			strings.HasPrefix(word, "WITH"))
}

// queryMarked runs a query inside another one, which cannot write: SQLite does
// not allow INSERT there.
func queryMarked(sql *durable.SQL, body string, args []any) (*rows, error) {
	inner := "(\n" + body + "\n)" // the line end closes a trailing comment
	head, err := sql.Exec("SELECT * FROM "+inner+" LIMIT 0", args...)
	if err != nil {
		return nil, err
	}
	columns := head.ColumnNames()
	head.Next() // to its end
	head.Close()
	names, values := make([]string, len(columns)), make([]string, len(columns))
	for i := range columns {
		c := "c" + strconv.Itoa(i)
		names[i] = c
		values[i] = "CASE typeof(" + c + ") WHEN 'integer' THEN 'i' || " + c +
			" WHEN 'text' THEN 't' || " + c + " ELSE " + c + " END"
	}
	c, err := sql.Exec("WITH _harness_rows ("+strings.Join(names, ", ")+") AS "+inner+" SELECT "+
		strings.Join(values, ", ")+" FROM _harness_rows", args...)
	if err != nil {
		return nil, err
	}
	return &rows{c, columns, true}, nil
}

// cells returns the values of the current row.
func (r *rows) cells() ([]cell, error) {
	values, dest := make([]any, len(r.columns)), make([]any, len(r.columns))
	for i := range values {
		dest[i] = &values[i]
	}
	if err := r.Scan(dest...); err != nil {
		return nil, err
	}
	cells := make([]cell, len(values))
	for i, v := range values {
		cells[i] = r.cell(v)
	}
	return cells, nil
}

func (r *rows) cell(v any) cell {
	switch v := v.(type) {
	case string:
		switch {
		case !r.marked:
			return cell{"string", v}
		case strings.HasPrefix(v, "i"):
			return cell{"integer", json.Number(v[1:])}
		}
		return cell{"string", v[1:]}
	case []byte:
		return cell{"blob", base64.StdEncoding.EncodeToString(v)}
	case float64:
		if !r.marked && v == math.Trunc(v) && !math.IsInf(v, 0) && math.Abs(v) < 1<<53 {
			return cell{"integer", json.Number(strconv.FormatInt(int64(v), 10))}
		}
		if math.IsInf(v, 0) {
			// JSON has no number for +Inf
			return cell{"float", strconv.FormatFloat(v, 'g', -1, 64)}
		}
		return cell{"float", v}
	}
	return cell{"null", nil}
}
