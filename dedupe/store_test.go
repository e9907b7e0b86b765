package dedupe_test

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
)

func TestTTLMillis(t *testing.T) {
	const day, tenYears = int64(86_400_000), int64(315_360_000_000)
	for _, c := range []struct {
		name              string
		ttl, storeDefault time.Duration
		want              int64 // -1: ErrInvalidTTL
	}{
		{"whole milliseconds stay", 1500 * time.Millisecond, 0, 1500},
		{"a nanosecond is a millisecond", 1, 0, 1},
		{"another microsecond is another millisecond", time.Second + time.Microsecond, 0, 1001},
		{"a nanosecond less than a second is a second", time.Second - 1, 0, 1000},
		{"below a second is not the default", 300 * time.Millisecond, time.Hour, 300},
		{"zero is 24 hours", 0, 0, day},
		{"zero is the store's default", 0, time.Minute, 60_000},
		{"the default is rounded up too", 0, time.Microsecond, 1},
		{"the longest", dedupe.MaxTTL, 0, tenYears},
		{"just below the maximum is rounded up to it", dedupe.MaxTTL - 1, 0, tenYears},
		{"beyond the longest", dedupe.MaxTTL + 1, 0, -1},
		{"the largest duration", math.MaxInt64, 0, -1},
		{"negative", -1, 0, -1},
		{"the smallest duration", math.MinInt64, 0, -1},
		{"a negative default", 0, -time.Hour, -1},
		{"a default beyond the maximum", 0, dedupe.MaxTTL + 1, -1},
		{"an invalid default that is not used", time.Second, -1, 1000},
	} {
		got, err := dedupe.TTLMillis(c.ttl, c.storeDefault)
		if c.want < 0 && !errors.Is(err, dedupe.ErrInvalidTTL) || c.want >= 0 && (err != nil || got != c.want) {
			t.Errorf("%s: TTLMillis(%d, %d) = %d, %v; want %d", c.name, c.ttl, c.storeDefault, got, err, c.want)
		}
	}
}

func TestCheckKey(t *testing.T) {
	for size, want := range map[int]error{0: dedupe.ErrKeyEmpty, 1: nil, 2048: nil, 2049: dedupe.ErrKeyTooLarge, 1 << 20: dedupe.ErrKeyTooLarge} {
		if err := dedupe.CheckKey(make([]byte, size)); err != want {
			t.Errorf("a key of %d bytes: %v, want %v", size, err, want)
		}
	}
	if err := dedupe.CheckKey(nil); err != dedupe.ErrKeyEmpty {
		t.Errorf("no key: %v", err)
	}
}

func TestErrorMatchesItsCauseAndItsKind(t *testing.T) {
	cause := errors.New("cause")
	for _, c := range []struct {
		err  *dedupe.Error
		text string
		is   []error
		not  []error
	}{
		{&dedupe.Error{Op: "Forget", Err: cause}, "dedupe: Forget: cause", []error{cause}, []error{errors.ErrUnsupported}},
		{&dedupe.Error{Op: "New", Kind: dedupe.RuntimeUnavailable}, "dedupe: New: runtime unavailable", []error{errors.ErrUnsupported}, []error{cause}},
		{&dedupe.Error{Op: "New", Kind: dedupe.RuntimeUnavailable, Err: cause}, "dedupe: New: cause", []error{errors.ErrUnsupported, cause}, nil},
		{&dedupe.Error{Op: "PutIfAbsent"}, "dedupe: PutIfAbsent: other", nil, []error{cause, errors.ErrUnsupported}},
	} {
		if c.err.Error() != c.text {
			t.Errorf("text %q, want %q", c.err, c.text)
		}
		for _, target := range c.is {
			if !errors.Is(c.err, target) {
				t.Errorf("%v does not match %v", c.err, target)
			}
		}
		for _, target := range c.not {
			if errors.Is(c.err, target) {
				t.Errorf("%v matches %v", c.err, target)
			}
		}
	}
}

func TestSentinelsAreDistinct(t *testing.T) {
	all := []error{dedupe.ErrKeyEmpty, dedupe.ErrKeyTooLarge, dedupe.ErrInvalidTTL, dedupe.ErrUnknownOutcome, dedupe.ErrOverloaded}
	for i, a := range all {
		for j, b := range all {
			if errors.Is(a, b) != (i == j) {
				t.Errorf("errors.Is(%v, %v) = %v", a, b, i != j)
			}
		}
	}
}

// FuzzTTLMillis: a valid TTL is never shortened, and lengthened by less than 1
// ms.
func FuzzTTLMillis(f *testing.F) {
	for _, d := range []time.Duration{0, 1, -1, 999_999, 1_000_000, dedupe.MaxTTL, dedupe.MaxTTL + 1, math.MaxInt64, math.MinInt64} {
		f.Add(int64(d), int64(0))
	}
	f.Fuzz(func(t *testing.T, ttl, storeDefault int64) {
		ms, err := dedupe.TTLMillis(time.Duration(ttl), time.Duration(storeDefault))
		want := ttl
		if want == 0 {
			want = storeDefault
		}
		if want == 0 {
			want = int64(dedupe.DefaultTTL)
		}
		if valid := want > 0 && want <= int64(dedupe.MaxTTL); valid != (err == nil) {
			t.Fatalf("TTLMillis(%d, %d): %v", ttl, storeDefault, err)
		}
		if err == nil && (ms*1_000_000 < want || ms*1_000_000-want >= 1_000_000) {
			t.Fatalf("TTLMillis(%d, %d) = %d ms", ttl, storeDefault, ms)
		}
	})
}

// The text of ErrKeyTooLarge contains the limit.
func TestLimitsInTextsAreTheLimits(t *testing.T) {
	if !strings.Contains(dedupe.ErrKeyTooLarge.Error(), "2048") || dedupe.CheckKey(bytes.Repeat([]byte("k"), 2048)) != nil {
		t.Error(dedupe.ErrKeyTooLarge)
	}
}
