package durablesql

import (
	"database/sql/driver"
	"reflect"

	"flow.internal/capdo/durable/internal/sqltext"
)

// Package durable binds Valuers where this package is linked.
func init() { sqltext.CallValuer = callValuer }

func callValuer(v any) (value any, ok bool, err error) {
	valuer, ok := v.(driver.Valuer)
	if !ok {
		return nil, false, nil
	}
	if d := reflect.ValueOf(v); d.Kind() == reflect.Pointer && d.IsNil() &&
		d.Type().Elem().Implements(reflect.TypeFor[driver.Valuer]()) {
		return nil, true, nil // the method is of what there is not, as in database/sql
	}
	value, err = valuer.Value()
	return value, true, err
}
