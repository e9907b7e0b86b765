//go:build !js

package dedupetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/internal/memory"
)

// stalled is a ledger on which one call, or its answer, is late.
type stalled struct {
	dedupe.Ledger
	calls  atomic.Int32
	at     int32
	answer bool
}

// call runs a call, and delays it if it is the selected one.
func (s *stalled) call(run func()) {
	late := s.calls.Add(1) == s.at
	if late && !s.answer {
		time.Sleep(stall)
	}
	run()
	if late && s.answer {
		time.Sleep(stall)
	}
}

// stall is longer than the first attempt may take, and shorter than the last.
const stall = 3 * time.Second

func (s *stalled) Claim(ctx context.Context, key []byte, o dedupe.ClaimOptions) (c dedupe.Claim, err error) {
	s.call(func() { c, err = s.Ledger.Claim(ctx, key, o) })
	return c, err
}

func (s *stalled) Complete(ctx context.Context, c dedupe.Claim, result []byte) (err error) {
	s.call(func() { err = s.Ledger.Complete(ctx, c, result) })
	return err
}

// The suite must not report a ledger on a busy machine as broken.
func TestCallThatStallsIsTriedAgain(t *testing.T) {
	tests := []struct {
		name  string
		run   func(ledgerTest)
		calls int32
	}{
		{"takeover", ledgerTest.takeover, 3},
		{"window", ledgerTest.window, 4},
		{"beyond the window", ledgerTest.beyondWindow, 6},
	}
	for _, test := range tests {
		for at := range test.calls {
			for _, answer := range []bool{false, true} {
				name := fmt.Sprintf("%s, call %d, answer %v", test.name, at+1, answer)
				t.Run(name, func(t *testing.T) {
					s := &stalled{Ledger: memory.NewLedger(nil), at: at + 1, answer: answer}
					if fails(t, func(t testing.TB) { test.run(ledgerTest{t, s}) }) {
						t.Error("the test fails")
					}
					if n := s.calls.Load(); n < test.calls {
						t.Errorf("%d calls, want at least %d", n, test.calls)
					}
				})
			}
		}
	}
}
