// Package sqlcases has programs that use package database/sql, each of a few
// statements. The tests run them natively on modernc.org/sqlite, and in an
// object on durablesql, and compare the results.
package sqlcases

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// Case is a program. It starts with an empty database.
type Case struct {
	Name string
	run  func(x *runner)
}

// Step is a statement, or another call, and its result.
type Step struct{ Call, Result string }

// Run runs a case. kindOf names an error of the driver.
func Run(ctx context.Context, db *sql.DB, c Case, kindOf func(error) string) []Step {
	x := &runner{ctx: ctx, db: db, on: db, kindOf: kindOf}
	c.run(x)
	return x.steps
}

// runner records the result of each call.
type runner struct {
	ctx    context.Context
	db     *sql.DB
	on     handle // db, or the transaction that is open
	tx     *sql.Tx
	cancel func()
	kindOf func(error) string
	steps  []Step
}

// handle is a *sql.DB, a *sql.Tx or a *sql.Conn.
type handle interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

func (x *runner) note(call, result string) { x.steps = append(x.steps, Step{call, result}) }

// noteError records an error or its absence.
func (x *runner) noteError(call string, err error) { x.note(call, x.error(err)) }

// error names what database/sql shows.
func (x *runner) error(err error) string {
	for kind, name := range map[error]string{sql.ErrNoRows: "ErrNoRows", sql.ErrTxDone: "ErrTxDone", sql.ErrConnDone: "ErrConnDone", context.Canceled: "context.Canceled"} {
		if errors.Is(err, kind) {
			return name
		}
	}
	if err == nil {
		return "ok"
	}
	return x.kindOf(err)
}

func call(what, query string, args []any) string {
	text := what + " " + strings.Join(strings.Fields(query), " ")
	for i, a := range args {
		text += []string{", ", " | "}[b2i(i == 0)] + Describe(a)
	}
	return text
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// exec runs statements, and records the last id and the rows affected.
func (x *runner) exec(query string, args ...any) {
	r, err := x.on.ExecContext(x.ctx, query, args...)
	x.noteResult(call("exec", query, args), r, err)
}

func (x *runner) noteResult(call string, r sql.Result, err error) {
	if err != nil {
		x.noteError(call, err)
		return
	}
	id, err1 := r.LastInsertId()
	n, err2 := r.RowsAffected()
	if err := errors.Join(err1, err2); err != nil {
		x.noteError(call, err)
		return
	}
	x.note(call, fmt.Sprintf("id %d, %d affected", id, n))
}

// set is exec for statements of which only the error matters.
func (x *runner) set(queries ...string) {
	for _, query := range queries {
		_, err := x.on.ExecContext(x.ctx, query)
		x.noteError(call("set", query, nil), err)
	}
}

// query records columns and rows, as values of type any.
func (x *runner) query(query string, args ...any) {
	rows, err := x.on.QueryContext(x.ctx, query, args...)
	x.note(call("query", query, args), x.read(rows, err, true))
}

// rows is query without the columns' names.
func (x *runner) rows(query string, args ...any) {
	rows, err := x.on.QueryContext(x.ctx, query, args...)
	x.note(call("rows", query, args), x.read(rows, err, false))
}

func (x *runner) read(rows *sql.Rows, err error, names bool) string {
	if err != nil {
		return x.error(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return x.error(err)
	}
	var out []string
	if names {
		out = append(out, "["+strings.Join(columns, ", ")+"]")
	}
	for rows.Next() {
		values, dest := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			dest[i] = &values[i]
		}
		if err := rows.Scan(dest...); err != nil {
			return x.error(err)
		}
		var row []string
		for _, v := range values {
			row = append(row, Describe(v))
		}
		out = append(out, "("+strings.Join(row, ", ")+")")
	}
	if err := rows.Err(); err != nil {
		out = append(out, x.error(err))
	}
	return strings.Join(out, " ")
}

// scan records the only column of the first row, scanned into dest.
func (x *runner) scan(dest any, query string, args ...any) {
	err := x.on.QueryRowContext(x.ctx, query, args...).Scan(dest)
	result := fmt.Sprintf("%T ", dest) + x.error(err)
	if err == nil {
		result = fmt.Sprintf("%T ", dest) + Describe(deref(dest))
	}
	x.note(call("scan", query, args), result)
}

// begin begins a transaction, which later statements use until it is ended.
func (x *runner) begin() {
	ctx, cancel := context.WithCancel(x.ctx)
	tx, err := x.db.BeginTx(ctx, nil)
	x.noteError("begin", err)
	if x.cancel = cancel; err == nil {
		x.on, x.tx = tx, tx
	}
}

func (x *runner) commit()   { x.end("commit", x.tx.Commit) }
func (x *runner) rollback() { x.end("rollback", x.tx.Rollback) }

func (x *runner) end(name string, fn func() error) {
	x.noteError(name, fn())
	x.on = x.db
}

// do records the result of fn.
func (x *runner) do(name string, fn func() string) { x.note(name, fn()) }

// Describe writes a value with its type, the same on each platform.
func Describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case int64, int, bool, uint64, int8:
		return fmt.Sprint(v)
	case float64:
		if math.Signbit(v) && v == 0 {
			return "-0.0"
		}
		return fmt.Sprintf("%#v", v)
	case string:
		return fmt.Sprintf("%q", v)
	case []byte:
		if v == nil {
			return "nil bytes"
		}
		return fmt.Sprintf("x'%x'", v)
	case *string:
		if v == nil {
			return "nil *string"
		}
		return "*" + Describe(*v)
	case time.Time:
		if time.Since(v).Abs() < 2*time.Hour {
			return "time about now"
		}
		return "time " + v.UTC().Format(time.RFC3339Nano)
	case sql.NamedArg:
		return v.Name + "=" + Describe(v.Value)
	}
	return fmt.Sprintf("%T%+v", v, v)
}

func deref(dest any) any {
	switch d := dest.(type) {
	case *any:
		return *d
	case *string:
		return *d
	case *[]byte:
		return *d
	case *int64:
		return *d
	case *int:
		return *d
	case *int8:
		return *d
	case *uint64:
		return *d
	case *float64:
		return *d
	case *bool:
		return *d
	case *time.Time:
		return *d
	case *sql.RawBytes:
		return []byte(*d)
	case *sql.NullString:
		return *d
	case *sql.NullInt64:
		return *d
	case *sql.NullBool:
		return *d
	case *sql.NullTime:
		d.Time = d.Time.UTC()
		return fmt.Sprint(d.Time.Format(time.RFC3339Nano), " ", d.Valid)
	case *upper:
		return string(*d)
	}
	return fmt.Sprintf("%T", dest)
}
