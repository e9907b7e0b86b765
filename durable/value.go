package durable

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Encode converts a Go value to one that [KV], RPC and JavaScript know: structs become objects, by their json tags; slices, arrays and maps
// with string keys their likes; integers stay exact; pointers are followed, and nil is null. It fails with [ErrValue] for what has no
// equivalent, such as channels, and for what would change, such as a time with fractions of a millisecond.
func Encode(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, string, []byte, float64:
		return v, nil
	case time.Time:
		_, err := valueSize(v)
		return v, err
	}
	return encode(reflect.ValueOf(v))
}

func encode(v reflect.Value) (any, error) {
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if v.Uint() > math.MaxInt64 {
			return nil, valueError("an integer beyond int64", v.Type())
		}
		return int64(v.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return v.Float(), nil
	case reflect.String:
		return v.String(), nil
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil, nil
		}
		return Encode(v.Elem().Interface())
	case reflect.Slice, reflect.Array:
		return encodeList(v)
	case reflect.Map:
		return encodeMap(v)
	case reflect.Struct:
		return encodeStruct(v)
	}
	return nil, valueError("a value without equivalent", v.Type())
}

func encodeList(v reflect.Value) (any, error) {
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
		return v.Bytes(), nil
	}
	list := make([]any, v.Len())
	for i := range list {
		var err error
		if list[i], err = Encode(v.Index(i).Interface()); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func encodeMap(v reflect.Value) (any, error) {
	if v.Type().Key().Kind() != reflect.String {
		return nil, valueError("a map whose keys are no strings", v.Type())
	}
	m := make(map[string]any, v.Len())
	for it := v.MapRange(); it.Next(); {
		e, err := Encode(it.Value().Interface())
		if err != nil {
			return nil, err
		}
		m[it.Key().String()] = e
	}
	return m, nil
}

func encodeStruct(v reflect.Value) (any, error) {
	m := map[string]any{}
	for _, f := range reflect.VisibleFields(v.Type()) {
		name, omitEmpty, ok := fieldName(f)
		if !ok {
			continue
		}
		field, err := v.FieldByIndexErr(f.Index)
		if err != nil || omitEmpty && field.IsZero() { // in a nil embedded pointer
			continue
		}
		if m[name], err = Encode(field.Interface()); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// fieldName returns the name of a struct's field as package encoding/json has it; not ok for fields without one.
func fieldName(f reflect.StructField) (name string, omitEmpty, ok bool) {
	tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	if !f.IsExported() || f.Anonymous && tag == "" || tag == "-" {
		return "", false, false
	}
	if tag == "" {
		tag = f.Name
	}
	return tag, strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero"), true
}

// Decode stores a value, as it came from [KV] or RPC, in what dest points to, converting what Encode converts. A value that does not fit
// exactly is refused with [ErrValue], and so is null where there is no nil. Object properties without a field are ignored.
func Decode(value, dest any) error {
	p := reflect.ValueOf(dest)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		panic("durable: Decode needs a pointer")
	}
	if err := checkValue(value); err != nil {
		return err
	}
	return decode(value, p.Elem())
}

func decode(value any, d reflect.Value) error {
	if value == nil {
		return decodeNil(d)
	}
	v := reflect.ValueOf(value)
	switch d.Kind() {
	case reflect.Pointer:
		d.Set(reflect.New(d.Type().Elem()))
		return decode(value, d.Elem())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n, ok := exactInt(value); ok && !d.OverflowInt(n) {
			d.SetInt(n)
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n, ok := exactInt(value); ok && n >= 0 && !d.OverflowUint(uint64(n)) {
			d.SetUint(uint64(n))
			return nil
		}
	case reflect.Float32, reflect.Float64:
		if f, ok := value.(float64); ok && (d.Kind() == reflect.Float64 || float64(float32(f)) == f || f != f) {
			d.SetFloat(f)
			return nil
		}
	case reflect.Map:
		return decodeMap(value, d)
	case reflect.Slice, reflect.Array:
		if list, ok := value.([]any); ok {
			return decodeList(list, d)
		}
		if b, ok := value.([]byte); ok && d.Kind() == reflect.Slice && d.Type().Elem().Kind() == reflect.Uint8 {
			d.SetBytes(b)
			return nil
		}
	case reflect.Struct:
		if m, ok := value.(map[string]any); ok {
			return decodeStruct(m, d)
		}
	}
	if v.Type().AssignableTo(d.Type()) {
		d.Set(v)
		return nil
	}
	if v.Kind() == d.Kind() && (v.Kind() == reflect.String || v.Kind() == reflect.Bool) { // of a named type
		d.Set(v.Convert(d.Type()))
		return nil
	}
	return valueError(jsType(value), d.Type())
}

func decodeNil(d reflect.Value) error {
	switch d.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		d.SetZero()
		return nil
	case reflect.Struct:
		if d.NumField() == 0 { // struct{}, for results that do not matter
			return nil
		}
	}
	return valueError("null", d.Type())
}

func decodeList(list []any, d reflect.Value) error {
	if d.Kind() == reflect.Slice {
		d.Set(reflect.MakeSlice(d.Type(), len(list), len(list)))
	} else if d.Len() != len(list) {
		return valueError("an array of "+strconv.Itoa(len(list)), d.Type())
	}
	for i, e := range list {
		if err := decode(e, d.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

func decodeMap(value any, d reflect.Value) error {
	m, ok := value.(map[string]any)
	if !ok || d.Type().Key().Kind() != reflect.String {
		return valueError(jsType(value), d.Type())
	}
	d.Set(reflect.MakeMapWithSize(d.Type(), len(m)))
	for k, e := range m {
		element := reflect.New(d.Type().Elem()).Elem()
		if err := decode(e, element); err != nil {
			return err
		}
		d.SetMapIndex(reflect.ValueOf(k).Convert(d.Type().Key()), element)
	}
	return nil
}

func decodeStruct(m map[string]any, d reflect.Value) error {
	for _, f := range reflect.VisibleFields(d.Type()) {
		name, _, ok := fieldName(f)
		value, present := m[name]
		if !ok || !present || value == nil {
			continue
		}
		if err := decode(value, d.FieldByIndex(f.Index)); err != nil {
			return &wrapped{err.Error() + " (field " + f.Name + ")", ErrValue}
		}
	}
	return nil
}

func valueError(what string, t reflect.Type) error {
	return &wrapped{"durable: " + what + " does not fit Go's " + t.String() + " unchanged", ErrValue}
}

// jsType names a value as JavaScript does.
func jsType(v any) string {
	switch v.(type) {
	case bool:
		return "a boolean"
	case float64:
		return "a number"
	case int64:
		return "a BigInt"
	case string:
		return "a string"
	case []byte:
		return "bytes"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	case time.Time:
		return "a Date"
	}
	return "a value"
}

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// Func exports fn, usually a method expression such as (*Counter).Add, as an RPC method whose arguments and result are Go values, converted as by
// [Decode] and [Encode]:
//
//	func(object T, ctx context.Context, …) error
//	func(object T, ctx context.Context, …) (Result, error)
//
// Go calls it with the function [Call], JavaScript as stub.add(1, 2). Arguments that the caller leaves out are nil, or refused where there
// is no nil. Func panics when fn is none of these. An error reaches the caller with its message; of an [*Error] also name and properties.
func Func[T any](name string, fn any) RPCMethod[T] {
	f := reflect.ValueOf(fn)
	if err := checkFunc[T](f); err != nil {
		panic("durable: method " + name + ": " + err.Error())
	}
	return RPCMethod[T]{name: name, fn: func(object T, ctx context.Context, args []any) (any, error) { return invoke(f, object, ctx, args) }}
}

func checkFunc[T any](f reflect.Value) error {
	if f.Kind() != reflect.Func {
		return errors.New("is no function")
	}
	t := f.Type()
	switch {
	case t.IsVariadic():
		return errors.New("a variadic function cannot be an RPC method")
	case t.NumIn() < 2 || t.In(0) != reflect.TypeFor[T]() || t.In(1) != contextType:
		return errors.New("the function's first parameters must be of types " + reflect.TypeFor[T]().String() + " and context.Context")
	case t.NumOut() < 1 || t.NumOut() > 2 || t.Out(t.NumOut()-1) != errorType:
		return errors.New("the function must return error, or a result and error")
	}
	return nil
}

func invoke(f reflect.Value, object any, ctx context.Context, args []any) (any, error) {
	t := f.Type()
	if len(args) > t.NumIn()-2 {
		return nil, &wrapped{"durable: " + strconv.Itoa(len(args)) + " arguments for a method that takes " + strconv.Itoa(t.NumIn()-2), ErrValue}
	}
	in := []reflect.Value{reflect.ValueOf(object), reflect.ValueOf(ctx)}
	for i := 2; i < t.NumIn(); i++ {
		p := reflect.New(t.In(i))
		var arg any
		if i-2 < len(args) {
			arg = args[i-2]
		}
		if err := Decode(arg, p.Interface()); err != nil {
			return nil, &wrapped{err.Error() + " (argument " + strconv.Itoa(i-1) + ")", ErrValue}
		}
		in = append(in, p.Elem())
	}
	out := f.Call(in)
	if err, _ := out[len(out)-1].Interface().(error); err != nil || len(out) == 1 {
		return nil, err
	}
	return Encode(out[0].Interface())
}

func exactInt(v any) (int64, bool) {
	f, ok := v.(float64)
	return int64(f), ok && f == math.Trunc(f) && math.Abs(f) < 1<<53
}
