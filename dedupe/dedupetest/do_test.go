//go:build !js

package dedupetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/internal/memory"
)

// doMistakes are mistakes in a ledger that make Do break its promises.
var doMistakes = []mistake[dedupe.Ledger]{
	{"Extend succeeds and does nothing", ledger(func(b *brokenLedger) {
		b.extended = func(context.Context, dedupe.Claim, time.Duration) error { return nil }
	}), []string{"the lease is kept until"}},
	{"Extend reports that the claim has ended", ledger(func(b *brokenLedger) {
		b.extended = func(context.Context, dedupe.Claim, time.Duration) error {
			return &dedupe.Error{Op: "Extend", Err: dedupe.ErrFenced}
		}
	}), []string{"the lease is kept until", "a claim whose answer is lost"}},
	{"a repeated completion is fenced", ledger(func(b *brokenLedger) {
		b.complete = func(ctx context.Context, c dedupe.Claim, result []byte) error {
			done := false
			b.of(c.Key, func(e *memory.Entry) { done = e.Done })
			if done {
				return &dedupe.Error{Op: "Complete", Err: dedupe.ErrFenced}
			}
			return b.Ledger.Complete(ctx, c, result)
		}
	}), []string{"a completion whose answer is lost"}},
	{"a completion after the lease's end is dropped without an error", ledger(func(b *brokenLedger) {
		b.complete = func(ctx context.Context, c dedupe.Claim, result []byte) error {
			over := false
			b.of(c.Key, func(e *memory.Entry) { over = e.LeaseEnd-e.FirstSeen > doLease.Milliseconds() })
			if over {
				return nil
			}
			return b.Ledger.Complete(ctx, c, result)
		}
	}), []string{"the lease is kept until", "work is told"}},
	{"a completion stores nothing", ledger(func(b *brokenLedger) {
		b.complete = func(ctx context.Context, c dedupe.Claim, result []byte) error { return dedupe.CheckResult(result) }
	}), []string{"the lease is kept until", "a completion", "a claim whose answer is lost", "work "}},
	{"a lease does not exclude other owners", ledger(func(b *brokenLedger) {
		b.claimed = func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
			b.of(key, func(e *memory.Entry) { e.LeaseEnd = 0 })
			return b.Ledger.Claim(ctx, key, o)
		}
	}), []string{"the lease is kept until", "a claim whose answer is lost", "a failure leaves"}},
	{"a result that is too large is cut off", ledger(func(b *brokenLedger) {
		b.complete = func(ctx context.Context, c dedupe.Claim, result []byte) error {
			return b.Ledger.Complete(ctx, c, result[:min(len(result), dedupe.MaxResultSize)])
		}
	}), []string{"work with a result that is too large"}},
	{"a result that is too large ends the claim", ledger(func(b *brokenLedger) {
		b.complete = func(ctx context.Context, c dedupe.Claim, result []byte) error {
			err := b.Ledger.Complete(ctx, c, result)
			if errors.Is(err, dedupe.ErrResultTooLarge) {
				b.Ledger.Release(ctx, c)
			}
			return err
		}
	}), []string{"work with a result that is too large"}},
	{"a takeover is not reported", ledger(func(b *brokenLedger) {
		b.claimed = func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
			c, err := b.Ledger.Claim(ctx, key, o)
			c.TakenOver = false
			return c, err
		}
	}), []string{"work is told"}},
	{"the same owner is a stranger", ledger(func(b *brokenLedger) {
		b.claimed = func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
			o.Owner = ""
			return b.Ledger.Claim(ctx, key, o)
		}
	}), []string{"a claim whose answer is lost"}},
	{"release leaves the claim to its lease", ledger(func(b *brokenLedger) {
		b.release = func(context.Context, dedupe.Claim) error { return nil }
	}), []string{"a failure that did nothing", "a caller that leaves before"}},
	{"a lease is over before its end", withOptions(func(o *dedupe.ClaimOptions) { o.Lease /= 100 }),
		[]string{"the lease is kept until"}},
	{"Extend fails, and the lease never ends", ledger(func(b *brokenLedger) {
		b.claimed = func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
			o.Lease = max(o.Lease, 100*doLease)
			return b.Ledger.Claim(ctx, key, o)
		}
	}), []string{"the context of work ends", "work is told"}},
}

func hasPrefix(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

func TestMistakesUnderDoAreFound(t *testing.T) {
	for _, m := range append([]mistake[dedupe.Ledger]{{"none", func() dedupe.Ledger { return memory.NewLedger(nil) }, nil}}, doMistakes...) {
		t.Run(m.name, func(t *testing.T) {
			for _, test := range doTests {
				failed := fails(t, func(t testing.TB) { test.run(ledgerTest{t, m.make()}, "key") })
				if want := hasPrefix(test.name, m.fails); failed != want {
					t.Errorf("%q fails: %v, want %v", test.name, failed, want)
				}
			}
		})
	}
	for _, test := range doTests {
		found := false
		for _, m := range doMistakes {
			found = found || hasPrefix(test.name, m.fails)
		}
		if !found {
			t.Errorf("no mistake fails %q", test.name)
		}
	}
}

// TestDoRunsAmidFaults checks that one failing situation fails the whole run.
func TestDoRunsAmidFaults(t *testing.T) {
	for name, broken := range map[string]bool{"right": false, "broken": true} {
		t.Run(name, func(t *testing.T) {
			make := func() dedupe.Ledger { return memory.NewLedger(nil) }
			if broken {
				make = doMistakes[0].make
			}
			if got := fails(t, func(t testing.TB) { ledgerTest{t, make()}.doAmidFaults() }); got != broken {
				t.Errorf("fails: %v", got)
			}
		})
	}
}
