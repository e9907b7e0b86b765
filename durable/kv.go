package durable

import "flow.internal/capdo/internal/jsrt"

// Limits of key-value storage in a SQLite-backed object (https://developers.cloudflare.com/durable-objects/platform/limits/, 2026-11).
// Local workerd accepts more, so the library enforces them.
const (
	// MaxKeyValueSize is the largest key and value together, in bytes.
	MaxKeyValueSize = 2 << 20
)

// KV is the synchronous key-value store of a SQLite-backed object. Values are what JavaScript's structured clone and Go share: nil,
// bool, float64 (any integer up to ±(2^53-1) is one, exactly), int64 beyond that, string, []byte, time.Time (ms), []any and
// map[string]any.
type KV struct {
	storage *Storage
	ref     *jsrt.Ref
}

// Get returns the value stored under key, and whether there is one. It fails with [ErrNoSQL] where the class is not backed by SQLite, as
// Put and Delete do.
func (kv *KV) Get(key string) (value any, ok bool, err error) {
	ref, err := kv.storage.part("kv", &kv.ref)
	if err != nil {
		return nil, false, err
	}
	v, err := ref.Call("get", key)
	return v, v != nil, classify(err)
}

// Put stores a value. It fails with a [*LimitError] when a string or []byte value with its key exceeds [MaxKeyValueSize].
func (kv *KV) Put(key string, value any) error {
	ref, err := kv.storage.part("kv", &kv.ref)
	if err != nil {
		return err
	}
	if n := len(key) + size(value); n > MaxKeyValueSize {
		return &LimitError{"size of a key and its value, in bytes", MaxKeyValueSize, n}
	}
	_, err = ref.Call("put", key, value)
	return classify(err)
}

// Delete removes a key, and reports whether there was a value.
func (kv *KV) Delete(key string) (existed bool, err error) {
	ref, err := kv.storage.part("kv", &kv.ref)
	if err != nil {
		return false, err
	}
	v, err := ref.Call("delete", key)
	existed, _ = v.(bool)
	return existed, classify(err)
}

func size(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case []byte:
		return len(v)
	}
	return 0
}
