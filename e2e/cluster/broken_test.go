//go:build !js

package cluster

import (
	"testing"

	"flow.internal/capdo/e2e/internal/worker"
)

const entries = "../../dedupe/dodedupe/internal/entry/"

// The ledger without its check of owner and fence accepts calls of holders who
// have lost their claim. The checker must notice that across nodes.
func TestMissingFenceCheckIsCaught(t *testing.T) {
	broken := buildWith(t, worker.Change{File: entries + "transition.go", Old: "return e.Number == h.Fence && e.Owner == h.Owner", New: "return true"})
	t.Parallel()
	isCaught(t, newLabOf(t, broken.Dir, loadConfig(t, "worker"), 2, &network{why: "not needed"}, same))
}

// buildWith builds the Worker with changes. No other test may run.
func buildWith(t *testing.T, changes ...worker.Change) worker.Built {
	t.Helper()
	b, err := worker.BuildWith("worker", t.TempDir(), changes)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
