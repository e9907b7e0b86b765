//go:build !js

package proof

import (
	"os"
	"testing"
	"time"

	"github.com/schollz/progressbar/v3"
)

// round is the duration of a soak's histories. Each history is judged and then
// dropped.
const round = 20 * time.Second

func TestSoak(t *testing.T) {
	if *soakFor == 0 {
		t.Skip("without -soak")
	}
	bar := progressbar.NewOptions64(int64(*soakFor/time.Second), progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetDescription("soaking"),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(500*time.Millisecond))
	total := figures{}
	rounds := 0
	begin := time.Now()
	soaking := disturbed
	soaking.tick = func() { bar.Set64(int64(min(time.Since(begin), *soakFor) / time.Second)) }
	for time.Since(begin) < *soakFor && !t.Failed() {
		left := max(min(round, *soakFor-time.Since(begin)), time.Second)
		h := soaking.run(t, newLab(t), left)
		judge(t, h)
		rounds++
		total.add(h.figures)
	}
	bar.Finish()
	os.Stderr.WriteString("\n")
	verdict := "each linearizable"
	if t.Failed() {
		verdict = "the last one has no explanation"
	}
	t.Logf("%d rounds in %v: %v: %s", rounds, time.Since(begin).Round(time.Second), total, verdict)
}
