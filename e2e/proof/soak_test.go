//go:build !js

package proof

import (
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/soak"
)

// round is the duration of a soak's histories. Each history is judged and then
// dropped.
const round = 20 * time.Second

func TestSoak(t *testing.T) {
	if *soakFor == 0 {
		t.Skip("without -soak")
	}
	end := soak.Progress(*soakFor)
	total := figures{}
	rounds := 0
	begin := time.Now()
	for time.Since(begin) < *soakFor && !t.Failed() {
		left := max(min(round, *soakFor-time.Since(begin)), time.Second)
		h := disturbed.run(t, newLab(t), left)
		judge(t, h)
		rounds++
		total.add(h.figures)
	}
	end()
	verdict := "each linearizable"
	if t.Failed() {
		verdict = "the last one has no explanation"
	}
	t.Logf("%d rounds in %v: %v: %s", rounds, time.Since(begin).Round(time.Second), total, verdict)
}
