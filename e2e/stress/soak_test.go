//go:build !js

package stress

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/schollz/progressbar/v3"
)

// round is how long a soak runs the mixes before it checks the results and the
// use of memory. All mixes run at once, each in one workerd.
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
	var mu sync.Mutex
	t.Run("mixes", func(t *testing.T) {
		for i, m := range all {
			t.Run(m.name, func(t *testing.T) {
				t.Parallel()
				done := 0
				did := m.run(t, firstSeed()+uint64(i)<<32, round, func(n int) bool {
					done = n
					return n < 3 || time.Since(begin) < *soakFor
				})
				mu.Lock()
				defer mu.Unlock()
				rounds += done
				for name, n := range did {
					total[name] += n
				}
			})
		}
	})
	close(over)
	bar.Finish()
	os.Stderr.WriteString("\n")
	t.Logf("%d rounds in %v: %v", rounds, time.Since(begin).Round(time.Second), total)
}
