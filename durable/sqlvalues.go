package durable

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"flow.internal/capdo/durable/internal/sqltext"
)

// sqlTime is how a time is bound, in UTC: as SQLite writes it, with the
// decimals that it needs. A text that ends sorts before one that goes on.
const sqlTime = "2006-01-02 15:04:05.999999999"

// refusal is why a value is not bound or scanned. It matches [ErrValue].
type refusal string

func (r refusal) Error() string { return string(r) }
func (refusal) Unwrap() error   { return ErrValue }

const (
	errNaN       refusal = "durable: SQLite would store NaN as NULL"
	errYear      refusal = "durable: a time before the year 0 or after 9999 has no text that SQLite knows"
	errUint      refusal = "durable: the integer is beyond int64, the largest that SQLite has"
	errUTF8      refusal = "durable: text that is not UTF-8 cannot be bound; hint: bind a []byte"
	errQueryUTF8 refusal = "durable: the SQL is not UTF-8"
	errQueryNUL  refusal = "durable: SQLite ends a statement at a NUL byte; hint: bind text that has one as an argument"

	errParametersBefore refusal = "durable: only the last statement can have parameters; hint: run the others by themselves"

	errNoParameters refusal = "durable: a query without a statement has no parameters, but there are arguments"

	errParameter refusal = "durable: a Go value of this type cannot be a SQL parameter; see durable.SQL.Exec for those that can"

	errValuer refusal = "durable: a type with methods may be a driver.Valuer, which durable calls only where durablesql is linked; hint: convert it, or import _ \"flow.internal/capdo/durable/durablesql\""

	errNull        refusal = "NULL does not fit; scan into a pointer to a pointer"
	errMisfit      refusal = "the value does not fit its destination without changing"
	errInexact     refusal = "the number is beyond ±(2^53-1); if it is an INTEGER it has arrived inexact: select CAST(… AS TEXT) to scan it into an integer, or scan into a float64"
	errTime        refusal = "the text is not a time"
	errDestination refusal = "Scan knows no destinations of this type; see durable.Cursor.Scan for those it knows"
)

var errNoRow = errors.New("durable: there is no row to scan; call Next first")

// bindAll returns the arguments as JavaScript is to get them, after those given
// first, and which of them are integers.
func bindAll(args []any, first ...any) (in []any, isInteger []bool, err error) {
	if len(args) > MaxSQLParameters {
		return nil, nil, &LimitError{"bound parameters of a statement", MaxSQLParameters, len(args)}
	}
	in = append(make([]any, 0, len(first)+len(args)), first...)
	for i, a := range args {
		v, integer, err := bind(a)
		if err != nil {
			return nil, nil, err
		}
		if integer && isInteger == nil {
			isInteger = make([]bool, len(args))
		}
		if integer {
			isInteger[i] = true
		}
		in = append(in, v)
	}
	return in, isInteger, nil
}

func bind(a any) (v any, isInteger bool, err error) {
	switch a := a.(type) {
	case nil:
		return nil, false, nil
	case string:
		return bindText(a)
	case []byte:
		if a == nil {
			return nil, false, nil
		}
		return a, false, checkSQLSize(len(a))
	case bool:
		if a {
			return 1, true, nil
		}
		return 0, true, nil
	case time.Time:
		v, err := bindTime(a)
		return v, false, err
	case float32:
		return bind(float64(a))
	case float64:
		if math.IsNaN(a) {
			return nil, false, errNaN
		}
		return a, false, nil
	}
	if n, ok, err := toInt64(a); ok || err != nil {
		if n >= 1<<53 || n <= -1<<53 {
			return strconv.FormatInt(n, 10), true, err // CAST makes an INTEGER of it, exactly
		}
		return n, true, err
	}
	return bindOther(a)
}

func bindText(s string) (v any, isInteger bool, err error) {
	if !utf8.ValidString(s) {
		return nil, false, errUTF8
	}
	return s, false, checkSQLSize(len(s))
}

func toInt64(a any) (n int64, ok bool, err error) {
	switch a := a.(type) {
	case int:
		return int64(a), true, nil
	case int8:
		return int64(a), true, nil
	case int16:
		return int64(a), true, nil
	case int32:
		return int64(a), true, nil
	case int64:
		return a, true, nil
	case uint8:
		return int64(a), true, nil
	case uint16:
		return int64(a), true, nil
	case uint32:
		return int64(a), true, nil
	case uint:
		return toInt64(uint64(a))
	case uint64:
		if a > math.MaxInt64 {
			return 0, false, errUint
		}
		return int64(a), true, nil
	}
	return 0, false, nil
}

func bindTime(t time.Time) (any, error) {
	t = t.UTC()
	if t.Year() < 0 || t.Year() > 9999 {
		return nil, errYear
	}
	return t.Format(sqlTime), nil
}

func checkSQLSize(n int) error {
	if n > MaxSQLValueSize {
		return &LimitError{"size of a SQL parameter, in bytes", MaxSQLValueSize, n}
	}
	return nil
}

// scan copies a value into what dest points to.
func scan(dest, v any) (err error) {
	switch d := dest.(type) {
	case *any:
		if isInexact(v) {
			return errInexact
		}
		*d = v
		return nil
	case *[]byte:
		if v == nil {
			*d = nil
			return nil
		}
		b, err := as[[]byte](v)
		*d = bytes.Clone(b) // which is part of a whole batch
		return err
	case *string:
		*d, err = as[string](v)
		return err
	case *float64:
		*d, err = as[float64](v)
		return err
	case *float32:
		f, err := as[float64](v)
		if *d = float32(f); err == nil && float64(*d) != f {
			err = errMisfit
		}
		return err
	case *bool:
		n, err := toInteger(v)
		if *d = n == 1; err == nil && n != 0 && n != 1 {
			err = errMisfit
		}
		return err
	case *time.Time:
		*d, err = toTime(v)
		return err
	}
	if err, ok := scanInteger(dest, v); ok {
		return err
	}
	if err, ok := scanPointer(dest, v); ok {
		return err
	}
	if s, ok := dest.(interface{ Scan(any) error }); ok {
		return scanScanner(s, v)
	}
	return errDestination
}

func scanInteger(dest, v any) (err error, ok bool) {
	switch d := dest.(type) {
	case *int:
		return scanInt(d, v), true
	case *int8:
		return scanInt(d, v), true
	case *int16:
		return scanInt(d, v), true
	case *int32:
		return scanInt(d, v), true
	case *int64:
		return scanInt(d, v), true
	case *uint:
		return scanInt(d, v), true
	case *uint8:
		return scanInt(d, v), true
	case *uint16:
		return scanInt(d, v), true
	case *uint32:
		return scanInt(d, v), true
	case *uint64:
		return scanInt(d, v), true
	}
	return nil, false
}

func scanInt[T int | int8 | int16 | int32 | int64 | uint | uint8 | uint16 | uint32 | uint64](d *T, v any) error {
	n, err := toInteger(v)
	if err != nil {
		return err
	}
	if int64(T(n)) != n || n < 0 && T(n) > 0 {
		return errMisfit
	}
	*d = T(n)
	return nil
}

func scanPointer(dest, v any) (err error, ok bool) {
	switch d := dest.(type) {
	case **string:
		return scanNew(d, v), true
	case **[]byte:
		return scanNew(d, v), true
	case **bool:
		return scanNew(d, v), true
	case **time.Time:
		return scanNew(d, v), true
	case **float64:
		return scanNew(d, v), true
	case **float32:
		return scanNew(d, v), true
	case **int:
		return scanNew(d, v), true
	case **int8:
		return scanNew(d, v), true
	case **int16:
		return scanNew(d, v), true
	case **int32:
		return scanNew(d, v), true
	case **int64:
		return scanNew(d, v), true
	case **uint:
		return scanNew(d, v), true
	case **uint8:
		return scanNew(d, v), true
	case **uint16:
		return scanNew(d, v), true
	case **uint32:
		return scanNew(d, v), true
	case **uint64:
		return scanNew(d, v), true
	}
	return nil, false
}

func scanNew[T any](d **T, v any) error {
	*d = nil
	if v == nil {
		return nil
	}
	p := new(T)
	if err := scan(p, v); err != nil {
		return err
	}
	*d = p
	return nil
}

// scanScanner passes a value as package database/sql does: int64 for a number
// without fraction.
func scanScanner(s interface{ Scan(any) error }, v any) error {
	switch x := v.(type) {
	case float64:
		if isInexact(v) {
			if s, ok := s.(interface{ ScanInexact(float64) error }); ok {
				return s.ScanInexact(x)
			}
			return errInexact
		}
		if n, err := toInteger(x); err == nil && !isNegativeZero(x) {
			v = n
		}
	case []byte:
		v = bytes.Clone(x)
	}
	err := s.Scan(v)
	if text, ok := v.(string); ok && err != nil { // sql.NullTime takes no text
		if t, ok := sqltext.ParseTime(text); ok && s.Scan(t) == nil {
			return nil
		}
	}
	return err
}

// isNegativeZero: no integer is.
func isNegativeZero(f float64) bool { return f == 0 && math.Signbit(f) }

// as is for destinations that hold what has arrived as it is.
func as[T string | []byte | float64](v any) (T, error) {
	t, ok := v.(T)
	switch {
	case ok:
		return t, nil
	case v == nil:
		return t, errNull
	}
	return t, errMisfit
}

// isInexact: SQLite has integers to ±2^63, and at ±2^53 a number may stand for
// its neighbour. What is beyond is REAL.
func isInexact(v any) bool {
	f, _ := v.(float64)
	return 1<<53 <= math.Abs(f) && math.Abs(f) <= 1<<63
}

func toInteger(v any) (int64, error) {
	switch v := v.(type) {
	case nil:
		return 0, errNull
	case float64:
		if isInexact(v) {
			return 0, errInexact
		}
		if v != math.Trunc(v) || math.Abs(v) >= 1<<53 {
			return 0, errMisfit
		}
		return int64(v), nil
	case string:
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && strconv.FormatInt(n, 10) == v {
			return n, nil
		}
	}
	return 0, errMisfit
}

func toTime(v any) (time.Time, error) {
	s, err := as[string](v)
	if err != nil {
		return time.Time{}, err
	}
	if t, ok := sqltext.ParseTime(s); ok {
		return t, nil
	}
	return time.Time{}, errTime
}
