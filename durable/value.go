package durable

import (
	"reflect"
	"strconv"
	"strings"
)

// Encode converts a Go value to one that JavaScript has. [KV], RPC and
// attachments call it themselves. It returns nil, a bool, a float64, an int64
// or a uint64 (which become a BigInt beyond ±(2^53-1)), a [BigInt], a string, a
// []byte, a time.Time, a []any or a map[string]any. The result may share memory
// with v.
//
// Structs become objects by the rules of encoding/json: its tags and their
// options, its rules for embedded structs, nil slices and maps as null. Types
// with MarshalText become text; a time.Time, or a type based on it, becomes a
// Date; a math/big.Int becomes a number or a BigInt; and []byte becomes a
// Uint8Array.
//
// Encode refuses values that have no equivalent in JavaScript or would change,
// with [ErrValue]: text that is not UTF-8, a time with fractions of a
// millisecond, a struct whose state is in unexported fields, a type with
// MarshalJSON and no MarshalText, a value that contains itself or is nested
// more than 500 deep. The error names the type and the place. docs/objects.md
// lists the differences from encoding/json.
func Encode(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, float64:
		return v, nil
	case []byte:
		if v == nil {
			return nil, nil
		}
		return v, nil
	}
	var e valueEncoder
	out, _, err := e.any(v)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Decode stores a value from [KV] or RPC in the variable that dest points to.
// It accepts the values that [Encode] makes from that type. Its rules are those
// of encoding/json: it ignores properties without a field. It matches names
// exactly, or else in any case. null leaves a field as it is, or makes it nil.
// Maps and pointers keep the parts that the value does not mention.
//
// Decode refuses a value that does not fit exactly with [ErrValue], and names
// the place. It also refuses null as the whole value, or in a list or map, if
// the type has no nil. After an error dest may hold part of the value. Decode
// panics if dest is not a pointer, never because of the value.
func Decode(value, dest any) error {
	p := reflect.ValueOf(dest)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		panic("durable: Decode needs a pointer")
	}
	to := p.Elem()
	c := codecOf(to.Type())
	var d valueDecoder
	var err *valueErr
	if value == nil {
		err = d.null(c, to)
	} else {
		err = d.value(c, value, to)
	}
	if err != nil {
		return err
	}
	return nil
}

// maxNesting and maxValues limit the values that are converted. internal/jsrt
// and the JavaScript half have the same limits.
const (
	maxNesting = 500
	maxValues  = 1 << 21
)

// valueErr is a refusal. It matches [ErrValue].
type valueErr struct {
	what  string
	where string   // such as: argument 1
	path  []string // from the inside out
	cause error    // of a type's own method; its text may quote the value, so only Unwrap tells
}

func refused(what string) *valueErr { return &valueErr{what: what} }

func doesNotFit(value any, c *codec) *valueErr {
	return refused(jsType(value) + " does not fit Go's " + c.t.String() + " unchanged")
}

func (e *valueErr) at(step string) *valueErr {
	e.path = append(e.path, step)
	return e
}

// in adds the place of the value that the error is about.
func in(where string, err error) error {
	if e, ok := err.(*valueErr); ok {
		e.where = where
	}
	return err
}

func (e *valueErr) Error() string {
	text := "durable: " + e.what
	path := ""
	for i := len(e.path) - 1; i >= 0 && len(path) < 200; i-- {
		path += e.path[i]
	}
	switch {
	case path != "" && e.where != "":
		text += " (" + e.where + ", at " + path + ")"
	case path != "":
		text += " (at " + path + ")"
	case e.where != "":
		text += " (" + e.where + ")"
	}
	return text
}

// Unwrap returns ErrValue, and the error of the type's own method.
func (e *valueErr) Unwrap() []error {
	if e.cause == nil {
		return []error{ErrValue}
	}
	return []error{ErrValue, e.cause}
}

// keyStep is the place of a value in a map, or in an object without a struct.
// The key is user data and must not be logged.
const keyStep = "[key]"

func indexStep(i int) string { return "[" + strconv.Itoa(i) + "]" }

// typeName names the type of a value in an any.
func typeName(v any) string {
	if v == nil {
		return "nil"
	}
	return strings.TrimPrefix(reflect.TypeOf(v).String(), "jsrt.")
}
