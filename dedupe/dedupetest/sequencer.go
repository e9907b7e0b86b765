package dedupetest

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
)

// TestSequencer checks everything that [dedupe.Sequencer] promises.
// newSequencer returns one without streams. Each subtest calls it once.
// Subtests run one after another and take about 1 s together. Those about owners
// are skipped unless it is a [dedupe.IdempotentSequencer].
func TestSequencer(
	t *testing.T, newSequencer func(t *testing.T) dedupe.Sequencer,
) {
	for _, test := range sequencerTests {
		t.Run(test.name, func(t *testing.T) { test.run(sequencerTest{t, newSequencer(t)}) })
	}
}

var sequencerTests = []struct {
	name string
	run  func(s sequencerTest)
}{
	{"keys are numbered from 1 without a gap", sequencerTest.numbers},
	{"the same key has the same number", sequencerTest.repeat},
	{"a concurrent sequence has no gap and no number twice", sequencerTest.concurrent},
	{"another hash mismatches and takes no number (known mistake: payload hash stored and never compared)", sequencerTest.mismatch},
	{"streams and keys that look alike are apart", sequencerTest.lookalikes},
	{"a key whose TTL is over is a new entry (known mistake: sub-second TTL becoming 24 h)",
		sequencerTest.expiry},
	{"a long TTL is kept (known mistake: ttl*1000 overflowing to inserted every time)",
		sequencerTest.longTTL},
	{"a call that fails takes no number (known mistake: uniqueness lock left behind when the insert fails)", sequencerTest.invalid},
	{"an entry is repeated by its owner", sequencerTest.owner},
	{"the sequencer has a name", sequencerTest.name},
}

type sequencerTest struct {
	testing.TB
	sequencer dedupe.Sequencer
}

func (s sequencerTest) next(stream, key, hash string, ttl time.Duration) dedupe.Seq {
	s.Helper()
	seq, err := s.sequencer.Next(s.Context(), []byte(stream), []byte(key), []byte(hash), ttl)
	if err != nil {
		s.Fatal(err)
	}
	return seq
}

func (s sequencerTest) want(stream, key string, n int64, inserted bool) {
	s.Helper()
	if seq := s.next(stream, key, "hash", time.Hour); seq.N != n || seq.Inserted != inserted {
		s.Errorf("key %.40q is %+v, want number %d, inserted %v", key, seq, n, inserted)
	}
}

func (s sequencerTest) numbers() {
	for n := range int64(20) {
		s.want("stream", string(hammerKey(int(n))), n+1, true)
	}
}

func (s sequencerTest) repeat() {
	begin := time.Now()
	first := s.next("stream", "key", "hash", time.Hour)
	s.want("stream", "another", 2, true)
	time.Sleep(20 * time.Millisecond)
	again := s.next("stream", "key", "hash", time.Hour)
	if !first.Inserted || again.Inserted || again.N != first.N ||
		!again.FirstSeen.Equal(first.FirstSeen) {
		s.Errorf("%+v, and again %+v", first, again)
	}
	if d := first.FirstSeen.Sub(begin); d < -time.Minute || d > time.Minute {
		s.Errorf("first seen %v after the call", d)
	}
	s.want("stream", "third", 3, true)
}

func (s sequencerTest) concurrent() {
	const callers, keys = 8, 12
	numbers := make([][]int64, callers)
	inserted := make([]int, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for k := range keys {
				seq, err := s.sequencer.Next(s.Context(), []byte("stream"),
					hammerKey((k*5+c)%keys), nil, time.Hour)
				if err != nil {
					s.Error(err)
				}
				numbers[c] = append(numbers[c], seq.N)
				if seq.Inserted {
					inserted[c]++
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for c := range callers {
		slices.Sort(numbers[c])
		for i, n := range numbers[c] {
			if n != int64(i+1) {
				s.Fatalf("caller %d saw the numbers %v", c, numbers[c])
			}
		}
		total += inserted[c]
	}
	if total != keys {
		s.Errorf("%d calls inserted %d keys", total, keys)
	}
}

func (s sequencerTest) mismatch() {
	s.want("stream", "key", 1, true)
	for _, hash := range []string{"other", "", "hash\x00"} {
		_, err := s.sequencer.Next(s.Context(), []byte("stream"), []byte("key"),
			[]byte(hash), time.Hour)
		storeTest{TB: s.TB}.wantError(err, "Next", dedupe.ErrMismatch)
	}
	s.want("stream", "key", 1, false)
	s.want("stream", "another", 2, true)
}

func (s sequencerTest) lookalikes() {
	for n, key := range lookalikes() {
		s.want("stream", key, int64(n+1), true)
		s.want(key, "key", 1, true)
	}
	for n, key := range lookalikes() {
		s.want("stream", key, int64(n+1), false)
		s.want(key, "key", 1, false)
	}
}

func (s sequencerTest) expiry() {
	s.next("stream", "short", "hash", 50*time.Millisecond)
	s.want("stream", "long", 2, true)
	time.Sleep(50*time.Millisecond + slack)
	if seq := s.next("stream", "short", "another hash", time.Hour); seq.N != 3 || !seq.Inserted {
		s.Errorf("after the TTL: %+v", seq)
	}
	s.want("stream", "long", 2, false)
}

func (s sequencerTest) longTTL() {
	for n, ttl := range longTTLs() {
		s.next("stream", string(hammerKey(n)), "hash", ttl)
	}
	time.Sleep(slack)
	for n := range longTTLs() {
		s.want("stream", string(hammerKey(n)), int64(n+1), false)
	}
}

func (s sequencerTest) invalid() {
	large := make([]byte, dedupe.MaxKeySize+1)
	k := []byte("k")
	for _, c := range []struct {
		stream, key, hash []byte
		ttl               time.Duration
		want              error
	}{
		{nil, k, nil, time.Hour, dedupe.ErrKeyEmpty}, {k, nil, nil, time.Hour, dedupe.ErrKeyEmpty},
		{large, k, nil, time.Hour, dedupe.ErrKeyTooLarge},
		{k, large, nil, time.Hour, dedupe.ErrKeyTooLarge},
		{k, k, make([]byte, dedupe.MaxFingerprintSize+1), time.Hour, dedupe.ErrFingerprintTooLarge},
		{k, k, nil, -1, dedupe.ErrInvalidTTL}, {k, k, nil, math.MaxInt64, dedupe.ErrInvalidTTL},
	} {
		_, err := s.sequencer.Next(s.Context(), c.stream, c.key, c.hash, c.ttl)
		storeTest{TB: s.TB}.wantError(err, "Next", c.want)
	}
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	_, err := s.sequencer.Next(ctx, k, k, nil, time.Hour)
	storeTest{TB: s.TB}.wantError(err, "Next", context.Canceled)
	s.want("k", "k", 1, true)
}

// nextAs calls NextAs, if the sequencer takes owners.
func (s sequencerTest) nextAs(owner, key, hash string) (dedupe.Seq, error) {
	s.Helper()
	sequencer, ok := s.sequencer.(dedupe.IdempotentSequencer)
	if !ok {
		s.Skip("not a dedupe.IdempotentSequencer")
	}
	return sequencer.NextAs(s.Context(), owner, []byte("stream"), []byte(key), []byte(hash),
		time.Hour)
}

func (s sequencerTest) wantAs(owner, key string, n int64, inserted bool) {
	s.Helper()
	seq, err := s.nextAs(owner, key, "hash")
	if err != nil || seq.N != n || seq.Inserted != inserted {
		s.Errorf("key %q as %.20q is %+v, %v, want number %d, inserted %v", key, owner, seq, err,
			n, inserted)
	}
}

func (s sequencerTest) owner() {
	s.wantAs("one", "a", 1, true)
	s.wantAs("other", "b", 2, true)
	s.wantAs("one", "a", 1, true)
	s.wantAs("other", "a", 1, false)
	s.want("stream", "a", 1, false)
	s.want("stream", "plain", 3, true)
	s.wantAs("", "plain", 3, false) // without an owner nobody is recognized
	longest := strings.Repeat("o", dedupe.MaxOwnerSize)
	s.wantAs(longest, "c", 4, true)
	s.wantAs(longest[1:], "c", 4, false)
	_, err := s.nextAs("one", "a", "another hash")
	storeTest{TB: s.TB}.wantError(err, "NextAs", dedupe.ErrMismatch)
	_, err = s.nextAs(longest+"o", "d", "hash")
	storeTest{TB: s.TB}.wantError(err, "NextAs", dedupe.ErrOwnerTooLarge)
	s.wantAs("one", "d", 5, true)
}

func (s sequencerTest) name() {
	if s.sequencer.Name() == "" {
		s.Error("Name() is empty")
	}
}
