//go:build !js

package stress

import (
	"os"
	"testing"
	"time"

	"github.com/schollz/progressbar/v3"
)

// round is how long a soak runs a mix before it checks the results and starts
// another mix.
const round = 30 * time.Second

func TestSoak(t *testing.T) {
	if *soakFor == 0 {
		t.Skip("without -soak")
	}
	bar := progressbar.NewOptions64(int64(*soakFor/time.Second), progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetDescription("soaking"),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(500*time.Millisecond))
	begin := time.Now()
	over := make(chan struct{})
	go func() {
		for tick := time.NewTicker(time.Second); ; {
			bar.Set64(int64(min(time.Since(begin), *soakFor) / time.Second))
			select {
			case <-tick.C:
			case <-over:
				return
			}
		}
	}()
	all, total, rounds := append(mixes[:len(mixes):len(mixes)], resets), figures{}, 0
	for s := firstSeed(); time.Since(begin) < *soakFor && !t.Failed(); s++ {
		m := all[rounds%len(all)]
		t.Run(m.name, func(t *testing.T) {
			for name, n := range m.run(t, s, min(round, *soakFor)) {
				total[name] += n
			}
		})
		rounds++
	}
	close(over)
	bar.Finish()
	os.Stderr.WriteString("\n")
	t.Logf("%d rounds in %v: %v", rounds, time.Since(begin).Round(time.Second), total)
}
