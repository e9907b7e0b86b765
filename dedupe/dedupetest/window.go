package dedupetest

import (
	"errors"
	"time"

	"flow.internal/capdo/dedupe"
)

// beyondWindow tests two cases at the end of the window: a result is stored
// just before the end, and a holder dies whose lease ends after the window.
func (l ledgerTest) beyondWindow() {
	inTime(l.TB, 2*time.Second, func(key string, ttl time.Duration) bool {
		kept := time.Duration(dedupe.KeptAfter(ttl.Milliseconds())) * time.Millisecond
		o := dedupe.ClaimOptions{Owner: "a", Fingerprint: []byte("f"), Lease: ttl + kept/8, TTL: ttl}
		first := time.Now()
		l.claim("dead "+key, o, dedupe.Acquired)
		begin := time.Now()
		late := l.claim(key, o, dedupe.Acquired)
		seen := time.Now()

		sleepUntil(begin.Add(ttl - kept/2))
		completing := time.Now()
		completeErr := l.ledger.Complete(l.Context(), late, []byte("result"))
		if time.Since(begin) > ttl {
			return false // too late to check
		}
		o.Owner, o.Lease = "b", time.Minute
		sleepUntil(seen.Add(ttl + kept/8))
		replay, replayErr := l.ledger.Claim(l.Context(), []byte(key), o)
		if time.Since(completing) > kept {
			return false
		}
		sleepUntil(seen.Add(ttl + kept/4))
		o.Fingerprint = []byte("other")
		_, mismatch := l.ledger.Claim(l.Context(), []byte("dead "+key), o)
		o.Fingerprint = []byte("f")
		taken, takenErr := l.ledger.Claim(l.Context(), []byte("dead "+key), o)
		if time.Since(first) > ttl+kept {
			return false
		}

		if err := errors.Join(completeErr, replayErr, takenErr); err != nil {
			l.Fatal(err)
		}
		if replay.Outcome != dedupe.Replay || string(replay.Result) != "result" {
			l.Errorf("a result was stored just before the window ended; after the end: %+v", replay)
		}
		if !errors.Is(mismatch, dedupe.ErrMismatch) {
			l.Errorf("claim with another fingerprint, soon after the lease ended: %v", mismatch)
		}
		if taken.Outcome != dedupe.Acquired || !taken.TakenOver || taken.Attempt != 2 {
			l.Errorf("claim soon after the lease ended: %+v", taken)
		}
		return true
	})
}
