package jsrt

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
	"unsafe"
)

// Tags of the encoding; must match value.mjs.
const (
	tagUndefined = iota
	tagNull
	tagFalse
	tagTrue
	tagNumber // float64
	tagString // u32 length, UTF-8
	tagBytes  // u32 length, bytes
	tagArray  // u32 count, values
	tagObject // u32 count, (u32 length, UTF-8, value) each
	tagDate   // float64, ms since 1970
	tagBigInt // u32 length, decimal
	tagRef    // u32 index in the context's table
	tagError  // an object with name and message
	tagPending
)

// maxSafeInteger is the largest integer that every smaller one in magnitude is distinct from as a JavaScript number
// (Number.MAX_SAFE_INTEGER).
const maxSafeInteger = 1<<53 - 1

// pending is a promise that has not settled; its number names it on both sides.
type pending int32

// maxDepth is how deep values may be nested, as in value.mjs: each level takes
// stack, here and in JavaScript.
const maxDepth = 500

// maxDate is the last moment that a JavaScript Date can be, in ms before and after 1970.
const maxDate = 8_640_000_000_000_000

var (
	errMalformed = errors.New("jsrt: malformed value; app.wasm and the modules beside it come from different builds")
	errTooDeep   = errors.New("jsrt: a value that is nested more than " + strconv.Itoa(maxDepth) + " deep, or contains itself")
	errReleased  = errors.New("jsrt: the handle has been released")
	errChanged   = errors.New("jsrt: a buffer of the value was resized or transferred before Go could read it")
	errDate      = errors.New("jsrt: a time that a JavaScript Date cannot be")
)

// encode appends v's encoding to b, for a context to decode.
func encode(b []byte, c *Context, v any) ([]byte, error) { return encoder{c}.value(b, v, 0) }

// encoder appends values for a context. A reference of another one is refused,
// wherever it is: its number means another value there.
type encoder struct{ c *Context }

// value appends the encoding of a value that is nested depth deep. Integers
// outside ±(2^53-1) become BigInts: as numbers they would change.
func (e encoder) value(b []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, tagNull), nil
	case bool:
		if v {
			return append(b, tagTrue), nil
		}
		return append(b, tagFalse), nil
	case int:
		return appendInt(b, int64(v))
	case int32:
		return appendInt(b, int64(v))
	case int64:
		return appendInt(b, v)
	case float64:
		return appendFloat(append(b, tagNumber), v), nil
	case string:
		return appendString(append(b, tagString), v)
	case []byte:
		return append(appendLen(append(b, tagBytes), len(v)), v...), nil
	case time.Time:
		ms := v.UnixMilli()
		if ms > maxDate || ms < -maxDate {
			return b, errDate
		}
		return appendFloat(append(b, tagDate), float64(ms)), nil
	case *Ref:
		return e.ref(b, v)
	case []any:
		b = appendLen(append(b, tagArray), len(v))
		return e.list(b, v, depth+1)
	case map[string]any:
		return e.object(b, v, depth+1)
	case *Error:
		return e.object(append(b, tagError), v.fields(), depth+1)
	}
	return b, errors.New("jsrt: cannot pass a Go value of this type to JavaScript")
}

func (e encoder) ref(b []byte, r *Ref) ([]byte, error) {
	switch {
	case r == nil:
		return append(b, tagNull), nil
	case r.c != e.c:
		return b, ErrForeignHandle
	case r.index == released:
		return b, errReleased
	}
	return appendLen(append(b, tagRef), int(r.index)), nil
}

func (e encoder) list(b []byte, vs []any, depth int) (_ []byte, err error) {
	if depth > maxDepth {
		return b, errTooDeep
	}
	for _, v := range vs {
		if b, err = e.value(b, v, depth); err != nil {
			return b, err
		}
	}
	return b, nil
}

func (e encoder) object(b []byte, m map[string]any, depth int) (_ []byte, err error) {
	if depth > maxDepth {
		return b, errTooDeep
	}
	b = appendLen(append(b, tagObject), len(m))
	for k, v := range m {
		if b, err = appendString(b, k); err != nil {
			return b, err
		}
		if b, err = e.value(b, v, depth); err != nil {
			return b, err
		}
	}
	return b, nil
}

func appendInt(b []byte, v int64) ([]byte, error) {
	if v > maxSafeInteger || v < -maxSafeInteger {
		return appendString(append(b, tagBigInt), strconv.FormatInt(v, 10))
	}
	return appendFloat(append(b, tagNumber), float64(v)), nil
}

func appendFloat(b []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
}

func appendLen(b []byte, n int) []byte { return binary.LittleEndian.AppendUint32(b, uint32(n)) }

func appendString(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return b, errors.New("jsrt: a string that is not valid UTF-8 would change as a JavaScript string")
	}
	return append(appendLen(b, len(s)), s...), nil
}

// decoder reads values. Byte slices it returns alias its buffer when alias is
// set.
type decoder struct {
	b     []byte
	c     *Context
	alias bool
	brief bool // references live as long as their context
	depth int
}

// outcome decodes all that there is; an error is one, not a value.
func outcome(d *decoder) (any, error) {
	v, err := d.value()
	if err == nil && len(d.b) > 0 {
		err = errMalformed
	}
	if e, ok := v.(*Error); ok && err == nil {
		return nil, e
	}
	return v, err
}

func (d *decoder) value() (any, error) {
	tag, err := d.take(1)
	if err != nil {
		return nil, err
	}
	switch tag[0] {
	case tagUndefined, tagNull:
		return nil, nil
	case tagFalse:
		return false, nil
	case tagTrue:
		return true, nil
	case tagNumber:
		return d.float()
	case tagDate:
		ms, err := d.float()
		if err != nil {
			return nil, err
		}
		if !(ms >= -maxDate && ms <= maxDate) {
			return nil, errDate
		}
		return time.UnixMilli(int64(ms)), nil
	case tagString:
		return d.string()
	case tagBytes:
		b, err := d.chunk()
		if err != nil || d.alias {
			return b, err
		}
		return append(make([]byte, 0, len(b)), b...), nil
	case tagBigInt:
		s, err := d.string()
		if err != nil {
			return nil, err
		}
		return strconv.ParseInt(s, 10, 64)
	case tagArray:
		return d.array()
	case tagObject:
		return d.object()
	case tagRef:
		n, err := d.len()
		if d.brief {
			return &Ref{c: d.c, index: int32(n)}, err
		}
		return newRef(d.c, int32(n)), err
	case tagPending:
		n, err := d.len()
		return pending(n), err
	case tagError:
		v, err := d.value()
		fields, ok := v.(map[string]any)
		if err == nil && !ok {
			err = errMalformed
		}
		return newError(fields), err
	}
	return nil, errMalformed
}

func (d *decoder) take(n int) ([]byte, error) {
	if n < 0 || n > len(d.b) {
		return nil, errMalformed
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b, nil
}

func (d *decoder) len() (int, error) {
	b, err := d.take(4)
	if err != nil {
		return 0, err
	}
	return int(binary.LittleEndian.Uint32(b)), nil
}

func (d *decoder) float() (float64, error) {
	b, err := d.take(8)
	if err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
}

func (d *decoder) chunk() ([]byte, error) {
	n, err := d.len()
	if err != nil {
		return nil, err
	}
	return d.take(n)
}

// string copies, unless it is most of a buffer that belongs to the value: then
// a copy would double what a long text takes.
func (d *decoder) string() (string, error) {
	b, err := d.chunk()
	if d.alias && len(b) >= longString && len(b) > len(d.b) {
		return unsafe.String(&b[0], len(b)), err
	}
	return string(b), err
}

const longString = 32 << 10

// count reads a count of values, each of which takes a byte at least.
func (d *decoder) count() (int, error) {
	n, err := d.len()
	if err == nil && n > len(d.b) {
		err = errMalformed
	}
	return n, err
}

func (d *decoder) deeper() error {
	if d.depth++; d.depth > maxDepth {
		return errTooDeep
	}
	return nil
}

func (d *decoder) array() ([]any, error) {
	n, err := d.count()
	if err == nil {
		err = d.deeper()
	}
	if err != nil {
		return nil, err
	}
	defer func() { d.depth-- }()
	vs := make([]any, n)
	for i := range vs {
		if vs[i], err = d.value(); err != nil {
			return nil, err
		}
	}
	return vs, nil
}

func (d *decoder) object() (map[string]any, error) {
	n, err := d.count()
	if err == nil {
		err = d.deeper()
	}
	if err != nil {
		return nil, err
	}
	defer func() { d.depth-- }()
	m := make(map[string]any, n)
	for range n {
		k, err := d.string()
		if err != nil {
			return nil, err
		}
		if m[k], err = d.value(); err != nil {
			return nil, err
		}
	}
	return m, nil
}
