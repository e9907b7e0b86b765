package durable

import (
	"iter"

	"flow.internal/capdo/internal/jsrt"
)

// KV is the synchronous key-value store of an object backed by SQLite. Values are what JavaScript's structured clone and Go share: nil,
// bool, float64 (any integer up to ±(2^53-1) is one, exactly), int64 beyond that, string, []byte, time.Time (in ms), []any and
// map[string]any. [Encode] and [Decode] convert other types. A value that would change on its way is refused with [ErrValue].
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
	if err := checkPairSize(len(key)); err != nil {
		return nil, false, err
	}
	v, err := ref.Call("get", key)
	if err != nil {
		return nil, false, classify(err)
	}
	return v, v != nil, checkValue(v)
}

// Put stores a value. It fails with a [*LimitError] when the value with its key exceeds [MaxKeyValueSize].
func (kv *KV) Put(key string, value any) error {
	ref, err := kv.storage.part("kv", &kv.ref)
	if err != nil {
		return err
	}
	if err := kv.storage.backend.checkEntry(key, value); err != nil {
		return err
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
	if err := checkPairSize(len(key)); err != nil {
		return false, err
	}
	v, err := ref.Call("delete", key)
	existed, _ = v.(bool)
	return existed, classify(err)
}

// List iterates over the entries selected, in order; an error comes last, with no entry. opts.AllowConcurrency and opts.NoCache have no
// meaning here. workerd has one iteration at a time: beginning another one ends the first with an error.
func (kv *KV) List(opts *ListOptions) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		ref, err := kv.storage.part("kv", &kv.ref)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		v, err := ref.Context().Helpers().Call("iterate", append([]any{ref, "list"}, opts.js()...)...)
		if err != nil {
			yield(Entry{}, classify(err))
			return
		}
		rows := v.(*jsrt.Ref)
		defer rows.Release()
		for {
			v, err := rows.Context().Helpers().Call("take", rows, batchRows)
			entries, entriesErr := newEntries(v)
			if err == nil {
				err = entriesErr
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			if err != nil {
				yield(Entry{}, classify(err))
				return
			}
			if len(entries) < batchRows {
				return
			}
		}
	}
}
