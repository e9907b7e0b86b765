package durable

import (
	"context"
	"math"
	"time"

	"flow.internal/capdo/internal/jsrt"
)

// AsyncKV is the asynchronous key-value store, which [Storage] and
// [Transaction] embed. It works on both storage backends, on the same data as
// the synchronous [KV], whose comment lists the types of values. [GetAsync]
// reads them as Go types. A method that writes does so when it is called, and
// then waits until the write is confirmed. Writes that follow each other
// without waiting in between are committed together.
type AsyncKV struct {
	ref     *jsrt.Ref
	backend *backend
}

// GetOptions change a read; nil means none.
//
// https://developers.cloudflare.com/durable-objects/api/legacy-kv-storage-api/#get
type GetOptions struct {
	AllowConcurrency bool // other events may be delivered meanwhile
	NoCache          bool // key-value storage: do not cache the value
}

// PutOptions change a write; nil means none.
//
// https://developers.cloudflare.com/durable-objects/api/legacy-kv-storage-api/#put
type PutOptions struct {
	AllowUnconfirmed bool // answers do not wait until the write is durable
	AllowConcurrency bool // other events may be delivered meanwhile
	NoCache          bool // key-value storage: do not cache the value
}

// ListOptions select keys, in the order of their UTF-8 bytes; nil means all.
//
// https://developers.cloudflare.com/durable-objects/api/legacy-kv-storage-api/#list
type ListOptions struct {
	Start      string // the first key
	StartAfter string // start after this key; not together with Start
	End        string // the key to stop before
	Prefix     string
	Reverse    bool // from the last to the first
	Limit      int  // the most to return; 0: all; negative values fail

	// As in [GetOptions]. The synchronous [KV] ignores them.
	AllowConcurrency, NoCache bool
}

// Entry is a key with its value. [Decode] converts the value.
type Entry struct {
	Key   string
	Value any
}

// Get returns the value stored under key, and whether there is one. See
// [GetAsync].
func (kv *AsyncKV) Get(
	ctx context.Context, key string, opts *GetOptions,
) (value any, ok bool, err error) {
	return stored(kv.get(ctx, key, opts))
}

// get also returns values that stayed in JavaScript.
func (kv *AsyncKV) get(
	ctx context.Context, key string, opts *GetOptions,
) (value any, ok bool, err error) {
	if err := kv.backend.checkKeys(key); err != nil {
		return nil, false, err
	}
	value, ok, err = kv.ref.AwaitLookup(ctx, "get", append([]any{key}, opts.js()...)...)
	return value, ok, classify(err)
}

// AsyncGetter is what [GetAsync] reads from: a [*Storage] or a [*Transaction].
type AsyncGetter interface {
	Get(
		ctx context.Context, key string, opts *GetOptions,
	) (value any, ok bool, err error)
}

// GetAsync is [Get] of the asynchronous store, on both storage backends:
//
//	n, ok, err := durable.GetAsync[int64](ctx, txn, "n", nil)
func GetAsync[T any](
	ctx context.Context, from AsyncGetter, key string, opts *GetOptions,
) (value T, ok bool, err error) {
	return typed[T](from.Get(ctx, key, opts))
}

// GetMany returns the entries of the keys that have a value, in the order of
// the keys' UTF-8 bytes. It takes at most [MaxEntries] keys.
func (kv *AsyncKV) GetMany(
	ctx context.Context, keys []string, opts *GetOptions,
) ([]Entry, error) {
	if err := kv.backend.checkKeys(keys...); err != nil {
		return nil, err
	}
	return kv.entries(ctx, "get", append([]any{jsStrings(keys)}, opts.js()...)...)
}

// List returns the selected entries, in order.
func (kv *AsyncKV) List(ctx context.Context, opts *ListOptions) ([]Entry, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	return kv.entries(ctx, "list", opts.js()...)
}

func (kv *AsyncKV) entries(ctx context.Context, method string, args ...any) ([]Entry, error) {
	v, err := kv.ref.Context().Host().Await(ctx, "entries",
		append([]any{kv.ref, method}, args...)...)
	if err != nil {
		return nil, classify(err)
	}
	return newEntries(v)
}

// Put stores a value. It fails with a [*LimitError] if key and value exceed
// [MaxKeyValueSize], or [MaxKeySizeKV] or [MaxValueSizeKV] in key-value
// storage.
func (kv *AsyncKV) Put(
	ctx context.Context, key string, value any, opts *PutOptions,
) error {
	value, err := kv.backend.entry(key, value)
	if err != nil {
		return err
	}
	_, err = kv.ref.Await(ctx, "put", append([]any{key, value}, opts.js()...)...)
	return classify(err)
}

// PutMany stores at most [MaxEntries] entries, all or none.
func (kv *AsyncKV) PutMany(
	ctx context.Context, entries []Entry, opts *PutOptions,
) error {
	if len(entries) > MaxEntries {
		return &LimitError{Limit: "entries in one call", Max: MaxEntries, Actual: len(entries)}
	}
	m := make(map[string]any, len(entries))
	for i, e := range entries {
		v, err := kv.backend.entry(e.Key, e.Value)
		if err != nil {
			return in("entry"+indexStep(i), err)
		}
		m[e.Key] = v
	}
	_, err := kv.ref.Await(ctx, "put", append([]any{m}, opts.js()...)...)
	return classify(err)
}

// Delete removes a key, and reports whether there was a value.
func (kv *AsyncKV) Delete(
	ctx context.Context, key string, opts *PutOptions,
) (existed bool, err error) {
	if err := kv.backend.checkKeys(key); err != nil {
		return false, err
	}
	v, err := kv.ref.Await(ctx, "delete", append([]any{key}, opts.js()...)...)
	existed, _ = v.(bool)
	return existed, classify(err)
}

// DeleteMany removes at most [MaxEntries] keys, and returns how many of them
// had a value.
func (kv *AsyncKV) DeleteMany(
	ctx context.Context, keys []string, opts *PutOptions,
) (deleted int, err error) {
	if err := kv.backend.checkKeys(keys...); err != nil {
		return 0, err
	}
	v, err := kv.ref.Await(ctx, "delete", append([]any{jsStrings(keys)}, opts.js()...)...)
	n, _ := v.(float64)
	return int(n), classify(err)
}

// GetAlarmOptions change GetAlarm; nil means none.
type GetAlarmOptions struct{ AllowConcurrency bool }

// SetAlarmOptions change SetAlarm and DeleteAlarm; nil means none. See
// [PutOptions].
type SetAlarmOptions struct{ AllowConcurrency, AllowUnconfirmed bool }

// SetAlarm schedules the object's one alarm, and replaces an earlier one. The
// time is kept in ms, rounded up, so the alarm is never early. If the time has
// passed, the alarm is due at once. SetAlarm fails with [ErrValue] for a time
// that the runtime does not accept: 1970 and earlier, and after 2262-04-11. It
// fails with [ErrNoAlarmHandler] if the class does not implement [Alarmer].
func (kv *AsyncKV) SetAlarm(
	ctx context.Context, at time.Time, opts *SetAlarmOptions,
) error {
	ms := at.Add(time.Millisecond - 1).UnixMilli()
	_, err := kv.ref.Await(ctx, "setAlarm", append([]any{ms}, opts.js()...)...)
	return classify(err)
}

// GetAlarm returns the time at which the alarm is due. It returns the zero time
// if there is no alarm, and while the alarm is being delivered.
func (kv *AsyncKV) GetAlarm(
	ctx context.Context, opts *GetAlarmOptions,
) (time.Time, error) {
	v, err := kv.ref.Await(ctx, "getAlarm", opts.js()...)
	if ms, ok := v.(float64); ok {
		return time.UnixMilli(int64(ms)), nil
	}
	return time.Time{}, classify(err)
}

// DeleteAlarm cancels the alarm, if there is one.
func (kv *AsyncKV) DeleteAlarm(ctx context.Context, opts *SetAlarmOptions) error {
	_, err := kv.ref.Await(ctx, "deleteAlarm", opts.js()...)
	return classify(err)
}

// Transaction is a [Storage.Transaction] that is under way.
type Transaction struct{ AsyncKV }

// stored checks the result of a lookup.
func stored(v any, ok bool, err error) (any, bool, error) {
	if err == nil {
		err = in("value", checkValue(v))
	}
	if err != nil {
		return nil, false, err
	}
	return v, ok, nil
}

// newEntries reads an array of pairs.
func newEntries(v any) ([]Entry, error) {
	pairs, _ := v.([]any)
	entries := make([]Entry, 0, len(pairs))
	for i, p := range pairs {
		pair := p.([]any)
		if err := checkValue(pair[1]); err != nil {
			return nil, in("entry"+indexStep(i), err)
		}
		entries = append(entries, Entry{pair[0].(string), pair[1]})
	}
	return entries, nil
}

func jsStrings(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// The methods js return the options as JavaScript's arguments, none for nil.

func (o *GetOptions) js() []any {
	if o == nil {
		return nil
	}
	return []any{map[string]any{"allowConcurrency": o.AllowConcurrency, "noCache": o.NoCache}}
}

func (o *PutOptions) js() []any {
	if o == nil {
		return nil
	}
	return []any{map[string]any{"allowUnconfirmed": o.AllowUnconfirmed,
		"allowConcurrency": o.AllowConcurrency, "noCache": o.NoCache}}
}

func (o *GetAlarmOptions) js() []any {
	if o == nil {
		return nil
	}
	return []any{map[string]any{"allowConcurrency": o.AllowConcurrency}}
}

func (o *SetAlarmOptions) js() []any {
	if o == nil {
		return nil
	}
	return []any{map[string]any{"allowConcurrency": o.AllowConcurrency,
		"allowUnconfirmed": o.AllowUnconfirmed}}
}

func (o *ListOptions) check() error {
	if o != nil && o.Limit < 0 {
		return &LimitError{Limit: "ListOptions.Limit, where 0 means all",
			Max: math.MaxInt32, Actual: o.Limit}
	}
	return nil
}

// after makes a list continue after a key.
func (o *ListOptions) after(key string) {
	if o.Reverse {
		o.End = key
	} else {
		o.Start, o.StartAfter = "", key
	}
}

func (o *ListOptions) js() []any {
	if o == nil {
		return nil
	}
	m := map[string]any{}
	for name, s := range map[string]string{"start": o.Start, "startAfter": o.StartAfter,
		"end": o.End, "prefix": o.Prefix} {
		if s != "" {
			m[name] = s
		}
	}
	for name, b := range map[string]bool{"reverse": o.Reverse,
		"allowConcurrency": o.AllowConcurrency, "noCache": o.NoCache} {
		if b {
			m[name] = true
		}
	}
	if o.Limit > 0 {
		// more than there can be, and all that workerd takes
		m["limit"] = min(o.Limit, math.MaxInt32)
	}
	return []any{m}
}
