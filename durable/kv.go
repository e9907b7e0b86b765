package durable

import (
	"context"
	"iter"
	"reflect"

	"flow.internal/capdo/internal/jsrt"
	"flow.internal/capdo/internal/plain"
)

// KV is the synchronous key-value store of an object backed by SQLite. Put
// takes any value that [Encode] converts. Get returns one of the types that
// structured clone and Go share: nil, bool, float64 (also for integers, which
// are exact up to ±(2^53-1)), int64 or uint64 (for larger integers), string,
// []byte, time.Time (in ms), []any or map[string]any. The function [Get]
// converts the value to the type that you ask for. A value that would change on
// the way is refused with [ErrValue]. nil is a value: its key exists.
type KV struct {
	storage *Storage
	ref     *jsrt.Ref
}

// Get returns the value stored under key, and whether there is one. Get, Put
// and Delete fail with [ErrNoSQL] if the class is not backed by SQLite.
func (kv *KV) Get(key string) (value any, ok bool, err error) {
	return stored(kv.get(key, []any{key}))
}

// get also returns values that stayed in JavaScript.
func (kv *KV) get(key string, args []any) (value any, ok bool, err error) {
	ref, err := kv.storage.part("kv", &kv.ref)
	if err != nil {
		return nil, false, err
	}
	if err := checkKeyText(key); err != nil {
		return nil, false, err
	}
	value, ok, err = ref.Lookup("get", args...)
	return value, ok, classify(err)
}

// Put stores a value. It fails with a [*LimitError] if the value and its key
// together exceed [MaxKeyValueSize].
func (kv *KV) Put(key string, value any) error {
	ref, err := kv.storage.part("kv", &kv.ref)
	if err != nil {
		return err
	}
	if value, err = kv.storage.backend.entry(key, value); err != nil {
		return err
	}
	return put(ref, key, value)
}

func put(ref *jsrt.Ref, key, value any) error {
	_, err := ref.Call("put", key, value)
	return classify(err)
}

func init() {
	plain.Get = func(kv any, key string) (any, bool, error) {
		return kv.(*KV).get(key, plain.Arguments(key))
	}
	plain.GetAsync = func(ctx context.Context, storage any, key string) (any, bool, error) {
		return storage.(*Storage).getPlain(ctx, key)
	}
	plain.Put = func(kv any, key string, value any) error { return kv.(*KV).putPlain(key, value) }
	plain.PutAsync = func(ctx context.Context, storage any, key string, value any) error {
		return storage.(*Storage).putPlain(ctx, key, value)
	}
}

func (kv *KV) putPlain(key string, value any) error {
	ref, err := kv.storage.part("kv", &kv.ref)
	if err != nil {
		return err
	}
	if err := kv.storage.backend.checkPlain(key, value); err != nil {
		return err
	}
	return put(ref, plain.Argument(key), value)
}

// checkPlain is checkEntry for text and bytes.
func (b *backend) checkPlain(key string, value any) error {
	if err := b.checkKey(key); err != nil {
		return err
	}
	if text, ok := value.(string); ok {
		return b.checkSize(key, stringSize(text))
	}
	return b.checkSize(key, len(value.([]byte)))
}

func (kv *AsyncKV) getPlain(ctx context.Context, key string) (value any, ok bool, err error) {
	return kv.get(ctx, key, nil)
}

func (kv *AsyncKV) putPlain(ctx context.Context, key string, value any) error {
	if err := kv.backend.checkPlain(key, value); err != nil {
		return err
	}
	_, err := kv.ref.Await(ctx, "put", key, value)
	return classify(err)
}

// Delete removes a key, and reports whether there was a value.
func (kv *KV) Delete(key string) (existed bool, err error) {
	ref, err := kv.storage.part("kv", &kv.ref)
	if err != nil {
		return false, err
	}
	if err := checkKeyText(key); err != nil {
		return false, err
	}
	v, err := ref.Call("delete", key)
	existed, _ = v.(bool)
	return existed, classify(err)
}

// List iterates over the selected entries in order. If it fails, the last
// iteration has the error and no entry. It reads 128 entries at a time, so
// later batches show writes made during the iteration. Any number of iterations
// may run at a time. List ignores opts.AllowConcurrency and opts.NoCache.
func (kv *KV) List(opts *ListOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		ref, err := kv.storage.part("kv", &kv.ref)
		var page ListOptions
		if opts != nil {
			page = *opts
		}
		left := page.Limit
		if err == nil {
			err = page.check()
		}
		for err == nil {
			if page.Limit = batchRows; left > 0 {
				page.Limit = min(batchRows, left)
			}
			var entries []Entry
			if entries, err = kv.page(ref, &page); err != nil {
				break
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			if left -= len(entries); len(entries) < page.Limit || left == 0 {
				return
			}
			page.after(entries[len(entries)-1].Key)
		}
		yield(Entry{}, err)
	}
}

func (kv *KV) page(ref *jsrt.Ref, o *ListOptions) ([]Entry, error) {
	v, err := ref.Context().Host().Call("list", append([]any{ref}, o.js()...)...)
	if err != nil {
		return nil, classify(err)
	}
	return newEntries(v)
}

// Get returns the value stored under key in kv as a T, converted as by
// [Decode], and whether there is one:
//
//	n, ok, err := durable.Get[int64](kv, "n")
//
// T is a type that Put took, or another one that holds the same value. Get
// fails with [ErrValue] if the stored value is not a T, and value is then zero.
// If the key is absent, there is no error: ok is false, and value is zero. A
// stored nil is a value: Get fails for an int64, and returns a nil pointer and
// ok for a *int64.
func Get[T any](kv *KV, key string) (value T, ok bool, err error) {
	return typed[T](kv.Get(key))
}

// typed converts a value that a store returned.
func typed[T any](v any, ok bool, err error) (value T, _ bool, _ error) {
	if err != nil {
		return value, false, err
	}
	if err := codecOf(reflect.TypeFor[T]()).check(true); err != nil {
		return value, false, in("value", err)
	}
	if !ok {
		return value, false, nil
	}
	if err := Decode(v, &value); err != nil {
		var zero T // Decode may have stored a part
		return zero, false, in("value", err)
	}
	return value, true, nil
}
