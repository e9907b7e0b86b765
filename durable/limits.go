package durable

import (
	"errors"
	"time"

	"flow.internal/capdo/internal/jsrt"
)

// Limits of the platform, in bytes where no other unit is given. Source, where none is named:
// https://developers.cloudflare.com/durable-objects/platform/limits/ (read 2026-11). What local workerd would accept is refused before the
// call, with a [*LimitError]. docs/limits.md has these and the ones of accounts and plans.
const (
	// MaxKeyValueSize is the largest key and value together, in an object backed by SQLite: "2 MB", which is read as 2,000,000 bytes as on
	// https://developers.cloudflare.com/d1/platform/limits/, because the platform's megabytes are decimal where it says what they are.
	MaxKeyValueSize = 2_000_000
	// MaxKeySizeKV is the largest key, in an object backed by key-value storage: 2 KiB.
	MaxKeySizeKV = 2 << 10
	// MaxValueSizeKV is the largest value, in an object backed by key-value storage: 128 KiB.
	MaxValueSizeKV = 128 << 10
	// MaxEntries is the largest number of keys or entries in one call of GetMany, PutMany or DeleteMany.
	// https://developers.cloudflare.com/durable-objects/api/sqlite-storage-api/ (2026-11)
	MaxEntries = 128
)

// Limits of ids and calls.
const (
	// MaxNameSize is the longest name that an object is told of its own, see [ID.Name]. Longer names lead to their object all the same.
	// https://developers.cloudflare.com/changelog/post/2026-03-15-durable-object-id-name/
	MaxNameSize = 1 << 10
	// MaxRPCSize is the largest size of an RPC call's arguments, and of its result, serialized: 32 MiB. Serialization adds 20 bytes to the
	// bytes given to [Stub.Call], and 15 to those returned (workerd 2026-11-17, which enforces it).
	// https://developers.cloudflare.com/workers/runtime-apis/rpc/ (2026-11)
	MaxRPCSize = 32 << 20
)

// backend says what an object's storage is backed by, once somebody asks.
type backend struct {
	storage  *jsrt.Ref
	isKnown  bool
	isSQLite bool
}

// isKV asks for what only SQLite has. (Local workerd hands out the property sql of others, too, and refuses its use.) Where another error
// comes, the operation that asks will meet it itself.
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
		return &LimitError{"keys in one call", MaxEntries, len(keys)}
	}
	for _, key := range keys {
		if err := b.checkKey(key); err != nil {
			return err
		}
	}
	return nil
}

func (b *backend) checkKey(key string) error {
	if len(key) > MaxKeySizeKV && b.isKV() {
		return &LimitError{"size of a key, in bytes", MaxKeySizeKV, len(key)}
	}
	return checkPairSize(len(key))
}

func (b *backend) checkEntry(key string, value any) error {
	if err := b.checkKey(key); err != nil {
		return err
	}
	n, err := valueSize(value)
	if err != nil {
		return err
	}
	if n > MaxValueSizeKV && b.isKV() {
		return &LimitError{"size of a value, in bytes", MaxValueSizeKV, n}
	}
	return checkPairSize(len(key) + n)
}

func checkPairSize(n int) error {
	if n > MaxKeyValueSize {
		return &LimitError{"size of a key and its value, in bytes", MaxKeyValueSize, n}
	}
	return nil
}

// errFineTime and errForeignValue refuse what would change on its way.
var (
	errFineTime     = wrappedError("durable: a time with fractions of a millisecond would change when stored; use Truncate(time.Millisecond)", ErrValue)
	errForeignValue = wrappedError("durable: the value is of a kind that Go has no equivalent for, such as a Map, a Set or an Error of JavaScript", ErrValue)
	errValueType    = wrappedError("durable: a Go value of this type cannot be stored; see durable.KV for those that can, and durable.Encode", ErrValue)
)

func wrappedError(text string, kind error) error { return &wrapped{text, kind} }

// valueSize measures a value as structured clone stores it, which is what is limited: a string takes one byte for each character when all
// are below U+0100, else two for each UTF-16 unit. Of a string or bytes it counts the content only, and leaves the dozen bytes that
// serialization adds to the slack that Cloudflare gives (34 bytes, ENFORCED_MAX_VALUE_SIZE in workerd's actor-storage.h). What is composed
// is measured from above: its parts, and the most that serialization adds to each.
func valueSize(v any) (n int, err error) {
	switch v := v.(type) {
	case string:
		return stringSize(v), nil
	case []byte:
		return len(v), nil
	case nil, bool:
		return 1, nil
	case int, int32, int64, float64:
		return 8, nil
	case time.Time:
		if v.Nanosecond()%int(time.Millisecond) != 0 {
			return 0, errFineTime
		}
		return 8, nil
	case []any:
		for _, e := range v {
			m, err := valueSize(e)
			if err != nil {
				return 0, err
			}
			n += m + framing(e)
		}
		return n, nil
	case map[string]any:
		for k, e := range v {
			m, err := valueSize(e)
			if err != nil {
				return 0, err
			}
			n += stringSize(k) + framing(k) + m + framing(e)
		}
		return n, nil
	}
	return 0, errValueType
}

func stringSize(s string) int {
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

// framing is the most that serialization adds to a value inside another.
func framing(v any) int {
	switch v.(type) {
	case nil, bool:
		return 0
	case float64, time.Time:
		return 1 // a tag
	case int, int32, int64:
		return 3 // a tag, and of a BigInt its sign and length
	case string:
		return 7 // a tag, a length, and one byte of alignment
	case []byte:
		return 15 // a buffer's tag and length, and a view's with its offset and flags
	}
	return 12 // the tags and lengths at both ends of an array or object
}

// checkValue refuses values that stayed in JavaScript, and errors among values.
func checkValue(v any) error {
	switch v := v.(type) {
	case *jsrt.Ref, *jsrt.Error:
		return errForeignValue
	case []any:
		for _, e := range v {
			if err := checkValue(e); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, e := range v {
			if err := checkValue(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// Bounds of [RetryOptions].
const (
	MaxRetries      = 10
	MinRetryTimeout = 500 * time.Millisecond
	MaxRetryTimeout = 60 * time.Second
)

// Limits of SQL. The first three are enforced before a statement runs. The rest are SQLite's to enforce, with a [*SQLError] that matches
// [ErrLimit]; so is the size of a row, which may not exceed [MaxSQLValueSize] either, but local workerd (1.20261117) lets rows and values
// that SQL itself makes grow to about 8 MB, and functions have 127 arguments.
// https://developers.cloudflare.com/durable-objects/platform/limits/#sql-storage-limits (2026-11)
const (
	// MaxSQLLength is the longest query, in bytes: all statements of one Exec, with comments and with what Exec adds to integer parameters.
	MaxSQLLength = 100_000
	// MaxSQLParameters is how many parameters one statement can have.
	MaxSQLParameters = 100
	// MaxSQLValueSize is the largest string or BLOB, in bytes.
	MaxSQLValueSize = 2_000_000
	// MaxSQLColumns is how many columns a table, or a result, can have.
	MaxSQLColumns = 100
	// MaxSQLPatternSize is the longest pattern of LIKE and GLOB, in bytes.
	MaxSQLPatternSize = 50
	// MaxSQLFunctionArguments is how many arguments a SQL function can have.
	MaxSQLFunctionArguments = 32
)

// Limits of WebSockets. Sources: https://developers.cloudflare.com/durable-objects/api/state/#acceptwebsocket and the methods after it,
// https://developers.cloudflare.com/workers/platform/limits/#websockets, and RFC 6455; enforced before a call, except for the first two,
// which are workerd's.
const (
	// MaxWebSocketMessage is the largest message that is received, in bytes; a longer one closes the socket with code 1009.
	MaxWebSocketMessage = 32 << 20
	// MaxWebSocketAttachment is the largest attachment, in bytes as V8 serializes it: what [WebSocket.SetAttachment] says.
	MaxWebSocketAttachment = 16 << 10
	// MaxWebSocketTags is how many tags a socket can have.
	MaxWebSocketTags = 10
	// MaxWebSocketTagLength is the longest tag, in bytes.
	MaxWebSocketTagLength = 256
	// MaxWebSocketAutoResponse is the longest request, and response, of an automatic response, in bytes each.
	MaxWebSocketAutoResponse = 2 << 10
	// MaxWebSocketCloseReason is the longest reason for closing, in bytes.
	MaxWebSocketCloseReason = 123
	// MaxWebSocketEventTimeout is the longest time that a handler can be given.
	MaxWebSocketEventTimeout = 7 * 24 * time.Hour
	// MaxWebSocketBacklog is how many bytes of messages a [Conn] keeps unread, with
	// 600 for each message besides its own. It is this library's: a message that is
	// alone is kept whatever its size, if there is room for it.
	MaxWebSocketBacklog = 32 << 20
	// MaxWebSocketBacklogs is how many bytes all of an isolate's connections keep
	// unread, of the 128 MB that it has. It is this library's.
	MaxWebSocketBacklogs = 48 << 20
	// MaxWebSocketUnsent is how many bytes of a socket's messages may wait for the
	// network before another one is sent. It is this library's.
	MaxWebSocketUnsent = 4 << 20
)
