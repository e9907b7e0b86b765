package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
)

// sqlRequest is the body of /sql/exec.
type sqlRequest struct {
	Query    string    `json:"query"`
	Bindings []binding `json:"bindings"`
	Mode     string    `json:"mode"` // "json", the default, "raw" or "cursor"
}

// binding is a parameter of a statement.
type binding struct {
	// null, boolean, integer, float, string or blob (base64)
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
}

// maxResult limits the answer in memory. A cursor keeps only one batch of rows.
const maxResult = 8 << 20

var errResultTooLarge = &bodyError{http.StatusRequestEntityTooLarge, "result_too_large",
	`the rows are larger than 8 MiB, and the statement has run; read them with "mode":"cursor"`}

// execSQL runs a query and answers with its rows. The mode json gives an object
// for each row, raw gives lists of {type, value}, and cursor gives a line for
// each row.
func (o *object) execSQL(w http.ResponseWriter, r *http.Request) {
	req, err := readBody[sqlRequest](w, r, maxBody)
	if err != nil {
		fail(w, err)
		return
	}
	answer := map[string]func(http.ResponseWriter, *rows) error{
		"": answerObjects, "json": answerObjects, "raw": answerCells, "cursor": answerLines,
	}[req.Mode]
	args, err := parseBindings(req.Bindings)
	switch {
	case err != nil:
	case req.Query == "":
		err = &inputError{"query", "it is missing"}
	case answer == nil:
		err = &inputError{"mode", "it must be json, raw or cursor"}
	}
	if err != nil {
		fail(w, err)
		return
	}
	rows, err := query(o.state.Storage().SQL(), req.Query, args)
	if err != nil {
		fail(w, err)
		return
	}
	defer rows.Close()
	if err := answer(w, rows); err != nil {
		fail(w, err)
	}
}

func parseBindings(list []binding) (args []any, err error) {
	for i, b := range list {
		v, problem := b.parse()
		if problem != "" {
			return nil, &inputError{"bindings[" + strconv.Itoa(i) + "]", problem}
		}
		args = append(args, v)
	}
	return args, nil
}

// parse returns the value to bind, or the problem with it. Integers are JSON
// numbers, or strings for clients that have only floats.
func (b *binding) parse() (v any, problem string) {
	var ok bool
	switch b.Type {
	case "null":
		return nil, ""
	case "boolean":
		v, ok = parseAs[bool](b.Value)
	case "integer":
		v, ok = parseInteger(b.Value)
	case "float":
		v, ok = parseAs[float64](b.Value)
	case "string":
		v, ok = parseAs[string](b.Value)
	case "blob":
		v, ok = parseAs[[]byte](b.Value) // base64
	default:
		return nil, "its type must be null, boolean, integer, float, string or blob"
	}
	if !ok {
		return nil, "its value does not have the type " + b.Type
	}
	return v, ""
}

func parseAs[T any](text json.RawMessage) (any, bool) {
	var p *T
	if err := json.Unmarshal(text, &p); err != nil || p == nil {
		return nil, false
	}
	return *p, true
}

func parseInteger(text json.RawMessage) (any, bool) {
	s := string(text)
	if quoted, ok := parseAs[string](text); ok {
		s = quoted.(string)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// answerObjects answers with an object for each row. BLOBs are base64.
func answerObjects(w http.ResponseWriter, rows *rows) error {
	return answerAll(w, rows, func(cells []cell) any {
		object := map[string]any{}
		for i, name := range rows.columns {
			object[name] = cells[i].Value
		}
		return object
	})
}

func answerCells(w http.ResponseWriter, rows *rows) error {
	return answerAll(w, rows, func(cells []cell) any { return cells })
}

func answerAll(w http.ResponseWriter, rows *rows, shape func([]cell) any) error {
	all, size := []json.RawMessage{}, 0
	for rows.Next() {
		cells, err := rows.cells()
		if err != nil {
			return err
		}
		var text bytes.Buffer
		if err := encoder(&text).Encode(shape(cells)); err != nil {
			return err
		}
		if size += text.Len(); size > maxResult {
			return errResultTooLarge
		}
		all = append(all, text.Bytes())
	}
	if err := rows.Err(); err != nil {
		return err
	}
	reply(w, http.StatusOK, map[string]any{"rows": all})
	return nil
}

// answerLines answers with newline-delimited JSON: a list of values for each
// row, and finally an object. This has the names of the columns and the counts
// of rows read and written, or the error that ended the rows.
func answerLines(w http.ResponseWriter, rows *rows) error {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriterSize(w, 32<<10)
	if err := writeRows(w, out, rows); err != nil {
		_, f := describe(err)
		encoder(out).Encode(f)
	} else {
		encoder(out).Encode(map[string]any{"columnNames": rows.columns, "rowsRead": rows.RowsRead(),
			"rowsWritten": rows.RowsWritten()})
	}
	out.Flush() // fails if the client has disconnected, which also ended the rows
	return nil  // the answer has started
}

// flushInterval is how many rows are sent together. SQLite returns rows in
// batches of the same size.
const flushInterval = 128

// writeRows writes rows as lines. It sends the first row at once.
func writeRows(w http.ResponseWriter, out *bufio.Writer, rows *rows) error {
	lines, values := encoder(out), make([]any, len(rows.columns))
	for n := 0; rows.Next(); n++ {
		cells, err := rows.cells()
		if err != nil {
			return err
		}
		for i, c := range cells {
			values[i] = c.Value
		}
		if err := lines.Encode(values); err != nil {
			return err
		}
		if n%flushInterval != 0 {
			continue
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
	}
	return rows.Err()
}

// cell is one value of a row.
type cell struct {
	Type  string `json:"type"` // null, integer, float, string or blob
	Value any    `json:"value"`
}
