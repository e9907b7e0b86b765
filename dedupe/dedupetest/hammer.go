package dedupetest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
)

// Size of the hammer.
const (
	hammerCallers = 32
	hammerKeys    = 8
	hammerRounds  = 4
)

// Hammer makes 32 callers compete for 8 keys, each caller in its own order. It
// runs 4 rounds. In each round every key must have exactly one winner; then the
// keys are forgotten for the next round. newStore is called once.
func Hammer(t *testing.T, newStore func(t *testing.T) dedupe.Store) { hammer(t, newStore(t)) }

func hammer(t testing.TB, s dedupe.Store) {
	for round := range hammerRounds {
		winners := hammerRound(t, s)
		for key, n := range winners {
			if n != 1 {
				t.Errorf("round %d: key %d has %d winners", round, key, n)
			}
			if err := s.Forget(t.Context(), hammerKey(key)); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
	}
}

func hammerRound(t testing.TB, s dedupe.Store) []int32 {
	winners := make([]int32, hammerKeys)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for range hammerCallers {
		wg.Go(func() {
			<-start
			for _, key := range rand.Perm(hammerKeys) {
				inserted, err := s.PutIfAbsent(t.Context(), hammerKey(key), time.Hour)
				if err != nil {
					t.Error(err)
				}
				if inserted {
					atomic.AddInt32(&winners[key], 1)
				}
			}
		})
	}
	close(start)
	wg.Wait()
	return winners
}

func hammerKey(n int) []byte { return fmt.Appendf(nil, "key %d", n) }
