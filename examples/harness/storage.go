package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
)

// A value is stored under its own key. A value that expires has two more
// entries:
//
//	_harness_ttl:<SHA-256 of the key>                          when it expires
//	_harness_due:<when, 16 digits>:<SHA-256 of the key>        the key
//
// The first one tells a reader of the key that it has expired. The second one
// tells the alarm which keys are due. One transaction changes all of them and
// sets the object's alarm. Times are by the object's clock, in Unix ms.
const (
	reserved      = "_harness_"
	afterReserved = "_harness`" // the first key after all keys with that prefix
	ttlPrefix     = reserved + "ttl:"
	duePrefix     = reserved + "due:"
)

func ttlName(key string) string { return ttlPrefix + keyHash(key) }

func dueName(expires int64, key string) string { return duePlace(expires) + ":" + keyHash(key) }

func duePlace(at int64) string { return fmt.Sprintf("%s%016d", duePrefix, at) }

func keyHash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// update changes the object's storage in one transaction, and sets the alarm
// for whatever is due next.
func (o *object) update(
	ctx context.Context, change func(ctx context.Context, txn *durable.Transaction) error,
) error {
	return o.state.Storage().Transaction(ctx, func(txn *durable.Transaction) error {
		if err := change(ctx, txn); err != nil {
			return err
		}
		return arm(ctx, txn)
	})
}

// putRequest is the body of /storage/put.
type putRequest struct {
	Key        *string         `json:"key"`
	Value      json.RawMessage `json:"value"`
	Encoding   string          `json:"encoding"` // "base64" for a binary value
	TTLSeconds *float64        `json:"ttl_seconds"`
}

// value is a value to store.
type value struct {
	key   string
	value any
	ttl   time.Duration // 0: does not expire
}

func (r *putRequest) parse() (v value, err error) {
	if r.Key == nil {
		return v, &inputError{"key", "it is missing"}
	}
	v.key = *r.Key
	if err := checkKey(v.key); err != nil {
		return v, err
	}
	if v.value, err = r.parseValue(); err != nil {
		return v, err
	}
	if r.TTLSeconds != nil {
		v.ttl, err = parseTTL(*r.TTLSeconds)
	}
	return v, err
}

func checkKey(key string) error {
	switch {
	case key == "":
		return &inputError{"key", "it is missing"}
	case strings.HasPrefix(key, reserved):
		return &inputError{"key", `keys that begin with "` + reserved + `" are reserved for the harness`}
	}
	return nil
}

func parseTTL(s float64) (time.Duration, error) {
	ms := math.Ceil(s * 1000)
	if ms < 1 || ms > float64(dedupe.MaxTTL.Milliseconds()) {
		return 0, &inputError{"ttl_seconds", "it must be more than 0 and at most 10 years"}
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// parseValue converts JSON to a value that storage accepts. Integers are exact
// up to int64.
func (r *putRequest) parseValue() (any, error) {
	if len(r.Value) == 0 {
		return nil, &inputError{"value", "it is missing"}
	}
	d := json.NewDecoder(bytes.NewReader(r.Value))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, &inputError{"value", "it is not JSON"}
	}
	if v == nil {
		return nil, &inputError{"value", "null cannot be distinguished from a missing value"}
	}
	if r.Encoding != "" {
		text, ok := v.(string)
		if !ok {
			return nil, &inputError{"value", "with an encoding it is a string"}
		}
		return decode("value", text, r.Encoding)
	}
	return storable(v)
}

// storable replaces JSON numbers by Go numbers.
func storable(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil {
			return n, nil
		}
		f, err := v.Float64()
		if err != nil {
			return nil, &inputError{"value", "a number in it is too large"}
		}
		return f, nil
	case []any:
		for i := range v {
			if v[i], err = storable(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = storable(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func (o *object) put(w http.ResponseWriter, r *http.Request) {
	req, err := readBody[putRequest](w, r, maxBody)
	if err != nil {
		fail(w, err)
		return
	}
	v, err := req.parse()
	if err != nil {
		fail(w, err)
		return
	}
	if err := o.store(r.Context(), v); err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, success)
}

func (o *object) store(ctx context.Context, v value) error {
	return o.update(ctx, func(ctx context.Context, txn *durable.Transaction) error {
		if err := remove(ctx, txn, v.key); err != nil {
			return err
		}
		if v.ttl == 0 {
			return txn.Put(ctx, v.key, v.value, nil)
		}
		expires := now() + v.ttl.Milliseconds()
		return txn.PutMany(ctx, []durable.Entry{
			{Key: v.key, Value: v.value},
			{Key: ttlName(v.key), Value: expires},
			{Key: dueName(expires, v.key), Value: v.key},
		}, nil)
	})
}

func now() int64 { return time.Now().UnixMilli() }

// remove deletes a key with its other entries.
func remove(ctx context.Context, txn *durable.Transaction, key string) error {
	gone := []string{key, ttlName(key)}
	expires, err := expiry(ctx, txn, key)
	if err != nil {
		return err
	}
	if expires != 0 {
		gone = append(gone, dueName(expires, key))
	}
	_, err = txn.DeleteMany(ctx, gone, nil)
	return err
}

// expiry returns when a key expires, or 0 if it does not.
func expiry(ctx context.Context, from durable.AsyncGetter, key string) (int64, error) {
	at, _, err := durable.GetAsync[int64](ctx, from, ttlName(key), nil)
	return at, err
}

// look returns a key's value, unless it has expired.
func look(ctx context.Context, o *durable.AsyncKV, key string) (v any, found bool, err error) {
	entries, err := o.GetMany(ctx, []string{key, ttlName(key)}, nil)
	if err != nil {
		return nil, false, err
	}
	for _, e := range entries {
		if e.Key == key {
			v, found = e.Value, true
			continue
		}
		var at int64
		if err := durable.Decode(e.Value, &at); err != nil || at <= now() {
			return nil, false, err
		}
	}
	return v, found, nil
}

func (o *object) get(w http.ResponseWriter, r *http.Request) {
	key := r.URL.Query().Get("key")
	err := checkKey(key)
	if err != nil {
		fail(w, err)
		return
	}
	v, found, err := look(r.Context(), &o.state.Storage().AsyncKV, key)
	if err != nil {
		fail(w, err)
		return
	}
	answer := map[string]any{"found": found, "value": v}
	if b, ok := v.([]byte); ok {
		answer["value"], answer["encoding"] = base64.StdEncoding.EncodeToString(b), "base64"
	}
	reply(w, http.StatusOK, answer)
}

func (o *object) delete(w http.ResponseWriter, r *http.Request) {
	key := r.URL.Query().Get("key")
	if err := checkKey(key); err != nil {
		fail(w, err)
		return
	}
	var deleted bool
	err := o.update(r.Context(), func(ctx context.Context, txn *durable.Transaction) (err error) {
		if _, deleted, err = look(ctx, &txn.AsyncKV, key); err != nil {
			return err
		}
		return remove(ctx, txn, key)
	})
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]bool{"deleted": deleted})
}
