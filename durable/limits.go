package durable

import (
	"errors"
	"time"
	"unicode/utf8"

	"flow.internal/capdo/internal/jsrt"
)

// Limits of the platform, in bytes unless another unit is given. The library
// refuses a call with a [*LimitError] before it is sent, because local workerd
// accepts more. docs/limits.md lists these limits and those of accounts and
// plans. Unless another source is named, the source is (read 2026-11):
//
// https://developers.cloudflare.com/durable-objects/platform/limits/
const (
	// MaxKeyValueSize is the largest key and value together, in an object
	// backed by SQLite: "2 MB". This is read as 2,000,000 bytes, as on
	// https://developers.cloudflare.com/d1/platform/limits/, because the
	// platform's megabytes are decimal wherever it defines them.
	MaxKeyValueSize = 2_000_000
	// MaxKeySizeKV is the largest key, in an object backed by key-value
	// storage: 2 KiB.
	MaxKeySizeKV = 2 << 10
	// MaxValueSizeKV is the largest value, in an object backed by key-value
	// storage: 128 KiB.
	MaxValueSizeKV = 128 << 10
	// MaxEntries is the largest number of keys or entries in one call of
	// GetMany, PutMany or DeleteMany.
	// https://developers.cloudflare.com/durable-objects/api/sqlite-storage-api/
	// (2026-11)
	MaxEntries = 128
)

// Limits of ids and calls.
const (
	// MaxNameSize is the longest name that an object finds in its own
	// [ID.Name]. A longer name still leads to its object.
	// https://developers.cloudflare.com/changelog/post/2026-03-15-durable-object-id-name/
	MaxNameSize = 1 << 10
	// MaxRPCSize is the largest size of an RPC call's arguments, and of its
	// result, serialized: 32 MiB. Serialization adds 20 bytes to the bytes
	// given to [Stub.Call], and 15 to those returned (workerd 2026-11-17,
	// which enforces it).
	// https://developers.cloudflare.com/workers/runtime-apis/rpc/ (2026-11)
	MaxRPCSize = 32 << 20
)

// backend is the kind of an object's storage. It is looked up on first use.
type backend struct {
	storage  *jsrt.Ref
	isKnown  bool
	isSQLite bool
}

// isKV reports whether the storage lacks SQLite. It asks for SQL's database
// size. If that fails with another error, the actual operation will fail with
// it too.
func (b *backend) isKV() bool {
	if b == nil { // of a Storage that is no object's
		return false
	}
	if !b.isKnown {
		v, err := b.storage.Get("sql")
		if sql, ok := v.(*jsrt.Ref); ok {
			_, err = sql.Get("databaseSize")
			sql.Release()
		}
		b.isSQLite = !errors.Is(classify(err), ErrNoSQL)
		b.isKnown = err == nil || !b.isSQLite
	}
	return !b.isSQLite
}

func (b *backend) checkKeys(keys ...string) error {
	if len(keys) > MaxEntries {
		return &LimitError{Limit: "keys in one call", Max: MaxEntries, Actual: len(keys)}
	}
	for _, key := range keys {
		if err := b.checkKey(key); err != nil {
			return err
		}
	}
	return nil
}

func (b *backend) checkKey(key string) error {
	if err := checkKeyText(key); err != nil {
		return err
	}
	if len(key) > MaxKeySizeKV && b.isKV() {
		return &LimitError{Limit: "size of a key, in bytes", Max: MaxKeySizeKV, Actual: len(key)}
	}
	return nil
}

func checkKeyText(key string) error {
	if !utf8.ValidString(key) {
		return errKeyText
	}
	return checkPairSize(len(key))
}

// entry returns a value as it is stored under key.
func (b *backend) entry(key string, value any) (any, error) {
	value, err := Encode(value)
	if err == nil {
		err = b.checkEntry(key, value)
	}
	if err != nil {
		return nil, in("value", err)
	}
	return value, nil
}

func (b *backend) checkEntry(key string, value any) error {
	if err := b.checkKey(key); err != nil {
		return err
	}
	return b.checkSize(key, valueSize(value))
}

// checkSize checks a key with a value of n bytes.
func (b *backend) checkSize(key string, n int) error {
	if n > MaxValueSizeKV && b.isKV() {
		return &LimitError{Limit: "size of a value, in bytes", Max: MaxValueSizeKV, Actual: n}
	}
	return checkPairSize(len(key) + n)
}

func checkPairSize(n int) error {
	if n > MaxKeyValueSize {
		return &LimitError{Limit: "size of a key and its value, in bytes",
			Max: MaxKeyValueSize, Actual: n}
	}
	return nil
}

const fineTime = "a time with fractions of a millisecond would change when stored; " +
	"use Truncate(time.Millisecond)"

var errKeyText = wrappedError("durable: "+badText+" (key)", ErrValue)

func wrappedError(text string, kind error) error { return &wrapped{text, kind} }

// valueSize measures a value that Encode returned as structured clone stores
// it, because the limit counts that. A string takes one byte for each character
// if all are below U+0100, otherwise two for each UTF-16 unit. valueSize counts
// only the content of the outermost value; the dozen bytes that serialization
// adds are within the slack of 34 bytes that Cloudflare allows
// (ENFORCED_MAX_VALUE_SIZE in workerd's actor-storage.h). Values inside another
// are measured as V8 writes them (value-serializer.cc): a tag, lengths of 7
// bits a byte, the content.
func valueSize(v any) (n int) {
	switch v := v.(type) {
	case string:
		return stringSize(v)
	case []byte:
		return len(v)
	case []any:
		return elementsSize(v)
	case map[string]any:
		for k, e := range v {
			n += innerSize(k) + innerSize(e)
			if isNumber(e) { // a field that was ever a fraction stays one
				n += fractionSize - innerSize(e)
			}
		}
	default:
		return max(1, innerSize(v)-1) // without the tag
	}
	return n
}

// elementsSize measures a list. If one number is not a small integer, V8 may
// store all numbers as fractions.
func elementsSize(list []any) (n int) {
	hasFraction := false
	for _, e := range list {
		size := innerSize(e)
		hasFraction = hasFraction || size == fractionSize && isNumber(e)
		n += size
	}
	if !hasFraction {
		return n
	}
	for _, e := range list {
		if isNumber(e) {
			n += fractionSize - innerSize(e)
		}
	}
	return n
}

// fractionSize is the size of a number that is not a small integer: a tag and
// eight bytes.
const fractionSize = 1 + 8

func isNumber(v any) bool {
	switch v := v.(type) {
	case float64:
		return true
	case int64:
		return v <= maxSafeInteger && v >= -maxSafeInteger
	}
	return false
}

// innerSize measures a value inside another.
func innerSize(v any) int {
	switch v := v.(type) {
	case nil, bool:
		return 1
	case float64:
		return numberSize(v)
	case int64:
		if v > maxSafeInteger || v < -maxSafeInteger {
			return bigIntSize(8)
		}
		return numberSize(float64(v))
	case uint64:
		return bigIntSize(8)
	case BigInt:
		return bigIntSize((len(v)*10/3/64 + 1) * 8) // 10 bits are 3 digits at least
	case time.Time:
		return 1 + 8
	case string:
		n := stringSize(v)
		if n > utf8.RuneCountInString(v) { // two bytes each, which may be aligned
			n++
		}
		return 1 + lengthSize(n) + n
	case []byte:
		return 1 + lengthSize(len(v)) + len(v) + 1 + 1 + 1 + lengthSize(len(v)) + 1
	case []any:
		return 1 + lengthSize(len(v)) + valueSize(v) + 1 + 1 + lengthSize(len(v))
	case map[string]any:
		return 1 + valueSize(v) + 1 + lengthSize(len(v))
	}
	return 8
}

const maxSafeInteger = 1<<53 - 1

// numberSize returns the size of a number. A small integer takes a tag, and
// 2|n| at 7 bits a byte. Any other number takes a tag and eight bytes.
func numberSize(f float64) int {
	if n := int32(f); float64(n) == f && n >= -1<<30 && n < 1<<30 {
		return 1 + lengthSize(int(uint32(n)<<1^uint32(n>>31)))
	}
	return fractionSize
}

func bigIntSize(digits int) int { return 1 + lengthSize(digits<<1) + digits }

// lengthSize returns how many bytes a number takes at 7 bits a byte.
func lengthSize(n int) (size int) {
	for size = 1; n >= 1<<7; n >>= 7 {
		size++
	}
	return size
}

func stringSize(s string) int {
	if n := utf8.RuneCountInString(s); n == len(s) {
		return n
	}
	units, width := 0, 1
	for _, r := range s {
		units++
		if r > 0xFF {
			width = 2
		}
		if r > 0xFFFF {
			units++
		}
	}
	return units * width
}

// Bounds of [RetryOptions].
const (
	MaxRetries      = 10
	MinRetryTimeout = 500 * time.Millisecond
	MaxRetryTimeout = 60 * time.Second
)

// Limits of SQL. The library enforces the first three before a statement runs.
// SQLite enforces the rest, with a [*SQLError] that matches [ErrLimit]. It also
// limits the size of a row to [MaxSQLValueSize]. But local workerd (1.20261117)
// lets rows, and values that SQL itself makes, grow to about 8 MB, and
// functions have 127 arguments. The source is (read 2026-11):
//
// https://developers.cloudflare.com/durable-objects/platform/limits/#sql-storage-limits
const (
	// MaxSQLLength is the longest query, in bytes: all statements of one
	// Exec, with comments and with the text that Exec adds to integer
	// parameters.
	MaxSQLLength = 100_000
	// MaxSQLParameters is how many parameters one statement can have.
	MaxSQLParameters = 100
	// MaxSQLValueSize is the largest string or BLOB, in bytes.
	MaxSQLValueSize = 2_000_000
	// MaxSQLColumns is how many columns a table, or a result, can have.
	MaxSQLColumns = 100
	// MaxSQLPatternSize is the longest pattern of LIKE and GLOB, in bytes.
	MaxSQLPatternSize = 50
	// MaxSQLFunctionArguments is how many arguments a SQL function can
	// have.
	MaxSQLFunctionArguments = 32
)

// Limits of WebSockets. workerd enforces the first two. The library enforces
// the others before a call. The sources are RFC 6455 and these pages:
//
//   - https://developers.cloudflare.com/durable-objects/api/state/#acceptwebsocket
//     and the methods after it
//   - https://developers.cloudflare.com/workers/platform/limits/#websockets
const (
	// MaxWebSocketMessage is the largest message that is received, in
	// bytes. A longer one closes the socket with code 1009.
	MaxWebSocketMessage = 32 << 20
	// MaxWebSocketAttachment is the largest attachment, in bytes as V8
	// serializes it; see [WebSocket.SetAttachment].
	MaxWebSocketAttachment = 16 << 10
	// MaxWebSocketTags is how many tags a socket can have.
	MaxWebSocketTags = 10
	// MaxWebSocketTagLength is the longest tag, in bytes.
	MaxWebSocketTagLength = 256
	// MaxWebSocketAutoResponse is the longest request, and response, of an
	// automatic response, in bytes each.
	MaxWebSocketAutoResponse = 2 << 10
	// MaxWebSocketCloseReason is the longest reason for closing, in bytes.
	MaxWebSocketCloseReason = 123
	// MaxWebSocketEventTimeout is the longest time that a handler can be
	// given.
	MaxWebSocketEventTimeout = 7 * 24 * time.Hour
	// MaxWebSocketBacklog is how many bytes of messages a [Conn] keeps
	// unread, plus 600 bytes for each message. This library sets the limit.
	// A single message may exceed it, if the isolate has room.
	MaxWebSocketBacklog = 32 << 20
	// MaxWebSocketBacklogs is how many bytes all of an isolate's
	// connections keep unread, of the 128 MB that an isolate has. This
	// library sets the limit.
	MaxWebSocketBacklogs = 48 << 20
	// MaxWebSocketUnsent is how many bytes of a socket's messages may wait
	// for the network before Send refuses another one. This library sets
	// the limit.
	MaxWebSocketUnsent = 4 << 20
)
