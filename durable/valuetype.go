package durable

import (
	"context"
	"reflect"
	"sync/atomic"
	"time"

	"flow.internal/capdo/internal/jsrt"
)

// BigInt is a JavaScript BigInt in decimal digits. An any holds a BigInt if
// neither int64 nor uint64 would become the same BigInt again: within
// ±(2^53-1), where those become numbers, and beyond 64 bits. A BigInt of any
// size becomes a JavaScript BigInt. [Decode] stores one in any integer type
// that holds it, and in a math/big.Int.
type BigInt = jsrt.BigInt

// form is how values of a type are written.
type form uint8

const (
	formRefused form = iota
	formBool
	formInt
	formUint
	formFloat
	formString
	formBytes
	formTime
	formBigInt  // math/big.Int
	formDigits  // BigInt
	formNumber  // encoding/json.Number
	formText    // by MarshalText and UnmarshalText
	formPointer // to elem
	formInterface
	formList
	formMap
	formStruct
)

// codec says how values of one type are converted. It is made once for a type.
type codec struct {
	t                  reflect.Type
	form               form
	noEncode, noDecode string // why not; "" where it is possible
	elem, key          *codec
	fields             []field // of a struct
	// formText: if MarshalText is promoted from an embedded field of a struct
	// with other fields, 1 + the index of that field
	promoted             int
	marshals, unmarshals bool        // has MarshalText, UnmarshalText
	encodes, decodes     atomic.Bool // check has found nothing
}

type (
	textMarshaler   interface{ MarshalText() ([]byte, error) }
	textUnmarshaler interface{ UnmarshalText([]byte) error }
	jsonMarshaler   interface{ MarshalJSON() ([]byte, error) }
	jsonUnmarshaler interface{ UnmarshalJSON([]byte) error }
)

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// codecs has a codec for each type seen so far. The map is replaced, never
// changed: the function of a synchronous transaction must not wait, so it
// cannot take a lock.
var codecs atomic.Pointer[map[reflect.Type]*codec]

func codecOf(t reflect.Type) *codec {
	known := codecs.Load()
	if known != nil {
		if c := (*known)[t]; c != nil {
			return c
		}
	}
	b := codecBuilder{}
	c := b.codec(t)
	for !codecs.CompareAndSwap(known, b.with(known)) {
		known = codecs.Load()
	}
	return c
}

// codecBuilder has the unfinished codecs, because a type may contain itself.
type codecBuilder map[reflect.Type]*codec

func (b codecBuilder) with(known *map[reflect.Type]*codec) *map[reflect.Type]*codec {
	all := make(map[reflect.Type]*codec, len(b))
	if known != nil {
		for t, c := range *known {
			all[t] = c
		}
	}
	for t, c := range b {
		all[t] = c
	}
	return &all
}

func (b codecBuilder) codec(t reflect.Type) *codec {
	if c := b[t]; c != nil {
		return c
	}
	c := &codec{t: t}
	b[t] = c
	if !b.byMethods(c) {
		b.byKind(c)
	}
	return c
}

func isNamed(t reflect.Type, path, name string) bool {
	return t.Name() == name && t.PkgPath() == path
}

// byMethods makes the codec of a type that converts itself, or that is known by
// its name. It reports whether t is one.
func (b codecBuilder) byMethods(c *codec) bool {
	t := c.t
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface { // what is behind it decides
		return false
	}
	p := reflect.PointerTo(t)
	c.marshals, c.unmarshals = p.Implements(reflect.TypeFor[textMarshaler]()),
		p.Implements(reflect.TypeFor[textUnmarshaler]())
	marshalsJSON, unmarshalsJSON := p.Implements(reflect.TypeFor[jsonMarshaler]()),
		p.Implements(reflect.TypeFor[jsonUnmarshaler]())
	switch {
	case t == timeType:
		c.form = formTime
	case t == reflect.TypeFor[BigInt]():
		c.form = formDigits
	case isNamed(t, "math/big", "Int"):
		c.form = formBigInt
	case isNamed(t, "encoding/json", "Number"):
		c.form = formNumber
	case c.marshals || c.unmarshals || marshalsJSON || unmarshalsJSON:
		c.form = formText
		c.promoted = promotes(t)
		if !c.marshals {
			c.noEncode = noText(marshalsJSON, "MarshalJSON", "UnmarshalText", "MarshalText")
		}
		if !c.unmarshals {
			c.noDecode = noText(unmarshalsJSON, "UnmarshalJSON", "MarshalText", "UnmarshalText")
		}
	case isTime(t):
		c.form = formTime
	default:
		return false
	}
	return true
}

// isTime reports whether t is time.Time or based on it.
func isTime(t reflect.Type) bool {
	if t.Kind() != reflect.Struct || t.NumField() != timeType.NumField() {
		return false
	}
	for i := range t.NumField() {
		if f, g := t.Field(i), timeType.Field(i); f.Name != g.Name || f.PkgPath != g.PkgPath ||
			f.Type != g.Type {
			return false
		}
	}
	return true
}

// timeBehind returns the time of a value whose type is based on time.Time.
func timeBehind(p reflect.Value) *time.Time { return (*time.Time)(p.UnsafePointer()) }

func noText(isJSON bool, jsonMethod, has, lacks string) string {
	if isJSON {
		has = jsonMethod
	}
	return " has " + has + " and no " + lacks + "; hint: give it " + lacks
}

// promotes returns 1 + the index of the embedded field that t may have
// MarshalText from, if t has other fields, which would be lost.
func promotes(t reflect.Type) (promoted int) {
	if t.Kind() != reflect.Struct {
		return 0
	}
	others := 0
	for i := range t.NumField() {
		f := t.Field(i)
		switch {
		case f.Anonymous && promoted == 0 &&
			(f.Type.Implements(reflect.TypeFor[textMarshaler]()) ||
				reflect.PointerTo(f.Type).Implements(reflect.TypeFor[textMarshaler]())):
			promoted = i + 1
		case (f.IsExported() || f.Anonymous) && f.Tag.Get("json") != "-":
			others++
		}
	}
	if others == 0 {
		return 0
	}
	return promoted
}

func (b codecBuilder) byKind(c *codec) {
	t := c.t
	switch t.Kind() {
	case reflect.Bool:
		c.form = formBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		c.form = formInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		c.form = formUint
	case reflect.Float32, reflect.Float64:
		c.form = formFloat
	case reflect.String:
		c.form = formString
	case reflect.Interface:
		c.form = formInterface
	case reflect.Pointer:
		c.form, c.elem = formPointer, b.codec(t.Elem())
	case reflect.Slice, reflect.Array:
		c.form, c.elem = formList, b.codec(t.Elem())
		if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 &&
			c.elem.form == formUint {
			c.form = formBytes
		}
	case reflect.Map:
		c.form, c.elem, c.key = formMap, b.codec(t.Elem()), b.codec(t.Key())
		if !isKey(t.Key(), c.key) {
			c.refuse(" has keys that are neither text nor integers")
		}
	case reflect.Struct:
		c.form = formStruct
		b.structFields(c)
	default:
		c.refuse(" has no equivalent in JavaScript")
	}
}

func (c *codec) refuse(why string) { c.noEncode, c.noDecode = why, why }

// isKey reports whether t can be a map's key: text, an integer, or a type with
// MarshalText.
func isKey(t reflect.Type, c *codec) bool {
	return t.Kind() == reflect.String || c.marshals || c.form == formInt || c.form == formUint
}

// check returns why no value of a type can be converted, or nil. It cannot look
// behind interfaces.
func (c *codec) check(decoding bool) error {
	known := &c.encodes
	if decoding {
		known = &c.decodes
	}
	if known.Load() {
		return nil
	}
	if err := c.find(decoding, map[*codec]bool{}); err != nil {
		return err
	}
	known.Store(true)
	return nil
}

func (c *codec) find(decoding bool, seen map[*codec]bool) *valueErr {
	if seen[c] {
		return nil
	}
	seen[c] = true
	why := c.noEncode
	if decoding {
		why = c.noDecode
	}
	if why != "" {
		return refused("Go's " + c.t.String() + why)
	}
	for i := range c.fields {
		f := &c.fields[i]
		if err := f.codec.find(decoding, seen); err != nil {
			return err.at("." + f.name)
		}
	}
	if c.key != nil && c.key.form == formText && c.key.t.Kind() != reflect.String {
		if err := c.key.find(decoding, seen); err != nil {
			return err.at("[key]")
		}
	}
	if c.elem == nil {
		return nil
	}
	err := c.elem.find(decoding, seen)
	if err != nil && c.form != formPointer {
		return err.at("[]")
	}
	return err
}
