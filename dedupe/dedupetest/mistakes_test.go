//go:build !js

package dedupetest

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/internal/memory"
)

// mistake is a deliberate mistake, and the prefixes of the names of those
// subtests that must fail because of it. No other subtest may fail.
type mistake[T any] struct {
	name  string
	make  func() T
	fails []string
}

// record is a testing.TB that records a failure and does not report it.
type record struct {
	testing.TB
	failed atomic.Bool
}

func (r *record) Helper()               {}
func (r *record) Error(...any)          { r.failed.Store(true) }
func (r *record) Errorf(string, ...any) { r.failed.Store(true) }
func (r *record) Fatal(...any)          { r.failed.Store(true); runtime.Goexit() }
func (r *record) Fatalf(string, ...any) { r.failed.Store(true); runtime.Goexit() }

// fails reports whether a test fails. It runs in a synctest bubble, so nothing
// is late and no real time passes.
func fails(t *testing.T, test func(t testing.TB)) (failed bool) {
	synctest.Test(t, func(t *testing.T) {
		r := &record{TB: t}
		over := make(chan struct{})
		go func() {
			defer close(over)
			test(r)
		}()
		<-over
		failed = r.failed.Load()
	})
	return failed
}

// testMistakes runs a suite on the right implementation, which must pass, and
// on each mistake, which must fail exactly the subtests that it names.
func testMistakes[T any](t *testing.T, suite map[string]func(t testing.TB, impl T), right func() T, mistakes []mistake[T]) {
	found := map[string]bool{}
	for _, m := range append([]mistake[T]{{"none", right, nil}}, mistakes...) {
		t.Run(m.name, func(t *testing.T) {
			for _, name := range slices.Sorted(maps.Keys(suite)) {
				failed := fails(t, func(t testing.TB) { suite[name](t, m.make()) })
				found[name] = found[name] || failed
				want := slices.ContainsFunc(m.fails, func(begin string) bool { return strings.HasPrefix(name, begin) })
				if failed != want {
					t.Errorf("%q fails: %v, want %v", name, failed, want)
				}
				if strings.Contains(name, "(known mistake: "+m.name+")") && !failed {
					t.Errorf("%q has the mistake in its name and does not fail", name)
				}
			}
		})
	}
	for name := range suite {
		if !found[name] {
			t.Errorf("no mistake fails %q", name)
		}
	}
}

func TestMistakesOfAStoreAreFound(t *testing.T) {
	suite := map[string]func(testing.TB, dedupe.Store){"hammer": hammer}
	for _, test := range storeTests {
		suite[test.name] = func(t testing.TB, s dedupe.Store) { test.run(storeTest{t, s}) }
	}
	testMistakes(t, suite, func() dedupe.Store { return memory.NewStore(nil) }, storeMistakes)
}

func TestMistakesOfALedgerAreFound(t *testing.T) {
	suite := map[string]func(testing.TB, dedupe.Ledger){}
	for _, test := range ledgerTests {
		suite[test.name] = func(t testing.TB, l dedupe.Ledger) { test.run(ledgerTest{t, l}) }
	}
	testMistakes(t, suite, func() dedupe.Ledger { return memory.NewLedger(nil) }, ledgerMistakes)
}

func TestMistakesOfASequencerAreFound(t *testing.T) {
	suite := map[string]func(testing.TB, dedupe.Sequencer){}
	for _, test := range sequencerTests {
		suite[test.name] = func(t testing.TB, s dedupe.Sequencer) { test.run(sequencerTest{t, s}) }
	}
	testMistakes(t, suite, func() dedupe.Sequencer { return memory.NewSequencer(nil) }, sequencerMistakes)
}

// check makes the checks with which every store operation begins.
func check(ctx context.Context, key []byte) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return dedupe.CheckKey(key)
}
