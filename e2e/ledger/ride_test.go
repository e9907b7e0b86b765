//go:build !js

package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
)

// rides kills everything while callers work. For callers with a late deadline
// the calls only take longer: no claim is lost or made twice. A caller whose
// deadline comes first is told that the outcome is unknown.
func (w *worker) rides(t *testing.T) {
	c := w.connect(t)
	if _, err := c.Claim(t.Context(), []byte("held"), dedupe.ClaimOptions{Lease: time.Hour}); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var killed, first time.Time
	var longest time.Duration
	claims := 0
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				begin := time.Now()
				within, cancel := context.WithTimeout(t.Context(), time.Minute)
				claim, err := c.Claim(within, fmt.Appendf(nil, "ride %d %d", caller, n), dedupe.ClaimOptions{Lease: time.Hour})
				if err == nil {
					err = c.Complete(within, claim, []byte("done"))
				}
				cancel()
				if err != nil || claim.Attempt != 1 {
					t.Errorf("a caller with a minute: %+v, %v", claim, err)
					return
				}
				mu.Lock()
				claims++
				longest = max(longest, time.Since(begin))
				if !killed.IsZero() && first.IsZero() {
					first = time.Now()
				}
				mu.Unlock()
			}
		})
	}
	impatient := make(chan error, 1)
	go func() {
		within, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err := c.Claim(within, []byte("held"), dedupe.ClaimOptions{Lease: time.Minute, Wait: time.Minute})
		impatient <- err
	}()
	time.Sleep(500 * time.Millisecond) // its second request is in flight too
	w.Kill()
	mu.Lock()
	killed = time.Now()
	mu.Unlock()
	if err := <-impatient; !errors.Is(err, dedupe.ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller with 2 s: %v", err)
	}
	begin := time.Now()
	w.Run()
	up := time.Now()
	for end := up.Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		mu.Lock()
		over := !first.IsZero()
		mu.Unlock()
		if over {
			break
		}
	}
	stop()
	callers.Wait()
	t.Logf("%d claims; the server was down for %v, including %v to start; the first call succeeded %v later, the longest took %v",
		claims, up.Sub(killed).Round(time.Millisecond), up.Sub(begin).Round(time.Millisecond), first.Sub(up).Round(time.Millisecond), longest.Round(time.Millisecond))
	if claims < 8 || first.IsZero() {
		t.Errorf("%d claims, the first after the kill at %v", claims, first)
	}
}

// Without a deadline a call fails soon while the server is down.
func (w *worker) doesNotRide(t *testing.T) {
	c := w.connect(t)
	w.Kill()
	begin := time.Now()
	_, err := c.Claim(t.Context(), []byte("key"), dedupe.ClaimOptions{Lease: time.Hour})
	if took := time.Since(begin); err == nil || errors.Is(err, dedupe.ErrUnknownOutcome) || took > 10*time.Second { // nothing was sent
		t.Errorf("without a deadline: %v after %v", err, took)
	}
	w.Run()
}
