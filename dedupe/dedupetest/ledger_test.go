package dedupetest_test

import (
	"testing"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
)

func TestMemoryLedger(t *testing.T) {
	dedupetest.TestLedger(t, func(*testing.T) dedupe.Ledger { return dedupetest.NewMemoryLedger(nil) })
}

func TestMemorySequencer(t *testing.T) {
	dedupetest.TestSequencer(t, func(*testing.T) dedupe.Sequencer { return dedupetest.NewMemorySequencer(nil) })
}
