package dodedupe

import (
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/plain"
	"flow.internal/capdo/internal/sha256"
)

// Tables for classes with key-value storage. What their methods wait for is this storage only: the input gate keeps other events out
// meanwhile, and the book other goroutines.

// chunked is the table of an object that keeps one key's entry.
type chunked struct{ slotAlarm }

// chunkSize is how much of a record goes into one value, which has 128 KiB at most; what is more continues under further keys.
const (
	chunkSize = 120 << 10
	maxChunks = 1<<20/chunkSize + 2
)

// chunks are the entries that keep a record under a name. Where they are several, the first has their number.
func chunks(name string, record []byte) []durable.Entry {
	if len(record) <= chunkSize {
		return []durable.Entry{{Key: name, Value: record}}
	}
	entries := []durable.Entry{{Key: name}}
	for n := 0; len(record) > 0; n++ {
		size := min(len(record), chunkSize)
		entries = append(entries, durable.Entry{Key: chunkName(name, n), Value: record[:size]})
		record = record[size:]
	}
	entries[0].Value = float64(len(entries) - 1)
	return entries
}

func chunkName(name string, n int) string { return name + "." + strconv.Itoa(n) }

// readChunks returns the record under a name, and the names of its continuation.
func readChunks(ctx context.Context, storage *durable.Storage, name string) (record []byte, more []string, ok bool, err error) {
	v, ok, err := plain.GetAsync(ctx, storage, name)
	if err != nil || !ok {
		return nil, nil, false, err
	}
	if record, ok := v.([]byte); ok {
		return record, nil, true, nil
	}
	count, _ := v.(float64)
	for n := range int(min(count, maxChunks)) {
		more = append(more, chunkName(name, n))
	}
	entries, err := storage.GetMany(ctx, more, nil)
	if err != nil {
		return nil, nil, false, err
	}
	for _, e := range entries {
		chunk, _ := e.Value.([]byte)
		record = append(record, chunk...)
	}
	return record, more, true, nil
}

func (c chunked) get(ctx context.Context, _ string) (record []byte, ok bool, err error) {
	record, _, ok, err = readChunks(ctx, c.storage, ledgerKey)
	return record, ok, err
}

func (c chunked) put(ctx context.Context, _ string, e, before *entry) error {
	if err := c.storage.PutMany(ctx, chunks(ledgerKey, e.encode()), nil); err != nil || len(before.result) <= len(e.result) {
		return err
	}
	_, err := c.storage.DeleteMany(ctx, chunkNames(ledgerKey), nil)
	return err
}

// chunkNames are all names that a record's continuation may have.
func chunkNames(name string) (names []string) {
	for n := range maxChunks {
		names = append(names, chunkName(name, n))
	}
	return names
}

func (c chunked) remove(ctx context.Context, _ string) error {
	_, err := c.storage.DeleteMany(ctx, append(chunkNames(ledgerKey), ledgerKey), nil)
	return err
}

func (c chunked) sweep(ctx context.Context, now int64, _ int, keep func(int64) error) error {
	return sweepOne(ctx, c, now, keep)
}

func (c chunked) watched(ctx context.Context, now int64, _ int) ([]sighting, error) {
	return watchedOne(ctx, c, now)
}

func (c chunked) earliest(ctx context.Context, now int64) (due int64, some bool, err error) {
	return earliestOfOne(ctx, c, now)
}

// note and noted are those of all objects with key-value storage.
func (s slotAlarm) note(ctx context.Context, name string, value []byte) error {
	return plain.PutAsync(ctx, s.storage, name, value)
}

func (s slotAlarm) noted(ctx context.Context, name string) ([]byte, error) {
	v, ok, err := plain.GetAsync(ctx, s.storage, name)
	return notedBytes(v, ok), err
}

func (c chunked) transact(context.Context, func() error) error {
	panic("one entry needs no transaction")
}

// indexed is the table of an object that keeps many keys' entries. They are
//
//	_capdo_entry:<base64url of the key's SHA-256>                   the length of the key (a byte for each 7 bits), the key, the record
//	_capdo_due:<0 or 1: watched>:<due, 16 digits>:<the same hash>    the first key's name
//
// An entry and its place in the index are put together. The place that it had before is removed after that; should that not
// happen, it is found to be out of date when its time has come.
type indexed struct {
	slotAlarm
	batch *[]durable.Entry // what transact puts
}

const (
	entryPrefix = "_capdo_entry:"
	duePrefix   = "_capdo_due:"
)

// hasEntries reports whether the object keeps entries so.
func hasEntries(ctx context.Context, storage *durable.Storage) (bool, error) {
	entries, err := storage.List(ctx, &durable.ListOptions{Prefix: entryPrefix, Limit: 1})
	return len(entries) > 0, err
}

func entryName(key string) string {
	hash := sha256.Sum([]byte(key))
	return entryPrefix + base64.RawURLEncoding.EncodeToString(hash[:])
}

func dueName(name string, e *entry) string {
	return duePlace(e.watch != 0, e.due()) + ":" + strings.TrimPrefix(name, entryPrefix)
}

func duePlace(watched bool, at int64) string {
	digits := strconv.FormatInt(at, 10)
	return duePrefix + strconv.FormatInt(number(watched), 10) + ":" + "0000000000000000"[len(digits):] + digits
}

func (x *indexed) get(ctx context.Context, key string) (record []byte, ok bool, err error) {
	b, _, ok, err := readChunks(ctx, x.storage, entryName(key))
	if err != nil || !ok {
		return nil, false, err
	}
	_, record = cutKey(b)
	return record, true, nil
}

// cutKey takes the key off what is stored. A record that is corrupt up to there is as corrupt as none.
func cutKey(b []byte) (key string, record []byte) {
	r := reader{rest: b}
	if key = r.text(); r.failed {
		return "", nil
	}
	return key, r.rest
}

func (x *indexed) put(ctx context.Context, key string, e, before *entry) error {
	name := entryName(key)
	entries := chunks(name, append(appendText(nil, key), e.encode()...))
	place := dueName(name, e)
	if e.due() < never {
		entries = append(entries, durable.Entry{Key: place, Value: name})
	}
	if x.batch != nil {
		*x.batch = append(*x.batch, entries...)
		return nil
	}
	if err := x.storage.PutMany(ctx, entries, nil); err != nil || before.state == absent {
		return err
	}
	return x.drop(ctx, name, e, before, place)
}

// drop removes what an entry had before and has not now.
func (x *indexed) drop(ctx context.Context, name string, e, before *entry, place string) error {
	var gone []string
	if old := dueName(name, before); old != place {
		gone = append(gone, old)
	}
	if len(before.result) > len(e.result) {
		gone = append(gone, chunkNames(name)...)
	}
	if len(gone) == 0 {
		return nil
	}
	_, err := x.storage.DeleteMany(ctx, gone, nil)
	return err
}

func (x *indexed) transact(ctx context.Context, fn func() error) error {
	x.batch = &[]durable.Entry{}
	err := fn()
	entries := *x.batch
	x.batch = nil
	if err != nil {
		return err
	}
	return x.storage.PutMany(ctx, entries, nil)
}

func (x *indexed) remove(ctx context.Context, key string) error {
	name := entryName(key)
	b, gone, ok, err := readChunks(ctx, x.storage, name)
	if err != nil || !ok {
		return err
	}
	gone = append(gone, name)
	_, record := cutKey(b)
	if e, err := decodeEntry(record); err == nil {
		gone = append(gone, dueName(name, &e))
	}
	_, err = x.storage.DeleteMany(ctx, gone, nil)
	return err
}

// due returns the entries that are due by their places in the index. It removes
// places that are out of date, once the entry has the right one, and puts off
// what a newer program wrote: its record says when it is due, and cannot be
// read.
func (x *indexed) due(ctx context.Context, watched bool, now int64, limit int) (due []sighting, err error) {
	places, err := x.storage.List(ctx, &durable.ListOptions{Start: duePlace(watched, 0), End: duePlace(watched, now+1), Limit: limit})
	if err != nil {
		return nil, err
	}
	for _, p := range places {
		hash := p.Key[strings.LastIndexByte(p.Key, ':')+1:]
		name := entryPrefix + hash
		b, _, ok, err := readChunks(ctx, x.storage, name)
		if err != nil {
			return due, err
		}
		key, record := cutKey(b)
		e, err := decodeEntry(record)
		right := ""
		switch {
		case ok && errors.Is(err, ErrVersion):
			right = duePlace(watched, now+newerRetry) + ":" + hash
		case ok && err == nil:
			if e.due() < never {
				right = dueName(name, &e)
			}
			if (e.watch != 0) == watched && e.due() <= now {
				due = append(due, sighting{key, e})
			}
		}
		if err := x.replace(ctx, p.Key, right, name); err != nil {
			return due, err
		}
	}
	return due, nil
}

// replace has an entry's place be the right one.
func (x *indexed) replace(ctx context.Context, place, right, name string) error {
	if place == right {
		return nil
	}
	if right != "" {
		if err := plain.PutAsync(ctx, x.storage, right, name); err != nil {
			return err
		}
	}
	_, err := x.storage.Delete(ctx, place, nil)
	return err
}

func (x *indexed) sweep(ctx context.Context, now int64, limit int, keep func(fence int64) error) error {
	due, err := x.due(ctx, false, now, limit)
	if err != nil {
		return err
	}
	fence := int64(0)
	for _, s := range due {
		fence = max(fence, s.entry.fenced())
	}
	if err := keep(fence); err != nil {
		return err
	}
	for _, s := range due {
		if err := x.remove(ctx, s.key); err != nil {
			return err
		}
	}
	return nil
}

func (x *indexed) watched(ctx context.Context, now int64, limit int) ([]sighting, error) {
	return x.due(ctx, true, now, limit)
}

func (x *indexed) earliest(ctx context.Context, _ int64) (due int64, some bool, err error) {
	due = never
	for _, watched := range []string{"0:", "1:"} {
		places, err := x.storage.List(ctx, &durable.ListOptions{Prefix: duePrefix + watched, Limit: 1})
		if err != nil {
			return never, false, err
		}
		for _, p := range places {
			at, _ := strconv.ParseInt(strings.Split(p.Key, ":")[2], 10, 64) // at worst it is looked at too early
			due = min(due, at)
		}
	}
	if due < never {
		return due, true, nil
	}
	some, err = hasEntries(ctx, x.storage)
	return never, some, err
}
