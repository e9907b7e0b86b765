package durable

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// valueEncoder converts one value.
type valueEncoder struct{ depth, pointers, values int }

func (e *valueEncoder) enter(n int) *valueErr {
	e.depth++
	e.values += n
	switch {
	case e.depth > maxNesting:
		return refused("a value that is nested more than 500 deep, or contains itself")
	case e.values > maxValues:
		return refused("a value that consists of more than " + strconv.Itoa(maxValues) + " values")
	}
	return nil
}

// any converts the value in an any; changed reports whether the result is
// another value. It converts basic types without reflection.
func (e *valueEncoder) any(v any) (out any, changed bool, err *valueErr) {
	switch v := v.(type) {
	case nil, bool, float64, int64, uint64:
		return v, false, nil
	case string:
		return v, false, checkText(v)
	case int:
		return int64(v), true, nil
	case time.Time:
		return v, false, checkTime(v)
	case []byte:
		if v == nil {
			return nil, true, nil
		}
		return v, false, nil
	case []any:
		return e.list(v)
	case map[string]any:
		return e.object(v)
	}
	t := reflect.TypeOf(v)
	out, err = e.value(codecOf(t), reflect.ValueOf(v))
	return out, true, err
}

func (e *valueEncoder) list(v []any) (any, bool, *valueErr) {
	if v == nil {
		return nil, true, nil
	}
	if err := e.enter(len(v)); err != nil {
		return nil, false, err
	}
	out := v
	for i, x := range v {
		y, changed, err := e.any(x)
		if err != nil {
			return nil, false, err.at(indexStep(i))
		}
		if changed && &out[0] == &v[0] {
			out = append([]any(nil), v...)
		}
		if changed {
			out[i] = y
		}
	}
	e.depth--
	return out, len(v) > 0 && &out[0] != &v[0], nil
}

func (e *valueEncoder) object(v map[string]any) (any, bool, *valueErr) {
	if v == nil {
		return nil, true, nil
	}
	if err := e.enter(len(v)); err != nil {
		return nil, false, err
	}
	var out map[string]any
	for k, x := range v {
		y, changed, err := e.any(x)
		if err == nil {
			err = checkText(k)
		}
		if err != nil {
			return nil, false, err.at(keyStep)
		}
		if changed && out == nil {
			out = make(map[string]any, len(v))
			for k, x := range v {
				out[k] = x
			}
		}
		if changed {
			out[k] = y
		}
	}
	e.depth--
	if out == nil {
		return v, false, nil
	}
	return out, true, nil
}

const badText = "text that is not valid UTF-8 would change as a JavaScript string"

func checkText(s string) *valueErr {
	if !utf8.ValidString(s) {
		return refused(badText)
	}
	return nil
}

func checkTime(t time.Time) *valueErr {
	if t.Nanosecond()%int(time.Millisecond) != 0 {
		return refused(fineTime)
	}
	if ms := t.UnixMilli(); ms > maxDate || ms < -maxDate {
		return refused("a time that a JavaScript Date cannot represent")
	}
	return nil
}

// maxDate is the last moment that a JavaScript Date can be, in ms before and
// after 1970.
const maxDate = 8_640_000_000_000_000

func (e *valueEncoder) value(c *codec, v reflect.Value) (any, *valueErr) {
	if c.noEncode != "" {
		return nil, refused("Go's " + c.t.String() + c.noEncode)
	}
	switch c.form {
	case formBool:
		return v.Bool(), nil
	case formInt:
		return v.Int(), nil
	case formUint:
		return integer(v.Uint()), nil
	case formFloat:
		return v.Float(), nil
	case formString:
		return v.String(), checkText(v.String())
	case formBytes:
		if v.IsNil() {
			return nil, nil
		}
		return v.Bytes(), nil
	case formTime:
		t := *timeBehind(pointerTo(v))
		return t, checkTime(t)
	case formText:
		return c.text(v)
	case formBigInt:
		text, err := marshalText(v)
		if err != nil {
			return nil, err
		}
		return digits(text), nil
	case formDigits:
		return bigIntValue(v.String())
	case formNumber:
		return number(v.String())
	case formInterface:
		if v.IsNil() {
			return nil, nil
		}
		out, _, err := e.any(v.Elem().Interface())
		return out, err
	case formPointer:
		return e.pointer(c, v)
	case formList:
		return e.elements(c, v)
	case formMap:
		return e.entries(c, v)
	case formStruct:
		return e.fields(c, v)
	}
	return nil, refused("Go's " + c.t.String() + " has no equivalent in JavaScript")
}

// integer returns n as an int64 if it fits.
func integer(n uint64) any {
	if n > math.MaxInt64 {
		return n
	}
	return int64(n)
}

func (e *valueEncoder) pointer(c *codec, v reflect.Value) (any, *valueErr) {
	if v.IsNil() {
		return nil, nil
	}
	if e.pointers++; e.pointers > maxPointers {
		return nil, refused("a pointer that leads to itself")
	}
	out, err := e.value(c.elem, v.Elem())
	e.pointers--
	return out, err
}

// maxPointers limits how many pointers lead to a value, including those that
// lead to the values around it.
const maxPointers = 4 * maxNesting

func (e *valueEncoder) elements(c *codec, v reflect.Value) (any, *valueErr) {
	if v.Kind() == reflect.Slice && v.IsNil() {
		return nil, nil
	}
	n := v.Len()
	if err := e.enter(n); err != nil {
		return nil, err
	}
	list := make([]any, n)
	for i := range list {
		var err *valueErr
		if list[i], err = e.value(c.elem, v.Index(i)); err != nil {
			return nil, err.at(indexStep(i))
		}
	}
	e.depth--
	return list, nil
}

func (e *valueEncoder) entries(c *codec, v reflect.Value) (any, *valueErr) {
	if v.IsNil() {
		return nil, nil
	}
	if err := e.enter(v.Len()); err != nil {
		return nil, err
	}
	m := make(map[string]any, v.Len())
	for it := v.MapRange(); it.Next(); {
		k, err := c.key.keyText(it.Key())
		if err != nil {
			return nil, err.at(keyStep)
		}
		if _, isTaken := m[k]; isTaken {
			return nil, refused("two keys of Go's " + c.t.String() +
				" have the same text").at(keyStep)
		}
		if m[k], err = e.value(c.elem, it.Value()); err != nil {
			return nil, err.at(keyStep)
		}
	}
	e.depth--
	return m, nil
}

// keyText returns a map's key as a property's name.
func (c *codec) keyText(v reflect.Value) (string, *valueErr) {
	switch {
	case v.Kind() == reflect.String:
		return v.String(), checkText(v.String())
	case c.marshals:
		return marshalText(v)
	case c.form == formUint:
		return strconv.FormatUint(v.Uint(), 10), nil
	}
	return strconv.FormatInt(v.Int(), 10), nil
}

func (e *valueEncoder) fields(c *codec, v reflect.Value) (any, *valueErr) {
	if err := e.enter(len(c.fields)); err != nil {
		return nil, err
	}
	m := make(map[string]any, len(c.fields))
	for i := range c.fields {
		f := &c.fields[i]
		fv, ok := f.of(v)
		if !ok || f.omitEmpty && isEmpty(fv) || f.omitZero && isZero(fv) {
			continue
		}
		x, err := e.value(f.codec, fv)
		if err == nil && f.quoted {
			x, err = quote(f.codec, x)
		}
		if err != nil {
			return nil, err.at("." + f.name)
		}
		m[f.name] = x
	}
	e.depth--
	return m, nil
}

// of returns the field of a struct. ok is false if an embedded pointer on the
// way to it is nil.
func (f *field) of(v reflect.Value) (_ reflect.Value, ok bool) {
	for i, n := range f.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(n)
	}
	return v, true
}

// isEmpty implements encoding/json's option omitempty.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// isZero implements encoding/json's option omitzero.
func isZero(v reflect.Value) bool {
	type zeroer interface{ IsZero() bool }
	if isNil := (v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface) &&
		v.IsNil(); isNil || !v.CanInterface() {
		return v.IsZero()
	}
	if z, ok := v.Interface().(zeroer); ok {
		return z.IsZero()
	}
	if z, ok := pointerTo(v).Interface().(zeroer); ok {
		return z.IsZero()
	}
	return v.IsZero()
}

// pointerTo returns a pointer to v, or to a copy if v has no address.
func pointerTo(v reflect.Value) reflect.Value {
	if v.CanAddr() {
		return v.Addr()
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return p
}

// marshalText calls MarshalText. Its receiver may be a pointer.
func marshalText(v reflect.Value) (string, *valueErr) {
	m, ok := v.Interface().(textMarshaler)
	if !ok {
		m = pointerTo(v).Interface().(textMarshaler)
	}
	b, err := m.MarshalText()
	if err != nil {
		return "", &valueErr{what: "MarshalText of Go's " + v.Type().String() +
			" failed", cause: err}
	}
	return string(b), checkText(string(b))
}

// text returns the result of MarshalText. It refuses an embedded field's
// method, which would drop the other fields.
func (c *codec) text(v reflect.Value) (any, *valueErr) {
	if hasNilEmbedded(v) {
		return c.textOrPanic(v)
	}
	s, err := marshalText(v)
	if err != nil || c.promoted == 0 {
		return s, err
	}
	embedded := v.Field(c.promoted - 1)
	if !embedded.CanInterface() {
		return s, nil
	}
	if part, err := marshalText(embedded); err == nil && part == s {
		return nil, refused("Go's " + c.t.String() + " has MarshalText of its embedded " +
			c.t.Field(c.promoted-1).Name +
			", which leaves out the other fields; hint: give that field a name")
	}
	return s, nil
}

func hasNilEmbedded(v reflect.Value) bool {
	if v.Kind() != reflect.Struct {
		return false
	}
	for i := range v.NumField() {
		f := v.Field(i)
		if v.Type().Field(i).Anonymous &&
			(f.Kind() == reflect.Pointer || f.Kind() == reflect.Interface) && f.IsNil() {
			return true
		}
	}
	return false
}

// textOrPanic calls a MarshalText that may belong to an embedded nil pointer.
func (c *codec) textOrPanic(v reflect.Value) (_ any, err *valueErr) {
	defer func() {
		if recover() != nil {
			err = refused("MarshalText of Go's " + c.t.String() +
				" panics; an embedded field is nil")
		}
	}()
	return marshalText(v)
}

// quote implements the tag's option string.
func quote(c *codec, v any) (any, *valueErr) {
	switch v := v.(type) {
	case bool:
		return strconv.FormatBool(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	case float64:
		bits := 64
		if behind(c.t).Kind() == reflect.Float32 {
			bits = 32
		}
		return formatFloat(v, bits), nil
	}
	return v, nil
}

// formatFloat writes a number as encoding/json and JavaScript do.
func formatFloat(f float64, bits int) string {
	if abs := math.Abs(f); abs == 0 || abs >= 1e-6 && abs < 1e21 || abs != abs || math.IsInf(f, 0) {
		return strconv.FormatFloat(f, 'f', -1, bits)
	}
	s := strconv.FormatFloat(f, 'e', -1, bits)
	if n := len(s); s[n-4:n-1] == "e-0" {
		s = s[:n-2] + s[n-1:]
	}
	return s
}

// digits returns the integer that the decimal digits stand for, as a number if
// JavaScript's numbers hold it exactly.
func digits(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n
	}
	return BigInt(text)
}

func bigIntValue(text string) (any, *valueErr) {
	if rest := strings.TrimPrefix(text, "-"); rest == "" ||
		strings.Trim(rest, "0123456789") != "" || rest[0] == '0' && text != "0" {
		return nil, refused("a durable.BigInt that is not an integer in decimal digits")
	}
	return BigInt(text), nil
}

// number converts a json.Number to the same number, if JavaScript has it.
func number(text string) (any, *valueErr) {
	mantissa, exponent, hasExponent := cutExponent(text)
	if text == "" {
		return int64(0), nil
	}
	if rest := strings.TrimPrefix(text, "-"); strings.Trim(rest, "0123456789") == "" &&
		rest != "" && (rest[0] != '0' || text == "0") {
		return digits(text), nil
	}
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(mantissa, "-"), ".")
	significant := strings.Trim(whole+fraction, "0")
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || strings.Trim(significant+exponent, "0123456789+-") != "" ||
		hasExponent && exponent == "" || whole == "" || whole[0] == '0' && whole != "0":
		return nil, refused("a json.Number that JavaScript has no number for")
	case (len(significant) > 15 || math.Abs(f) < 2.3e-308 && significant != "") &&
		formatFloat(f, 64) != text:
		return nil, refused("a json.Number with more digits than a JavaScript number has")
	}
	return f, nil
}

func cutExponent(text string) (mantissa, exponent string, found bool) {
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		return text[:i], text[i+1:], true
	}
	return text, "", false
}
