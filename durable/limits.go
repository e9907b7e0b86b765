package durable

import (
	"time"

	"flow.internal/capdo/internal/jsrt"
)

// Limits, enforced before a call, because local workerd accepts more. Sizes are in bytes. Source, where none is given:
// https://developers.cloudflare.com/durable-objects/platform/limits/ (2026-11). docs/limits.md has them all, plan by plan.
const (
	// MaxKeyValueSize is the largest key and value together, in an object backed by SQLite.
	MaxKeyValueSize = 2 << 20
	// MaxKeySizeKV is the largest key, in an object backed by key-value storage.
	MaxKeySizeKV = 2 << 10
	// MaxValueSizeKV is the largest value, in an object backed by key-value storage.
	MaxValueSizeKV = 128 << 10
	// MaxEntries is the largest number of keys or entries in one call of GetMany, PutMany or DeleteMany.
	MaxEntries = 128
)

// backend says what an object's storage is backed by, once somebody asks.
type backend struct {
	storage  *jsrt.Ref
	isKnown  bool
	isSQLite bool
}

func (b *backend) isKV() bool {
	if !b.isKnown {
		_, err := b.storage.Get("sql") // throws where there is none
		b.isKnown, b.isSQLite = true, err == nil
	}
	return !b.isSQLite
}

func (b *backend) checkKeys(keys ...string) error {
	if len(keys) > MaxEntries {
		return &LimitError{"keys in one call", MaxEntries, len(keys)}
	}
	for _, key := range keys {
		if limit, what := b.keyLimit(); len(key) > limit {
			return &LimitError{what, limit, len(key)}
		}
	}
	return nil
}

func (b *backend) keyLimit() (limit int, what string) {
	if b.isKV() {
		return MaxKeySizeKV, "size of a key, in bytes"
	}
	return MaxKeyValueSize, "size of a key and its value, in bytes"
}

func (b *backend) checkEntry(key string, value any) error {
	if err := b.checkKeys(key); err != nil {
		return err
	}
	n, err := valueSize(value)
	switch {
	case err != nil:
		return err
	case b.isKV() && n > MaxValueSizeKV:
		return &LimitError{"size of a value, in bytes", MaxValueSizeKV, n}
	case !b.isKV() && len(key)+n > MaxKeyValueSize:
		return &LimitError{"size of a key and its value, in bytes", MaxKeyValueSize, len(key) + n}
	}
	return nil
}

// errFineTime and errForeignValue refuse what would change on its way.
var (
	errFineTime     = wrappedError("durable: a time with fractions of a millisecond would change when stored; use Truncate(time.Millisecond)", ErrValue)
	errForeignValue = wrappedError("durable: the value is of a kind that Go has no equivalent for, such as a Map or a Set of JavaScript", ErrValue)
	errValueType    = wrappedError("durable: a Go value of this type cannot be stored; see durable.KV for those that can, and durable.Encode", ErrValue)
)

func wrappedError(text string, kind error) error { return &wrapped{text, kind} }

// valueSize measures a value: strings and bytes by their length, what is composed by its parts, with 8 bytes for each number.
func valueSize(v any) (n int, err error) {
	switch v := v.(type) {
	case string:
		return len(v), nil
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
			n += m
		}
		return n, nil
	case map[string]any:
		for k, e := range v {
			m, err := valueSize(e)
			if err != nil {
				return 0, err
			}
			n += len(k) + m
		}
		return n, nil
	}
	return 0, errValueType
}

// checkValue refuses values that stayed in JavaScript.
func checkValue(v any) error {
	switch v := v.(type) {
	case *jsrt.Ref:
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
