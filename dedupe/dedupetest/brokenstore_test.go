//go:build !js

package dedupetest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/internal/memory"
)

// brokenStore is the reference implementation with one mistake.
type brokenStore struct {
	*memory.Store
	put    func(ctx context.Context, key []byte, ttl time.Duration) (bool, error)
	putAs  func(ctx context.Context, owner string, key []byte, ttl time.Duration) (bool, error)
	forget func(ctx context.Context, key []byte) error
	name   func() string
}

func (b brokenStore) PutIfAbsent(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
	if b.put != nil {
		return b.put(ctx, key, ttl)
	}
	return b.Store.PutIfAbsent(ctx, key, ttl)
}

func (b brokenStore) PutIfAbsentAs(
	ctx context.Context, owner string, key []byte, ttl time.Duration,
) (bool, error) {
	if b.putAs != nil {
		return b.putAs(ctx, owner, key, ttl)
	}
	return b.Store.PutIfAbsentAs(ctx, owner, key, ttl)
}

func (b brokenStore) Forget(ctx context.Context, key []byte) error {
	if b.forget != nil {
		return b.forget(ctx, key)
	}
	return b.Store.Forget(ctx, key)
}

func (b brokenStore) Name() string {
	if b.name != nil {
		return b.name()
	}
	return b.Store.Name()
}

// store returns a function that makes broken stores.
func store(breakIt func(b *brokenStore)) func() dedupe.Store {
	return func() dedupe.Store {
		b := &brokenStore{Store: memory.NewStore(nil)}
		breakIt(b)
		return b
	}
}

func withTTL(change func(time.Duration) time.Duration) func() dedupe.Store {
	return store(func(b *brokenStore) {
		b.put = func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
			if _, err := dedupe.TTLMillis(ttl, 0); err == nil {
				ttl = change(ttl)
			}
			return b.Store.PutIfAbsent(ctx, key, ttl)
		}
	})
}

func withKey(change func([]byte) []byte) func() dedupe.Store {
	return store(func(b *brokenStore) {
		b.put = func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
			return b.Store.PutIfAbsent(ctx, change(key), ttl)
		}
		b.forget = func(ctx context.Context, key []byte) error { return b.Store.Forget(ctx, change(key)) }
	})
}

// withOwner changes the owners that are not too large.
func withOwner(change func(string) string) func() dedupe.Store {
	return store(func(b *brokenStore) {
		b.putAs = func(ctx context.Context, owner string, key []byte, ttl time.Duration) (bool, error) {
			if dedupe.CheckOwner(owner) == nil {
				owner = change(owner)
			}
			return b.Store.PutIfAbsentAs(ctx, owner, key, ttl)
		}
	})
}

// wholeSeconds returns a TTL cut to whole seconds, as in an implementation that
// counts seconds and uses the default for 0.
func wholeSeconds(ttl time.Duration) time.Duration { return ttl / time.Second * time.Second }

// timesThousand returns a TTL in ms from a product that can overflow, as in an
// implementation that multiplies first. If the product is not positive, the
// record expires at once.
func timesThousand(ttl time.Duration) time.Duration {
	return max(ttl*1000/time.Second*time.Millisecond, time.Nanosecond)
}

func trimmed(key []byte) []byte {
	if t := strings.TrimSpace(string(key)); t != "" {
		return []byte(t)
	}
	return key
}

func decoded(key []byte) []byte {
	if b, err := base64.RawURLEncoding.DecodeString(string(key)); err == nil && len(b) > 0 {
		return b
	}
	return key
}

var storeMistakes = []mistake[dedupe.Store]{
	{"sub-second TTL becoming 24 h", withTTL(wholeSeconds), []string{"a TTL below", "a hit does", "a record expires", "a record outlives"}},
	{"ttl*1000 overflowing to inserted every time", withTTL(timesThousand), []string{"a TTL of", "a long TTL"}},
	{"uniqueness lock left behind when the insert fails", store(func(b *brokenStore) {
		b.put = func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
			inserted, err := b.Store.PutIfAbsent(ctx, key, ttl)
			if err != nil {
				b.Store.PutIfAbsent(context.WithoutCancel(ctx), key, time.Hour)
			}
			return inserted, err
		}
	}), []string{"a context that", "an invalid TTL", "the key of"}},
	{"get, wait, put", store(func(b *brokenStore) {
		var mu sync.Mutex
		b.put = func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
			mu.Lock()
			seen := time.Now().UnixMilli() < b.Records[string(key)].Expires
			mu.Unlock()
			if seen || len(key) == 0 {
				return b.Store.PutIfAbsent(ctx, key, ttl)
			}
			time.Sleep(time.Nanosecond)
			mu.Lock()
			defer mu.Unlock()
			_, err := b.Store.PutIfAbsent(ctx, key, ttl)
			return err == nil, err
		}
	}), []string{"hammer", "one of many"}},
	{"records expire early", withTTL(func(ttl time.Duration) time.Duration {
		return min(ttl, 1)
	}), []string{"a hit does", "a long TTL", "a record expires", "a record outlives"}},
	{"records of less than a second expire at once", withTTL(func(ttl time.Duration) time.Duration {
		if ttl == 0 {
			return 0
		}
		return max(wholeSeconds(ttl), 1)
	}), []string{"a hit does", "a record expires"}},
	{"a TTL of 0 is over at once", withTTL(func(ttl time.Duration) time.Duration { return max(ttl, 1) }), []string{"a TTL of"}},
	{"a hit extends the TTL", store(func(b *brokenStore) {
		b.put = func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
			inserted, err := b.Store.PutIfAbsent(ctx, key, ttl)
			if !inserted && err == nil {
				b.Mu.Lock()
				defer b.Mu.Unlock()
				b.Records[string(key)] = memory.StoreRecord{Expires: b.Latest + ttl.Milliseconds()}
			}
			return inserted, err
		}
	}), []string{"a hit does", "a record expires"}},
	{"a timer deletes any record", store(func(b *brokenStore) {
		b.put = func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
			inserted, err := b.Store.PutIfAbsent(ctx, key, ttl)
			if inserted {
				time.AfterFunc(ttl, func() { b.Store.Forget(context.Background(), key) })
			}
			return inserted, err
		}
	}), []string{"a TTL of", "a record outlives"}},
	{"keys are text", withKey(func(key []byte) []byte { return []byte(strings.ToValidUTF8(string(key), "\ufffd")) }), []string{"keys that look"}},
	{"keys are trimmed", withKey(trimmed), []string{"keys that look"}},
	{"keys that look encoded are decoded", withKey(decoded), []string{"an insert is", "errors do not", "keys that look"}},
	{"keys are cut at 2047 bytes", withKey(func(key []byte) []byte { return key[:min(len(key), dedupe.MaxKeySize-1)] }), []string{"errors do not", "keys have 1"}},
	{"keys are kept without copying", store(func(b *brokenStore) {
		last := []byte{}
		b.put = func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
			// last is still the caller's slice, so its content may have changed.
			if string(last) == string(key) && len(key) > 0 {
				return false, nil
			}
			inserted, err := b.Store.PutIfAbsent(ctx, key, ttl)
			if inserted && string(key) == "first" {
				last = key
			}
			return inserted, err
		}
	}), []string{"a key belongs"}},
	{"the TTL is part of the key", store(func(b *brokenStore) {
		b.put = func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
			if ttl == time.Millisecond {
				key = append([]byte("short"), key...)
			}
			return b.Store.PutIfAbsent(ctx, key, ttl)
		}
	}), []string{"the first insert"}},
	{"forget does nothing", store(func(b *brokenStore) {
		b.forget = func(ctx context.Context, key []byte) error { return check2(ctx, key, "Forget") }
	}), []string{"a record outlives", "an insert is", "forget makes a", "hammer", "keys have 1"}},
	{"forget forgets everything", store(func(b *brokenStore) {
		b.forget = func(ctx context.Context, key []byte) error {
			err := b.Store.Forget(ctx, key)
			if err == nil {
				clear(b.Records)
			}
			return err
		}
	}), []string{"forget leaves other"}},
	{"forget minds absence", store(func(b *brokenStore) {
		b.forget = func(ctx context.Context, key []byte) error {
			if _, ok := b.Records[string(key)]; !ok && check(ctx, key) == nil {
				return errors.New("not found")
			}
			return b.Store.Forget(ctx, key)
		}
	}), []string{"forget makes a"}},
	{"an invalid TTL still inserts", store(func(b *brokenStore) {
		b.put = func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
			inserted, err := b.Store.PutIfAbsent(ctx, key, ttl)
			if errors.Is(err, dedupe.ErrInvalidTTL) {
				b.Store.PutIfAbsent(ctx, key, time.Hour)
			}
			return inserted, err
		}
	}), []string{"an invalid TTL", "the key of"}},
	{"the context is ignored", store(func(b *brokenStore) {
		b.put = func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
			return b.Store.PutIfAbsent(context.WithoutCancel(ctx), key, ttl)
		}
	}), []string{"a context that", "errors do not", "the key of"}},
	{"errors tell keys", store(func(b *brokenStore) {
		b.put = func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
			inserted, err := b.Store.PutIfAbsent(ctx, key, ttl)
			if err != nil {
				err = fmt.Errorf("%s: %w", key, err)
			}
			return inserted, err
		}
	}), []string{"errors do not"}},
	{"an owner is not looked at", withOwner(func(string) string { return "" }), []string{"a repetition by", "an insert is", "an owner has"}},
	{"all owners are one", withOwner(func(owner string) string { return owner[:min(len(owner), 1)] }), []string{"an insert is", "an owner has"}},
	{"a repetition extends the TTL", store(func(b *brokenStore) {
		b.putAs = func(ctx context.Context, owner string, key []byte, ttl time.Duration) (bool, error) {
			inserted, err := b.Store.PutIfAbsentAs(ctx, owner, key, ttl)
			if inserted {
				b.Records[string(key)] = memory.StoreRecord{Owner: owner, Expires: b.Latest + ttl.Milliseconds()}
			}
			return inserted, err
		}
	}), []string{"a repetition by"}},
	{"no name", store(func(b *brokenStore) { b.name = func() string { return "" } }), []string{"the store has"}},
}

// check2 is check; its error names the operation.
func check2(ctx context.Context, key []byte, op string) error {
	if err := check(ctx, key); err != nil {
		return &dedupe.Error{Op: op, Err: err}
	}
	return nil
}
