//go:build !js

package stress

import (
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/soak"
)

// round is how long a soak runs the mixes before it checks the results and the
// use of memory. All mixes run at once, each in one workerd.
const round = 30 * time.Second

func TestSoak(t *testing.T) {
	if *soakFor == 0 {
		t.Skip("without -soak")
	}
	end := soak.Progress(*soakFor)
	begin := time.Now()
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
	end()
	t.Logf("%d rounds in %v: %v", rounds, time.Since(begin).Round(time.Second), total)
}
