package dodedupe

import (
	"testing"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/durable/durabletest"
)

// realLedger returns ledgers on real objects, each subtest's with a scope of its own.
func realLedger(binding string, mapping Mapping) func(t *testing.T) dedupe.Ledger {
	return func(t *testing.T) dedupe.Ledger {
		t.Helper()
		l, err := NewLedger(durabletest.Env(t, nil), &LedgerOptions{Binding: binding, Mapping: mapping, Scope: t.Name()})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
}

func TestLedgerPerKeyOnRealObjects(t *testing.T) {
	dedupetest.TestLedger(t, realLedger("", PerKey()))
}

func TestLedgerInBucketsOnRealObjects(t *testing.T) {
	dedupetest.TestLedger(t, realLedger("", Buckets(3)))
}

func TestLedgerInOneBucketOnRealObjects(t *testing.T) {
	dedupetest.TestLedger(t, realLedger("", Buckets(1)))
}

func TestSequencerOnRealObjects(t *testing.T) {
	dedupetest.TestSequencer(t, func(t *testing.T) dedupe.Sequencer {
		s, err := NewSequencer(durabletest.Env(t, nil), &LedgerOptions{Scope: t.Name()})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
