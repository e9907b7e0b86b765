package durable

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"flow.internal/capdo/internal/jsrt"
)

// valueDecoder stores one value.
type valueDecoder struct{ depth, pointers int }

func (d *valueDecoder) enter() *valueErr {
	if d.depth++; d.depth > maxNesting {
		return refused("a value that is nested more than 500 deep, or contains itself")
	}
	return nil
}

// null stores null as the whole value, in a list or in a map.
func (d *valueDecoder) null(c *codec, to reflect.Value) *valueErr {
	switch c.form {
	case formPointer, formInterface, formMap, formBytes:
		to.SetZero()
		return nil
	case formList:
		if to.Kind() == reflect.Slice {
			to.SetZero()
			return nil
		}
	case formStruct:
		if to.NumField() == 0 { // struct{}, for results that do not matter
			return nil
		}
	case formText:
		switch to.Kind() {
		case reflect.Map, reflect.Slice:
			to.SetZero()
			return nil
		}
	}
	return refused("null does not fit Go's " + c.t.String() + " unchanged")
}

// value stores a value that is not nil.
func (d *valueDecoder) value(c *codec, value any, to reflect.Value) *valueErr {
	if c.noDecode != "" {
		return refused("Go's " + c.t.String() + c.noDecode)
	}
	switch c.form {
	case formBool:
		if b, ok := value.(bool); ok {
			to.SetBool(b)
			return nil
		}
	case formInt:
		if n, ok := exactInt(value); ok && !to.OverflowInt(n) {
			to.SetInt(n)
			return nil
		}
	case formUint:
		if n, ok := exactUint(value); ok && !to.OverflowUint(n) {
			to.SetUint(n)
			return nil
		}
	case formFloat:
		if f, ok := exactFloat(value); ok &&
			(to.Kind() == reflect.Float64 || float64(float32(f)) == f || f != f) {
			to.SetFloat(f)
			return nil
		}
	case formString:
		if s, ok := value.(string); ok {
			to.SetString(s)
			return nil
		}
	case formTime:
		if t, ok := value.(time.Time); ok {
			*timeBehind(to.Addr()) = t
			return nil
		}
	case formText:
		if s, ok := value.(string); ok {
			return c.unmarshal(s, to)
		}
	case formDigits, formBigInt, formNumber:
		return c.decodeDigits(value, to)
	case formPointer:
		return d.pointer(c, value, to)
	case formInterface:
		return d.any(c, value, to)
	case formBytes:
		if b, ok := value.([]byte); ok {
			to.SetBytes(b)
			return nil
		}
		if list, ok := value.([]any); ok {
			return d.list(c, list, to)
		}
	case formList:
		return d.elements(c, value, to)
	case formMap:
		if m, ok := value.(map[string]any); ok {
			return d.entries(c, m, to)
		}
	case formStruct:
		if m, ok := value.(map[string]any); ok {
			return d.fields(c, m, to)
		}
	}
	return doesNotFit(value, c)
}

func exactInt(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case BigInt:
		n, err := strconv.ParseInt(string(v), 10, 64)
		return n, err == nil
	case float64:
		return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
	}
	return 0, false
}

func exactUint(v any) (uint64, bool) {
	if n, ok := v.(uint64); ok {
		return n, true
	}
	n, ok := exactInt(v)
	return uint64(n), ok && n >= 0
}

// exactFloat also accepts a BigInt that a float64 can hold.
func exactFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case int64:
		f := float64(v)
		return f, f < 1<<63 && int64(f) == v
	case uint64:
		f := float64(v)
		return f, f < 1<<64 && uint64(f) == v
	case BigInt:
		n, ok := exactInt(v)
		return float64(n), ok
	}
	return 0, false
}

func (c *codec) unmarshal(text string, to reflect.Value) *valueErr {
	if err := to.Addr().Interface().(textUnmarshaler).UnmarshalText([]byte(text)); err != nil {
		return &valueErr{what: "a string does not fit Go's " + c.t.String(), cause: err}
	}
	return nil
}

// decodeDigits stores a number in a type of decimal digits.
func (c *codec) decodeDigits(value any, to reflect.Value) *valueErr {
	text := ""
	switch v := value.(type) {
	case BigInt:
		text = string(v)
	case int64:
		text = strconv.FormatInt(v, 10)
	case uint64:
		text = strconv.FormatUint(v, 10)
	case float64:
		if n, ok := exactInt(v); ok {
			text = strconv.FormatInt(n, 10)
		} else if c.form == formNumber && v == v && !math.IsInf(v, 0) {
			text = formatFloat(v, 64)
		}
	}
	switch {
	case text == "":
		return doesNotFit(value, c)
	case c.form == formBigInt:
		return c.unmarshal(text, to)
	}
	to.SetString(text)
	return nil
}

// pointer stores a value in the variable that a pointer leads to, as
// encoding/json does.
func (d *valueDecoder) pointer(c *codec, value any, to reflect.Value) *valueErr {
	if d.pointers++; d.pointers > maxPointers {
		return refused("Go's " + c.t.String() + " is a pointer that leads to itself")
	}
	if to.IsNil() {
		to.Set(reflect.New(c.t.Elem()))
	}
	err := d.value(c.elem, value, to.Elem())
	d.pointers--
	return err
}

// any stores a value in an interface, or in the variable that a pointer in it
// leads to.
func (d *valueDecoder) any(c *codec, value any, to reflect.Value) *valueErr {
	if !to.IsNil() && to.Elem().Kind() == reflect.Pointer && !to.Elem().IsNil() {
		p := to.Elem()
		if d.pointers++; d.pointers > maxPointers {
			return refused("Go's " + c.t.String() + " leads to itself")
		}
		err := d.value(codecOf(p.Type().Elem()), value, p.Elem())
		d.pointers--
		return err
	}
	if err := checkForeign(value, d.depth); err != nil {
		return err
	}
	v := reflect.ValueOf(value)
	if !v.Type().AssignableTo(c.t) {
		return doesNotFit(value, c)
	}
	to.Set(v)
	return nil
}

func (d *valueDecoder) elements(c *codec, value any, to reflect.Value) *valueErr {
	switch v := value.(type) {
	case []any:
		return d.list(c, v, to)
	case []byte:
		if to.Kind() == reflect.Array && c.elem.form == formUint &&
			c.t.Elem().Kind() == reflect.Uint8 && to.Len() == len(v) {
			for i, b := range v {
				to.Index(i).SetUint(uint64(b))
			}
			return nil
		}
	}
	return doesNotFit(value, c)
}

func (d *valueDecoder) list(c *codec, list []any, to reflect.Value) *valueErr {
	if err := d.enter(); err != nil {
		return err
	}
	if to.Kind() == reflect.Slice {
		to.Set(reflect.MakeSlice(c.t, len(list), len(list)))
	} else if to.Len() != len(list) {
		return refused("an array of " + strconv.Itoa(len(list)) + " does not fit Go's " +
			c.t.String() + " unchanged")
	}
	for i, x := range list {
		if err := d.element(c.elem, x, to.Index(i)); err != nil {
			return err.at(indexStep(i))
		}
	}
	d.depth--
	return nil
}

func (d *valueDecoder) element(c *codec, value any, to reflect.Value) *valueErr {
	if value == nil {
		return d.null(c, to)
	}
	return d.value(c, value, to)
}

func (d *valueDecoder) entries(c *codec, m map[string]any, to reflect.Value) *valueErr {
	if err := d.enter(); err != nil {
		return err
	}
	if to.IsNil() {
		to.Set(reflect.MakeMapWithSize(c.t, len(m)))
	}
	before := to.Len()
	element, key := reflect.New(c.t.Elem()).Elem(), reflect.New(c.t.Key()).Elem()
	for k, x := range m {
		element.SetZero()
		key.SetZero()
		if err := c.key.setKey(k, key); err != nil {
			return err.at(keyStep)
		}
		if err := d.element(c.elem, x, element); err != nil {
			return err.at(keyStep)
		}
		to.SetMapIndex(key, element)
	}
	if before == 0 && to.Len() < len(m) {
		return refused("two properties have the same key in Go's " + c.t.String())
	}
	d.depth--
	return nil
}

// setKey makes a map's key of a property's name.
func (c *codec) setKey(name string, to reflect.Value) *valueErr {
	switch {
	case to.Kind() == reflect.String:
		to.SetString(name)
		return nil
	case c.unmarshals:
		return c.unmarshal(name, to)
	case c.form == formInt:
		if n, err := strconv.ParseInt(name, 10, 64); err == nil && !to.OverflowInt(n) {
			to.SetInt(n)
			return nil
		}
	case c.form == formUint:
		if n, err := strconv.ParseUint(name, 10, 64); err == nil && !to.OverflowUint(n) {
			to.SetUint(n)
			return nil
		}
	}
	return refused("the name of a property does not fit Go's " + c.t.String() + " unchanged")
}

// fields stores properties in the fields of the same name. It stores the other
// properties in fields whose name differs only in case.
func (d *valueDecoder) fields(c *codec, m map[string]any, to reflect.Value) *valueErr {
	if err := d.enter(); err != nil {
		return err
	}
	matched := 0
	for i := range c.fields {
		f := &c.fields[i]
		x, ok := m[f.name]
		if !ok {
			continue
		}
		matched++
		if err := d.field(f, x, to); err != nil {
			return err.at("." + f.name)
		}
	}
	if matched < len(m) && len(c.fields) > 0 {
		if err := d.foldedFields(c, m, to); err != nil {
			return err
		}
	}
	d.depth--
	return nil
}

func (d *valueDecoder) foldedFields(c *codec, m map[string]any, to reflect.Value) *valueErr {
	for i := range c.fields {
		f := &c.fields[i]
		if _, isExact := m[f.name]; isExact {
			continue
		}
		found := ""
		for name := range m {
			if len(name) < 4*len(f.name) && strings.EqualFold(name, f.name) && !c.has(name, i) {
				if found != "" {
					return refused("two properties differ from the name of a field of Go's " +
						c.t.String() + " in case only").at("." + f.name)
				}
				found = name
			}
		}
		if found == "" {
			continue
		}
		if err := d.field(f, m[found], to); err != nil {
			return err.at("." + f.name)
		}
	}
	return nil
}

// has reports whether a property belongs to another field: one with exactly
// that name, or an earlier one that differs only in case.
func (c *codec) has(name string, besides int) bool {
	for i := range c.fields {
		f := &c.fields[i]
		if i != besides && (f.name == name || i < besides && strings.EqualFold(f.name, name)) {
			return true
		}
	}
	return false
}

func (d *valueDecoder) field(f *field, value any, to reflect.Value) *valueErr {
	for i, n := range f.index {
		if i > 0 && to.Kind() == reflect.Pointer {
			if to.IsNil() && !to.CanSet() {
				return refused("an embedded pointer to Go's unexported " +
					to.Type().Elem().String() + " is nil, and cannot be set")
			}
			if to.IsNil() {
				to.Set(reflect.New(to.Type().Elem()))
			}
			to = to.Elem()
		}
		to = to.Field(n)
	}
	if value == nil {
		switch to.Kind() {
		case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
			to.SetZero()
		}
		return nil
	}
	if f.quoted {
		return d.unquote(f.codec, value, to)
	}
	return d.value(f.codec, value, to)
}

// unquote implements the tag's option string.
func (d *valueDecoder) unquote(c *codec, value any, to reflect.Value) *valueErr {
	s, ok := value.(string)
	if !ok {
		return refused(jsType(value) + " does not fit Go's " + c.t.String() +
			" with the option string unchanged")
	}
	var v any
	var err error
	scalar := c
	if c.form == formPointer {
		scalar = c.elem
	}
	switch scalar.form {
	case formBool:
		v, err = strconv.ParseBool(s)
		if s != "true" && s != "false" {
			err = strconv.ErrSyntax
		}
	case formFloat:
		bits := scalar.t.Bits()
		v, err = strconv.ParseFloat(s, bits)
	default:
		v, err = parseInteger(s)
	}
	if err != nil {
		return refused("a string does not fit Go's " + c.t.String() +
			" with the option string unchanged")
	}
	return d.value(c, v, to)
}

func parseInteger(s string) (any, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err
}

// checkForeign refuses values that stayed in JavaScript, and errors among
// values.
func checkForeign(v any, depth int) *valueErr {
	if depth > maxNesting {
		return refused("a value that is nested more than 500 deep, or contains itself")
	}
	switch v := v.(type) {
	case *jsrt.Ref, *jsrt.Error:
		return refused(jsType(v) + " has no equivalent in Go")
	case []any:
		for i, e := range v {
			if err := checkForeign(e, depth+1); err != nil {
				return err.at(indexStep(i))
			}
		}
	case map[string]any:
		for _, e := range v {
			if err := checkForeign(e, depth+1); err != nil {
				return err.at(keyStep)
			}
		}
	}
	return nil
}

// checkValue is checkForeign for a value before its conversion.
func checkValue(v any) error {
	if err := checkForeign(v, 0); err != nil {
		return err
	}
	return nil
}

// jsType names a value as JavaScript does.
func jsType(v any) string {
	switch v := v.(type) {
	case bool:
		return "a boolean"
	case float64:
		return "a number"
	case int64, uint64, BigInt:
		return "a BigInt"
	case string:
		return "a string"
	case []byte:
		return "a Uint8Array"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	case time.Time:
		return "a Date"
	case *jsrt.Error:
		return "a JavaScript Error"
	case *jsrt.Ref:
		if name, err := v.Context().Host().Call("nameOf", v); err == nil {
			if name, ok := name.(string); ok {
				return name
			}
		}
	}
	return "a value of type " + typeName(v)
}
