package durable

import (
	"reflect"
	"time"
)

// bindOther binds what is made of a type that bind knows, as package
// database/sql does.
func bindOther(a any) (v any, isInteger bool, err error) {
	d := reflect.ValueOf(a)
	if v, ok, err := callValuer(d); ok {
		if err != nil {
			return nil, false, err
		}
		return bindResult(v)
	}
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
	if _, ok, _ := callValuer(reflect.ValueOf(v)); ok {
		return nil, false, errParameter
	}
	return bind(v)
}

// checkKind refuses types that no value of can be bound, also where there is
// none.
func checkKind(t reflect.Type) error {
	for t.Kind() == reflect.Pointer && !isValuer(t) {
		t = t.Elem()
	}
	if basicType(t) == nil && !isValuer(t) && !isValuer(reflect.PointerTo(t)) && t != reflect.TypeFor[time.Time]() {
		return errParameter
	}
	return nil
}

// callValuer returns what a driver.Valuer says that it is. Package
// database/sql/driver would link fmt, so it is known by its method.
func callValuer(d reflect.Value) (v any, ok bool, err error) {
	if !d.IsValid() || !isValuer(d.Type()) {
		return nil, false, nil
	}
	if d.Kind() == reflect.Pointer && d.IsNil() && isValuer(d.Type().Elem()) {
		return nil, true, nil // the method is of what there is not
	}
	out := d.MethodByName("Value").Call(nil)
	err, _ = out[1].Interface().(error)
	return out[0].Interface(), true, err
}

func isValuer(t reflect.Type) bool {
	m, ok := t.MethodByName("Value")
	if !ok {
		return false
	}
	in := 1 // the receiver
	if t.Kind() == reflect.Interface {
		in = 0
	}
	return m.Type.NumIn() == in && m.Type.NumOut() == 2 && m.Type.Out(0).Kind() == reflect.Interface &&
		m.Type.Out(0).NumMethod() == 0 && m.Type.Out(1) == reflect.TypeFor[error]()
}
