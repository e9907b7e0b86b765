package durable

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"

	"flow.internal/capdo/durable/internal/sqltext"
)

// sqlTime is the form of a bound time, in UTC: as SQLite writes it, with only
// the decimals that it needs. A shorter text sorts before a longer one that
// begins with it.
const sqlTime = "2006-01-02 15:04:05.999999999"

// refusal is the reason why a value is not bound or scanned. It matches
// [ErrValue].
type refusal string

func (r refusal) Error() string { return string(r) }
func (refusal) Unwrap() error   { return ErrValue }

const (
	errNaN  refusal = "durable: SQLite would store NaN as NULL"
	errYear refusal = "durable: SQLite has no text for a time before the year 0 " +
		"or after 9999"
	errUint      refusal = "durable: the integer does not fit SQLite's INTEGER, an int64"
	errUTF8      refusal = "durable: text that is not UTF-8 cannot be bound; hint: bind a []byte"
	errQueryUTF8 refusal = "durable: the SQL is not UTF-8"
	errQueryNUL  refusal = "durable: SQLite ends a statement at a NUL byte; " +
		"hint: bind text with a NUL byte as an argument"

	errParametersBefore refusal = "durable: only the last statement can have parameters; " +
		"hint: run the other statements separately"

	errNoParameters refusal = "durable: a query without a statement has no parameters, " +
		"but there are arguments"

	errParameter refusal = "durable: a Go value of this type cannot be a SQL parameter; " +
		"see durable.SQL.Exec for the supported types"

	errValuer refusal = "durable: a type with methods may be a driver.Valuer, which durable " +
		"calls only where durablesql is linked; hint: convert it, " +
		"or import _ \"flow.internal/capdo/durable/durablesql\""

	errNull    refusal = "NULL does not fit; scan into a pointer to a pointer"
	errMisfit  refusal = "the value does not fit its destination without changing"
	errInexact refusal = "the number is beyond ±(2^53-1); " +
		"if it is an INTEGER it has arrived inexact: " +
		"select CAST(… AS TEXT) to scan it into an integer, or scan into a float64"
	errTime        refusal = "the text is not a time"
	errDestination refusal = "Scan has no conversion to this type; " +
		"see durable.Cursor.Scan for the supported types"
)

var errNoRow = errors.New("durable: there is no row to scan; call Next first")

// bindAll returns the arguments for JavaScript, after first, and which of them
// are integers.
func bindAll(args []any, first ...any) (in []any, isInteger []bool, err error) {
	if len(args) > MaxSQLParameters {
		return nil, nil, &LimitError{Limit: "bound parameters of a statement",
			Max: MaxSQLParameters, Actual: len(args)}
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
	case int64:
		return bindInteger(a)
	case float64:
		if math.IsNaN(a) {
			return nil, false, errNaN
		}
		return a, false, nil
	case time.Time:
		v, err := bindTime(a)
		return v, false, err
	}
	return bindOther(a)
}

func bindInteger(n int64) (v any, isInteger bool, err error) {
	if n >= 1<<53 || n <= -1<<53 {
		return strconv.FormatInt(n, 10), true, nil // CAST makes an INTEGER of it, exactly
	}
	return n, true, nil
}

func bindText(s string) (v any, isInteger bool, err error) {
	if !utf8.ValidString(s) {
		return nil, false, errUTF8
	}
	return s, false, checkSQLSize(len(s))
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
		return &LimitError{Limit: "size of a SQL parameter, in bytes",
			Max: MaxSQLValueSize, Actual: n}
	}
	return nil
}

// scan copies a value into the variable that dest points to. The most common
// types need no reflection.
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
	case *int64:
		*d, err = toInteger(v)
		return err
	case *float64:
		*d, err = as[float64](v)
		return err
	case *time.Time:
		*d, err = toTime(v)
		return err
	case interface{ Scan(any) error }:
		return scanScanner(d, v)
	}
	p := reflect.ValueOf(dest)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return errDestination
	}
	return scanKind(p.Elem(), v)
}

// scanKind copies a value into d by the kind of its type.
func scanKind(d reflect.Value, v any) error {
	switch kindOfType(d.Type()) {
	case reflect.Pointer:
		return scanPointer(d, v)
	case reflect.Bool:
		n, err := toInteger(v)
		if err == nil && n != 0 && n != 1 {
			err = errMisfit
		}
		d.SetBool(n == 1)
		return err
	case reflect.Int64:
		n, err := toInteger(v)
		if err != nil {
			return err
		}
		if d.OverflowInt(n) {
			return errMisfit
		}
		d.SetInt(n)
		return nil
	case reflect.Uint64:
		n, err := toInteger(v)
		if err != nil {
			return err
		}
		if n < 0 || d.OverflowUint(uint64(n)) {
			return errMisfit
		}
		d.SetUint(uint64(n))
		return nil
	case reflect.Float64:
		f, err := as[float64](v)
		if d.SetFloat(f); err == nil && d.Float() != f { // a float32
			err = errMisfit
		}
		return err
	case reflect.String:
		s, err := as[string](v)
		d.SetString(s)
		return err
	case reflect.Slice:
		var b []byte
		err := scan(&b, v)
		d.SetBytes(b)
		return err
	}
	return errDestination
}

func scanPointer(d reflect.Value, v any) error {
	d.SetZero()
	if v == nil {
		return nil
	}
	p := reflect.New(d.Type().Elem())
	if err := scan(p.Interface(), v); err != nil {
		return err
	}
	d.Set(p)
	return nil
}

// kindOfType returns how a type is bound and scanned: Int64 for all signed
// integers, Uint64 for all unsigned ones, Float64 also for float32, Slice for
// bytes. It returns Invalid for types that cannot be.
func kindOfType(t reflect.Type) reflect.Kind {
	switch k := t.Kind(); k {
	case reflect.Bool, reflect.String, reflect.Pointer:
		return k
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return reflect.Int64
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return reflect.Uint64
	case reflect.Float32, reflect.Float64:
		return reflect.Float64
	case reflect.Slice:
		if t.Elem() == reflect.TypeFor[byte]() {
			return reflect.Slice
		}
	}
	return reflect.Invalid
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

// isNegativeZero reports whether f is -0, which no integer is.
func isNegativeZero(f float64) bool { return f == 0 && math.Signbit(f) }

// as returns a value that already has the destination's type.
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

// isInexact reports whether a number may be an inexact INTEGER. SQLite has
// integers up to ±2^63, and from ±2^53 on a float64 may stand for its neighbor.
// Beyond ±2^63 a number is REAL.
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
