package durable

import (
	"reflect"
	"time"

	"flow.internal/capdo/durable/internal/sqltext"
)

// bindOther binds what is made of a type that bind knows, as package
// database/sql does.
func bindOther(a any) (v any, isInteger bool, err error) {
	if v, ok, err := callValuer(a); ok || err != nil {
		if err != nil {
			return nil, false, err
		}
		return bindResult(v)
	}
	d := reflect.ValueOf(a)
	if d.Kind() == reflect.Pointer {
		if d.IsNil() {
			return nil, false, checkKind(d.Type().Elem())
		}
		return bind(d.Elem().Interface())
	}
	t := basicType(d.Type())
	if t == nil || t == d.Type() {
		return nil, false, errParameter
	}
	return bind(d.Convert(t).Interface())
}

// bindResult binds what a Valuer returned, which is not asked again.
func bindResult(v any) (any, bool, error) {
	if v != nil && basicType(reflect.TypeOf(v)) != reflect.TypeOf(v) && reflect.TypeOf(v) != timeType {
		return nil, false, errParameter
	}
	return bind(v)
}

var timeType = reflect.TypeFor[time.Time]()

// checkKind refuses a nil pointer whose type is one that no value of can be
// bound.
func checkKind(t reflect.Type) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if basicType(t) == nil && t != timeType && t.Kind() != reflect.Interface && !isNull(t) {
		return errParameter
	}
	return nil
}

// callValuer returns what a driver.Valuer says that it is. Package
// database/sql/driver links fmt and os, and so is unknown here: package
// durablesql asks, where it is linked. Where it is not, those of package
// database/sql are known by their fields, and others that may be one are
// refused: what their methods say may differ from what they are made of.
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

// isNull: sql.NullString and its likes.
func isNull(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.PkgPath() == "database/sql" && t.NumField() == 2 && t.Field(1).Name == "Valid"
}

// mayBeValuer: it has methods. Package reflect could say which, but its code
// for that takes 40 kB, compressed.
func mayBeValuer(a any, t reflect.Type) bool {
	n := t.NumMethod()
	if _, ok := a.(interface{ String() string }); ok {
		n--
	}
	return n > 0 && t != reflect.PointerTo(timeType)
}
