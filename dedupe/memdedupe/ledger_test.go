package memdedupe_test

import (
	"testing"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/dedupe/memdedupe"
)

func TestLedger(t *testing.T) {
	dedupetest.TestLedger(t, func(*testing.T) dedupe.Ledger { return memdedupe.NewLedger(nil) })
}

func TestSequencer(t *testing.T) {
	dedupetest.TestSequencer(t, func(*testing.T) dedupe.Sequencer { return memdedupe.NewSequencer(nil) })
}
