//go:build !js

package runtime

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// If the answer to a claim is lost because the program crashed, the same owner
// tries again. The key still has exactly one winner.
func TestOneWinnerPerKeyWhileTheProgramCrashes(t *testing.T) {
	t.Parallel()
	l := start(t)
	const keys, callers = 30, 4
	var winners [keys]atomic.Int32
	var unknown, crashes atomic.Int32
	stop := make(chan struct{})
	var crashing sync.WaitGroup
	crashing.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(40 * time.Millisecond):
				l.get("/?m=exit")
				crashes.Add(1)
			}
		}
	})
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for n := range keys {
				key := (n + caller) % keys
				switch a := l.get(fmt.Sprintf("/?m=claim&k=crash%d&n=600000", key)); {
				case a.status != 200:
					unknown.Add(1)
				case a.body == "true":
					winners[key].Add(1)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	crashing.Wait()
	for key := range winners {
		if n := winners[key].Load(); n > 1 {
			t.Errorf("key %d has %d winners", key, n)
		}
		l.want(fmt.Sprintf("/?m=claim&k=crash%d&n=600000", key), "false")
	}
	t.Logf("%d claims, %d unknown outcomes, %d crashes", keys*callers, unknown.Load(), crashes.Load())
}
