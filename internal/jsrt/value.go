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

// The tags of the encoding must match value.mjs.
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
	tagInt         // int32
	tagStringPlace // u32 address, u32 length: a string that stays in Go's memory
	tagBytesPlace  // u32 address, u32 length: bytes that stay in Go's memory
)

// maxSafeInteger is JavaScript's Number.MAX_SAFE_INTEGER. A JavaScript number
// represents all integers up to it exactly.
const maxSafeInteger = 1<<53 - 1

// pending is a promise that has not settled. Both sides identify it by this
// number.
type pending int32

// maxDepth limits how deep values may be nested, as in value.mjs. Each level
// takes stack, in Go and in JavaScript.
const maxDepth = 500

// maxDate is the largest distance of a JavaScript Date from 1970, in ms.
const maxDate = 8_640_000_000_000_000

var (
	errMalformed = errors.New(
		"jsrt: malformed value; app.wasm and the modules beside it come from different builds")
	errReleased = errors.New("the handle has been released")
)

// ErrValue matches the error of a refused value.
var ErrValue = errors.New("the value cannot be converted unchanged")

// refusal is the error for a value that the conversion would change.
type refusal string

func (r refusal) Error() string        { return "durable: " + string(r) }
func (r refusal) Is(target error) bool { return target == ErrValue }

const (
	errTooDeep refusal = "a value that is nested more than 500 deep, or contains itself"
	errChanged refusal = "a buffer of the value was resized or transferred before Go could read it"
	errDate    refusal = "a time that a JavaScript Date cannot represent"
	errText    refusal = "text that is not valid UTF-8 would change as a JavaScript string"
	errDigits  refusal = "a BigInt is not an integer in decimal digits"
	errType    refusal = "a Go value of this type cannot be passed to JavaScript"
)

// BigInt is a JavaScript BigInt in decimal digits, for values that no other Go
// type can represent. See package durable.
type BigInt string

// undefined is the outcome undefined, which differs from null; see
// [Ref.Lookup].
type undefined struct{}

// encode appends v's encoding to b, for a context to decode.
func encode(b []byte, c *Context, v any) ([]byte, error) { return encoder{c: c}.value(b, v, 0) }

// encodeInPlace is encode, but long strings and byte slices stay where they
// are. JavaScript has to decode the result while v is alive and nothing writes
// to its bytes.
func encodeInPlace(b []byte, c *Context, v any) ([]byte, error) {
	return encoder{c: c, inPlace: true}.value(b, v, 0)
}

// encoder encodes values for a context. It refuses references of other contexts
// at any depth, because their numbers mean other values there.
type encoder struct {
	c       *Context
	inPlace bool
}

// longInPlace is the length from which encodeInPlace leaves a value where it
// is, in bytes.
const longInPlace = 512

// value appends the encoding of a value that is nested depth deep. Integers
// outside ±(2^53-1) become BigInts, because a JavaScript number would change
// them.
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
	case uint64:
		if v > math.MaxInt64 {
			return appendString(append(b, tagBigInt), strconv.FormatUint(v, 10))
		}
		return appendInt(b, int64(v))
	case BigInt:
		if !v.isValid() {
			return b, errDigits
		}
		return appendString(append(b, tagBigInt), string(v))
	case float64:
		return appendNumber(b, v), nil
	case string:
		if e.inPlace && len(v) >= longInPlace {
			if !utf8.ValidString(v) {
				return b, errText
			}
			place := unsafe.Slice(unsafe.StringData(v), len(v))
			return appendPlace(append(b, tagStringPlace), place), nil
		}
		return appendString(append(b, tagString), v)
	case []byte:
		if e.inPlace && len(v) >= longInPlace {
			return appendPlace(append(b, tagBytesPlace), v), nil
		}
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
	return b, errType
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
	return appendNumber(b, float64(v)), nil
}

// appendNumber encodes small integers as integers. V8 stores them in a few
// bytes, and any other number in nine.
func appendNumber(b []byte, f float64) []byte {
	if n := int32(f); float64(n) == f && (n != 0 || !math.Signbit(f)) {
		return appendLen(append(b, tagInt), int(n))
	}
	return appendFloat(append(b, tagNumber), f)
}

func appendFloat(b []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(f))
}

// appendLen is not inlined, to keep the code small.
//
//go:noinline
func appendLen(b []byte, n int) []byte { return binary.LittleEndian.AppendUint32(b, uint32(n)) }

// appendPlace appends where v is. v has to be on the heap, because a stack may
// move.
func appendPlace(b []byte, v []byte) []byte {
	if heap.never {
		heap.v = v
	}
	return appendLen(appendLen(b, int(uintptr(unsafe.Pointer(&v[0])))), len(v))
}

// heap makes the compiler believe that what appendPlace gets is stored.
var heap struct {
	never bool
	v     []byte
}

func appendString(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return b, errText
	}
	return append(appendLen(b, len(s)), s...), nil
}

// decoder reads values. If alias is set, the byte slices that it returns alias
// its buffer.
type decoder struct {
	b     []byte
	c     *Context
	alias bool
	fresh bool // nobody else has the buffer, so a string may be a part of it
	brief bool // references get no cleanup and live as long as their context
	depth int
}

// outcome decodes the whole buffer. An encoded error becomes the returned
// error, and undefined stays distinct from null.
func outcome(d *decoder) (any, error) {
	if len(d.b) == 1 && d.b[0] == tagUndefined {
		return undefined{}, nil
	}
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
	case tagInt:
		n, err := d.len()
		return float64(int32(n)), err
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
		return bigInt(s)
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

// bigInt returns a Go value that converts back to the same BigInt: an int64 or
// a uint64 outside ±(2^53-1), otherwise a [BigInt].
func bigInt(digits string) (any, error) {
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		if n > maxSafeInteger || n < -maxSafeInteger {
			return n, nil
		}
		return BigInt(strconv.FormatInt(n, 10)), nil
	}
	if n, err := strconv.ParseUint(digits, 10, 64); err == nil {
		return n, nil
	}
	if !BigInt(digits).isValid() {
		return nil, errMalformed
	}
	return BigInt(digits), nil
}

func (b BigInt) isValid() bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	for i := range len(b) {
		if b[i] < '0' || b[i] > '9' {
			return false
		}
	}
	return len(b) > 0
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

// string copies the text, unless the text is most of a buffer that belongs to
// the value. In that case a copy would double the memory of a long text.
func (d *decoder) string() (string, error) {
	b, err := d.chunk()
	if d.fresh && len(b) >= longString && len(b) > len(d.b) {
		return unsafe.String(&b[0], len(b)), err
	}
	return string(b), err
}

const longString = 32 << 10

// count reads a count of values, each of which takes at least one byte.
func (d *decoder) count() (int, error) {
	n, err := d.len()
	if err == nil && n > len(d.b) {
		err = errMalformed
	}
	return n, err
}

// deeper reads the count of an array or object, and descends into it.
func (d *decoder) deeper() (n int, err error) {
	if n, err = d.count(); err != nil {
		return 0, err
	}
	if d.depth++; d.depth > maxDepth {
		return 0, errTooDeep
	}
	return n, nil
}

func (d *decoder) array() ([]any, error) {
	n, err := d.deeper()
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
	n, err := d.deeper()
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
