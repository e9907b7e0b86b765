package dedupetest_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
)

func newMemory(*testing.T) dedupe.Store { return dedupetest.NewMemory(nil) }

func TestMemory(t *testing.T)       { dedupetest.TestStore(t, newMemory) }
func TestMemoryHammer(t *testing.T) { dedupetest.Hammer(t, newMemory) }

func TestMemoryClockDoesNotRunBackwards(t *testing.T) {
	now := time.Unix(1000, 0)
	m := dedupetest.NewMemory(func() time.Time { return now })
	put := func(ttl time.Duration, want bool) {
		t.Helper()
		if got, err := m.PutIfAbsent(t.Context(), []byte("key"), ttl); got != want || err != nil {
			t.Errorf("at %v: %v, %v", now, got, err)
		}
	}
	put(time.Second, true)
	now = now.Add(time.Second)
	put(time.Second, true)
	now = now.Add(-time.Hour)
	put(time.Second, false)
	if err := m.Forget(t.Context(), []byte("key")); err != nil {
		t.Error(err)
	}
	put(time.Second, true) // until 1002 s, not until an hour before
	now = time.Unix(1001, 999e6)
	put(time.Second, false)
	now = time.Unix(1002, 0)
	put(time.Second, true)
}

// broken is a store with a mistake in it that the tests must find.
type broken struct {
	dedupe.Store
	put    func(ctx context.Context, key []byte, ttl time.Duration) (bool, error)
	forget func(ctx context.Context, key []byte) error
}

func (b broken) PutIfAbsent(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
	if b.put != nil {
		return b.put(ctx, key, ttl)
	}
	return b.Store.PutIfAbsent(ctx, key, ttl)
}

func (b broken) Forget(ctx context.Context, key []byte) error {
	if b.forget != nil {
		return b.forget(ctx, key)
	}
	return b.Store.Forget(ctx, key)
}

// mistakes are stores by what is wrong with them, with the test that must fail.
var mistakes = []struct {
	name, test string
	make       func(s dedupe.Store) broken
}{
	{"racy", "one_of_many", func(s dedupe.Store) broken {
		var mu sync.Mutex
		seen := map[string]bool{}
		return broken{Store: s, put: func(_ context.Context, key []byte, _ time.Duration) (bool, error) {
			mu.Lock()
			was := seen[string(key)]
			mu.Unlock()
			time.Sleep(time.Millisecond) // get, wait, put
			mu.Lock()
			seen[string(key)] = true
			mu.Unlock()
			return !was, nil
		}}
	}},
	{"sub-second TTL becomes 24 h", "a_record_expires", func(s dedupe.Store) broken {
		return withTTL(s, func(ttl time.Duration) time.Duration { return ttl / time.Second * time.Second })
	}},
	{"ttl*1000 overflows, so that every insert is new", "the_longest", func(s dedupe.Store) broken {
		return withTTL(s, func(ttl time.Duration) time.Duration {
			if ttl == dedupe.MaxTTL {
				return time.Nanosecond
			}
			return ttl
		})
	}},
	{"records expire early", "a_record_expires", func(s dedupe.Store) broken {
		return withTTL(s, func(ttl time.Duration) time.Duration { return min(ttl, 1) })
	}},
	{"a hit extends the TTL", "a_hit_does_not", func(s dedupe.Store) broken {
		return broken{Store: s, put: func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
			inserted, err := s.PutIfAbsent(ctx, key, ttl)
			if !inserted && err == nil {
				s.Forget(ctx, key)
				s.PutIfAbsent(ctx, key, ttl)
			}
			return inserted, err
		}}
	}},
	{"a timer deletes whatever is there", "a_record_outlives", func(s dedupe.Store) broken {
		return broken{Store: s, put: func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
			time.AfterFunc(ttl, func() { s.Forget(context.Background(), key) })
			return s.PutIfAbsent(ctx, key, ttl)
		}}
	}},
	{"keys are text", "keys_that_look", func(s dedupe.Store) broken {
		return withKey(s, func(key []byte) []byte { return []byte(strings.ToValidUTF8(string(key), "\ufffd")) })
	}},
	{"keys are trimmed", "keys_that_look", func(s dedupe.Store) broken {
		return withKey(s, func(key []byte) []byte { return append([]byte("k"), strings.TrimSpace(string(key))...) })
	}},
	{"keys that look encoded are decoded", "keys_that_look", func(s dedupe.Store) broken {
		return withKey(s, func(key []byte) []byte {
			if b, err := base64.RawURLEncoding.DecodeString(string(key)); err == nil && len(b) > 0 {
				return b
			}
			return key
		})
	}},
	{"keys are cut at 2047 bytes", "keys_have", func(s dedupe.Store) broken {
		return withKey(s, func(key []byte) []byte { return key[:min(len(key), dedupe.MaxKeySize-1)] })
	}},
	{"keys are kept without copying", "a_key_belongs", func(s dedupe.Store) broken {
		var keys [][]byte
		return broken{Store: s, put: func(_ context.Context, key []byte, _ time.Duration) (bool, error) {
			for _, k := range keys {
				if string(k) == string(key) {
					return false, nil
				}
			}
			keys = append(keys, key)
			return true, nil
		}}
	}},
	{"forget does nothing", "forget_makes", func(s dedupe.Store) broken {
		return broken{Store: s, forget: func(context.Context, []byte) error { return nil }}
	}},
	{"forget minds absence", "forget_makes", func(s dedupe.Store) broken {
		return broken{Store: s, forget: func(ctx context.Context, key []byte) error {
			if inserted, _ := s.PutIfAbsent(ctx, key, time.Hour); inserted {
				return errors.New("not found")
			}
			return s.Forget(ctx, key)
		}}
	}},
	{"an invalid TTL inserts all the same", "an_invalid_TTL", func(s dedupe.Store) broken {
		return broken{Store: s, put: func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
			if _, err := dedupe.TTLMillis(ttl, 0); err != nil {
				s.PutIfAbsent(ctx, key, time.Hour)
			}
			return s.PutIfAbsent(ctx, key, ttl)
		}}
	}},
	{"the context is ignored", "a_context_that", func(s dedupe.Store) broken {
		return broken{Store: s, put: func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
			return s.PutIfAbsent(context.WithoutCancel(ctx), key, ttl)
		}}
	}},
	{"errors tell keys", "errors_do_not", func(s dedupe.Store) broken {
		return broken{Store: s, put: func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
			inserted, err := s.PutIfAbsent(ctx, key, ttl)
			if err != nil {
				err = fmt.Errorf("%s: %w", key, err)
			}
			return inserted, err
		}}
	}},
}

func withTTL(s dedupe.Store, change func(time.Duration) time.Duration) broken {
	return broken{Store: s, put: func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
		return s.PutIfAbsent(ctx, key, change(ttl))
	}}
}

func withKey(s dedupe.Store, change func([]byte) []byte) broken {
	return broken{
		Store: s,
		put: func(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
			return s.PutIfAbsent(ctx, change(key), ttl)
		},
		forget: func(ctx context.Context, key []byte) error { return s.Forget(ctx, change(key)) },
	}
}

// TestMistakesAreFound runs the tests on each broken store, in a process of its own that has to fail.
func TestMistakesAreFound(t *testing.T) {
	if runtime.GOOS == "js" {
		t.Skip("needs processes")
	}
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-test.run=^TestMistake$/"+m.test)
			cmd.Env = append(os.Environ(), "DEDUPETEST_MISTAKE="+m.name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestMistake/"+m.test) {
				t.Errorf("not found: %v\n%s", err, out)
			}
		})
	}
}

func TestMistake(t *testing.T) {
	name := os.Getenv("DEDUPETEST_MISTAKE")
	for _, m := range mistakes {
		if m.name == name {
			dedupetest.TestStore(t, func(*testing.T) dedupe.Store { return m.make(dedupetest.NewMemory(nil)) })
		}
	}
}

// The hammer, too, must find the racy store.
func TestHammerFindsARace(t *testing.T) {
	if os.Getenv("DEDUPETEST_HAMMER") != "" {
		dedupetest.Hammer(t, func(*testing.T) dedupe.Store { return mistakes[0].make(dedupetest.NewMemory(nil)) })
		return
	}
	if runtime.GOOS == "js" {
		t.Skip("needs processes")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestHammerFindsARace$")
	cmd.Env = append(os.Environ(), "DEDUPETEST_HAMMER=1")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "winners") {
		t.Errorf("not found: %v\n%s", err, out)
	}
}
