package dedupetest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
)

// TestStore checks everything that [dedupe.Store] promises. newStore returns a
// store without records, for example one with its own scope. Each subtest calls
// it once. Subtests run one after another and take about 3 s together. Those
// about owners are skipped unless it is a [dedupe.IdempotentStore].
func TestStore(t *testing.T, newStore func(t *testing.T) dedupe.Store) {
	for _, test := range storeTests {
		t.Run(test.name, func(t *testing.T) { test.run(storeTest{t, newStore(t)}) })
	}
}

var storeTests = []struct {
	name string
	run  func(s storeTest)
}{
	{"the first insert is new and a repeat is not", storeTest.firstInsert},
	{"one of many concurrent inserts wins", storeTest.concurrentInserts},
	{"forget makes a key insertable at once", storeTest.forget},
	{"forget leaves other keys alone", storeTest.forgetOthers},
	{"a record expires when its TTL is over (known mistake: sub-second TTL becoming 24 h)",
		storeTest.expiry},
	{"a hit does not extend the TTL", storeTest.hit},
	{"a record outlives the TTL of the one before it", storeTest.successor},
	{"a TTL of 0 is the default", storeTest.zeroTTL},
	{"a TTL below a millisecond counts as one", storeTest.tinyTTL},
	{"a long TTL is kept (known mistake: ttl*1000 overflowing to inserted every time)",
		storeTest.longTTL},
	{"an invalid TTL is refused and changes nothing", storeTest.invalidTTL},
	{"the key of an insert that failed is free (known mistake: uniqueness lock left behind when the insert fails)", storeTest.failedInsert},
	{"keys have 1 to 2048 bytes", storeTest.keySizes},
	{"keys that look alike are apart", storeTest.lookalikes},
	{"a key belongs to the caller", storeTest.keyIsCopied},
	{"a context that has ended changes nothing", storeTest.endedContext},
	{"errors do not tell keys", storeTest.errorText},
	{"an insert is repeated by its owner", storeTest.owner},
	{"a repetition by the owner does not extend the TTL", storeTest.ownerTTL},
	{"an owner has up to 64 bytes", storeTest.ownerSizes},
	{"the store has a name", storeTest.name},
}

// storeTest is one test of one store.
type storeTest struct {
	testing.TB
	store dedupe.Store
}

// slack is how late a store may notice that a record has expired. Clocks count
// in ms, and caller and store may have different clocks.
const slack = 60 * time.Millisecond

func (s storeTest) put(key string, ttl time.Duration) bool {
	s.Helper()
	inserted, err := s.store.PutIfAbsent(s.Context(), []byte(key), ttl)
	if err != nil {
		s.Fatalf("PutIfAbsent with a key of %d bytes and TTL %v: %v", len(key), ttl, err)
	}
	return inserted
}

func (s storeTest) wantPut(key string, ttl time.Duration, inserted bool) {
	s.Helper()
	if got := s.put(key, ttl); got != inserted {
		s.Fatalf("PutIfAbsent with a key of %d bytes (%.40q) and TTL %v: inserted = %v, want %v",
			len(key), key, ttl, got, inserted)
	}
}

// inTime runs a test that must check something within d. If the check comes too
// late, it runs the test again with a new key and a larger d.
func inTime(t testing.TB, d time.Duration, test func(key string, d time.Duration) (inTime bool)) {
	t.Helper()
	for n := 0; !test("key "+strconv.Itoa(n), d); n++ {
		if d *= 4; d > time.Minute {
			t.Fatalf("calls take too long to check anything within %v", d/4)
		}
	}
}

func (s storeTest) wantForget(key string) {
	s.Helper()
	if err := s.store.Forget(s.Context(), []byte(key)); err != nil {
		s.Fatalf("Forget with a key of %d bytes: %v", len(key), err)
	}
}

// wantError checks an operation's error.
func (s storeTest) wantError(err error, op string, want error) {
	s.Helper()
	var e *dedupe.Error
	if !errors.Is(err, want) || !errors.As(err, &e) || e.Op != op {
		s.Errorf("%s: error %v (%T), want a *dedupe.Error of that operation that matches: %v",
			op, err, err, want)
	}
}

func (s storeTest) firstInsert() {
	s.wantPut("key", time.Hour, true)
	s.wantPut("key", time.Hour, false)
	s.wantPut("key", time.Millisecond, false)
	s.wantPut("another", time.Hour, true)
}

func (s storeTest) concurrentInserts() {
	if n := s.race("key", 64); n != 1 {
		s.Errorf("%d of 64 concurrent calls inserted", n)
	}
	s.wantPut("key", time.Hour, false)
}

// race counts the winners among n concurrent callers.
func (s storeTest) race(key string, n int) (winners int) {
	won := make([]bool, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range won {
		wg.Go(func() {
			<-start
			var err error
			if won[i], err = s.store.PutIfAbsent(s.Context(), []byte(key), time.Hour); err != nil {
				s.Error(err)
			}
		})
	}
	close(start)
	wg.Wait()
	for _, w := range won {
		if w {
			winners++
		}
	}
	return winners
}

func (s storeTest) forget() {
	s.wantForget("absent")
	s.wantPut("key", time.Hour, true)
	s.wantForget("key")
	s.wantForget("key")
	s.wantPut("key", time.Hour, true)
	s.wantPut("key", time.Hour, false)
}

func (s storeTest) forgetOthers() {
	s.wantPut("a", time.Hour, true)
	s.wantPut("b", time.Hour, true)
	s.wantForget("a")
	s.wantPut("b", time.Hour, false)
}

func (s storeTest) expiry() { s.expires(300*time.Millisecond, 1) }
func (s storeTest) hit()    { s.expires(500*time.Millisecond, 3) }

// expires checks that a record lives for its TTL, and that hits do not extend
// it.
func (s storeTest) expires(ttl time.Duration, hits int) {
	inTime(s.TB, ttl, func(key string, ttl time.Duration) bool {
		begin := time.Now()
		s.wantPut(key, ttl, true)
		inserted := time.Now()
		for n := range hits {
			sleepUntil(begin.Add(ttl * time.Duration(n+1) / time.Duration(hits+1)))
			again, took := s.put(key, ttl), time.Since(begin)
			if took > ttl-slack {
				return false
			}
			if again {
				s.Fatalf("a record of %v is gone after %v", ttl, took)
			}
		}
		sleepUntil(inserted.Add(ttl + slack))
		s.wantPut(key, ttl, true)
		return true
	})
}

func (s storeTest) successor() {
	const ttl = 200 * time.Millisecond
	s.wantPut("expired", ttl, true)
	s.wantPut("forgotten", ttl, true)
	s.wantForget("forgotten")
	s.wantPut("forgotten", time.Hour, true)
	time.Sleep(ttl + slack)
	s.wantPut("expired", time.Hour, true)
	time.Sleep(ttl + slack)
	s.wantPut("forgotten", time.Hour, false)
	s.wantPut("expired", time.Hour, false)
}

func (s storeTest) zeroTTL() {
	s.wantPut("key", 0, true)
	time.Sleep(slack)
	s.wantPut("key", 0, false)
}

func (s storeTest) tinyTTL() {
	s.wantPut("key", 1, true)
	time.Sleep(slack)
	s.wantPut("key", 999*time.Microsecond, true)
	time.Sleep(slack)
	s.wantPut("key", time.Hour, true)
}

// longTTLs returns durations that overflow 64 bits when their ns are multiplied
// by 1000 or more. There are several, because one product may happen to be
// large.
func longTTLs() []time.Duration {
	return []time.Duration{107 * 24 * time.Hour, 200 * 24 * time.Hour, 365 * 24 * time.Hour,
		9_223_372_037 * time.Millisecond, dedupe.MaxTTL}
}

func (s storeTest) longTTL() {
	for n, ttl := range longTTLs() {
		s.wantPut(string(hammerKey(n)), ttl, true)
	}
	time.Sleep(slack)
	for n, ttl := range longTTLs() {
		s.wantPut(string(hammerKey(n)), ttl, false)
	}
}

// failedInsert makes inserts fail in the ways that every store has, and expects
// the next insert to succeed.
func (s storeTest) failedInsert() {
	ended, cancel := context.WithCancel(s.Context())
	cancel()
	_, err := s.store.PutIfAbsent(ended, []byte("ended"), time.Hour)
	s.wantError(err, "PutIfAbsent", context.Canceled)
	_, err = s.store.PutIfAbsent(s.Context(), []byte("invalid"), -1)
	s.wantError(err, "PutIfAbsent", dedupe.ErrInvalidTTL)
	for _, key := range []string{"ended", "invalid"} {
		s.wantPut(key, time.Hour, true)
		s.wantPut(key, time.Hour, false)
	}
}

func (s storeTest) invalidTTL() {
	for _, ttl := range []time.Duration{-1, -time.Hour, math.MinInt64,
		dedupe.MaxTTL + 1, math.MaxInt64} {
		_, err := s.store.PutIfAbsent(s.Context(), []byte("key"), ttl)
		s.wantError(err, "PutIfAbsent", dedupe.ErrInvalidTTL)
	}
	s.wantPut("key", time.Hour, true)
}

func (s storeTest) keySizes() {
	longest := strings.Repeat("k", dedupe.MaxKeySize)
	s.wantPut(longest, time.Hour, true)
	s.wantPut(longest, time.Hour, false)
	s.wantPut(longest[1:], time.Hour, true)
	s.wantForget(longest)
	s.wantPut(longest, time.Hour, true)
	for _, c := range []struct {
		key  []byte
		want error
	}{{nil, dedupe.ErrKeyEmpty}, {[]byte{}, dedupe.ErrKeyEmpty},
		{[]byte(longest + "k"), dedupe.ErrKeyTooLarge}} {
		_, err := s.store.PutIfAbsent(s.Context(), c.key, time.Hour)
		s.wantError(err, "PutIfAbsent", c.want)
		s.wantError(s.store.Forget(s.Context(), c.key), "Forget", c.want)
	}
}

// lookalikes returns keys that a careless mapping would confuse: bytes that are
// not text, texts that differ only in case, form or length, and keys that look
// like an encoding of another key or like part of a path or a name.
func lookalikes() []string {
	keys := []string{
		"a", "A", "a ", " a", "a\x00", "\x00a", "\x00", "\x00\x00", "a\n", "a\r\n", "aa", "\u00e5",
		"a\u030a", "\ufffd", "\xff", "\xff\xfe", "\xc3",
		"\ufeffa", "\x80", "\xed\xa0\x80", "\U0001f600", "a/b", "a%2fb", "a%2Fb", "a/../b", "b",
		".", "..", "/", "a:b", "a:", ":a", ":", "::", "a::b", "a+b",
		"a b", "a%20b", "a?b", "a#b", "a=b", "a&b", "null", "undefined", "0", "00", "-0", "1",
		"1.0", "true", "{}", "[]", `"a"`, "__proto__",
		"constructor", "_cf_KV", "capdo.dedupe.v1::YQ",
	}
	for _, k := range []string{"a", "\xff\xff\xff", "\xfb\xef\xbe"} {
		keys = append(keys, hex.EncodeToString([]byte(k)),
			base64.StdEncoding.EncodeToString([]byte(k)),
			base64.RawURLEncoding.EncodeToString([]byte(k)),
			base64.RawURLEncoding.EncodeToString([]byte(k))+"=")
	}
	seen := map[string]bool{}
	unique := keys[:0]
	for _, k := range keys {
		if !seen[k] {
			seen[k] = true
			unique = append(unique, k)
		}
	}
	return unique
}

func (s storeTest) lookalikes() {
	for _, key := range lookalikes() {
		s.wantPut(key, time.Hour, true)
	}
	for _, key := range lookalikes() {
		s.wantPut(key, time.Hour, false)
	}
}

func (s storeTest) keyIsCopied() {
	key := []byte("first")
	if _, err := s.store.PutIfAbsent(s.Context(), key, time.Hour); err != nil {
		s.Fatal(err)
	}
	if string(key) != "first" {
		s.Errorf("PutIfAbsent changed its key to %q", key)
	}
	copy(key, "other")
	s.wantPut("first", time.Hour, false)
	s.wantPut("other", time.Hour, true)
}

func (s storeTest) endedContext() {
	s.wantPut("there", time.Hour, true)
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	_, err := s.store.PutIfAbsent(ctx, []byte("key"), time.Hour)
	s.wantError(err, "PutIfAbsent", context.Canceled)
	s.wantError(s.store.Forget(ctx, []byte("there")), "Forget", context.Canceled)
	s.wantPut("key", time.Hour, true)
	s.wantPut("there", time.Hour, false)
}

func (s storeTest) errorText() {
	const secret = "card-4111111111111111"
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	_, ended := s.store.PutIfAbsent(ctx, []byte(secret), time.Hour)
	_, ttl := s.store.PutIfAbsent(s.Context(), []byte(secret), -1)
	long := []byte(strings.Repeat(secret, 100))
	_, large := s.store.PutIfAbsent(s.Context(), long, time.Hour)
	for _, err := range []error{ended, ttl, large, s.store.Forget(ctx, []byte(secret)),
		s.store.Forget(s.Context(), long)} {
		if err == nil || strings.Contains(err.Error(), secret[:8]) {
			s.Errorf("error %q; want one without the key", err)
		}
	}
}

// owned is the store, if it takes owners.
func (s storeTest) owned() dedupe.IdempotentStore {
	store, ok := s.store.(dedupe.IdempotentStore)
	if !ok {
		s.Skip("not a dedupe.IdempotentStore")
	}
	return store
}

func (s storeTest) wantPutAs(owner, key string, ttl time.Duration, inserted bool) {
	s.Helper()
	got, err := s.owned().PutIfAbsentAs(s.Context(), owner, []byte(key), ttl)
	if got != inserted || err != nil {
		s.Fatalf("PutIfAbsentAs %.20q: inserted = %v, %v, want %v", owner, got, err, inserted)
	}
}

func (s storeTest) owner() {
	s.owned()
	s.wantPutAs("one", "key", time.Hour, true)
	s.wantPutAs("one", "key", time.Hour, true)
	s.wantPutAs("other", "key", time.Hour, false)
	s.wantPut("key", time.Hour, false)
	s.wantPutAs("one", "another", time.Hour, true)
	s.wantPut("plain", time.Hour, true)
	for range 2 { // without an owner nobody is recognized
		s.wantPutAs("", "plain", time.Hour, false)
	}
	s.wantForget("key")
	s.wantPutAs("other", "key", time.Hour, true)
	s.wantPutAs("one", "key", time.Hour, false)
}

// ownerTTL checks that a repetition does not prolong a record's life.
func (s storeTest) ownerTTL() {
	s.owned()
	inTime(s.TB, 300*time.Millisecond, func(key string, ttl time.Duration) bool {
		begin := time.Now()
		s.wantPutAs("one", key, ttl, true)
		inserted := time.Now()
		s.wantPutAs("one", key, time.Hour, true)
		if time.Since(begin) > ttl-slack {
			return false
		}
		sleepUntil(inserted.Add(ttl + slack))
		s.wantPutAs("other", key, time.Hour, true)
		return true
	})
}

func (s storeTest) ownerSizes() {
	longest := strings.Repeat("o", dedupe.MaxOwnerSize)
	s.wantPutAs(longest, "key", time.Hour, true)
	s.wantPutAs(longest, "key", time.Hour, true)
	s.wantPutAs(longest[1:], "key", time.Hour, false)
	s.wantPutAs(longest[1:]+"\xff", "key", time.Hour, false)
	_, err := s.owned().PutIfAbsentAs(s.Context(), longest+"o", []byte("free"), time.Hour)
	s.wantError(err, "PutIfAbsentAs", dedupe.ErrOwnerTooLarge)
	_, err = s.owned().PutIfAbsentAs(s.Context(), "one", nil, time.Hour)
	s.wantError(err, "PutIfAbsentAs", dedupe.ErrKeyEmpty)
	_, err = s.owned().PutIfAbsentAs(s.Context(), "one", []byte("free"), -1)
	s.wantError(err, "PutIfAbsentAs", dedupe.ErrInvalidTTL)
	s.wantPut("free", time.Hour, true)
}

func (s storeTest) name() {
	if s.store.Name() == "" {
		s.Errorf("Name() = %q", s.store.Name())
	}
}

func sleepUntil(t time.Time) { time.Sleep(time.Until(t)) }
