package durable

import (
	"math"
	"reflect"
	"time"

	"flow.internal/capdo/durable/internal/sqltext"
)

// bindOther binds a value whose type is based on one that bind knows, as
// package database/sql does.
func bindOther(a any) (v any, isInteger bool, err error) {
	if v, ok, err := callValuer(a); ok || err != nil {
		if err != nil {
			return nil, false, err
		}
		return bindResult(v)
	}
	return bindKind(reflect.ValueOf(a))
}

// bindKind binds a value by its type's kind.
func bindKind(d reflect.Value) (v any, isInteger bool, err error) {
	switch kindOfType(d.Type()) {
	case reflect.Pointer:
		if d.IsNil() {
			return nil, false, checkKind(d.Type().Elem())
		}
		return bind(d.Elem().Interface())
	case reflect.Bool:
		return bind(d.Bool())
	case reflect.Int64:
		return bindInteger(d.Int())
	case reflect.Uint64:
		if d.Uint() > math.MaxInt64 {
			return nil, false, errUint
		}
		return bindInteger(int64(d.Uint()))
	case reflect.Float64:
		return bind(d.Float())
	case reflect.String:
		return bindText(d.String())
	case reflect.Slice:
		return bind(d.Bytes())
	}
	return nil, false, errParameter
}

// bindResult binds the result of a Valuer: nil, a time or a basic type of Go.
// It does not call a Valuer again.
func bindResult(v any) (any, bool, error) {
	if v == nil {
		return nil, false, nil
	}
	t := reflect.TypeOf(v)
	switch k := kindOfType(t); {
	case t == timeType:
		return bind(v)
	case k == reflect.Invalid, k == reflect.Pointer, t.PkgPath() != "":
		return nil, false, errParameter
	}
	return bindKind(reflect.ValueOf(v))
}

var timeType = reflect.TypeFor[time.Time]()

// checkKind refuses a nil pointer to a type whose values cannot be bound.
func checkKind(t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if kindOfType(t) == reflect.Invalid && t != timeType &&
		t.Kind() != reflect.Interface && !isNull(t) {
		return errParameter
	}
	return nil
}

// callValuer returns the value of a driver.Valuer. This package does not import
// database/sql/driver, which links fmt and os. If the program links package
// durablesql, that package calls the method. Otherwise callValuer recognizes
// the types of package database/sql by their fields, and refuses others that
// may be a Valuer, because the method's result may differ from the Go value.
func callValuer(a any) (v any, ok bool, err error) {
	if sqltext.CallValuer != nil {
		return sqltext.CallValuer(a)
	}
	d := reflect.ValueOf(a)
	isPointer := d.Kind() == reflect.Pointer
	if isPointer && isNull(d.Type().Elem()) {
		if d.IsNil() {
			return nil, true, nil
		}
		d, isPointer = d.Elem(), false
	}
	switch {
	case isNull(d.Type()) && d.Field(1).Bool():
		return d.Field(0).Interface(), true, nil
	case isNull(d.Type()):
		return nil, true, nil
	case mayBeValuer(a, d.Type()):
		return nil, false, errValuer
	}
	return nil, false, nil
}

// isNull reports whether t is sql.NullString or a similar type.
func isNull(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.PkgPath() == "database/sql" && t.NumField() == 2 &&
		t.Field(1).Name == "Valid"
}

// mayBeValuer reports whether a value has methods. Package reflect could name
// them, but its code for that takes 40 kB, compressed.
func mayBeValuer(a any, t reflect.Type) bool {
	n := t.NumMethod()
	if _, ok := a.(interface{ String() string }); ok {
		n--
	}
	return n > 0 && t != reflect.PointerTo(timeType)
}
