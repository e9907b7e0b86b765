package dedupehttp

import (
	"context"
	"errors"
	"time"

	"flow.internal/capdo/dedupe"
)

// detachedLedger is the ledger that dedupe.Do sees.
type detachedLedger struct {
	dedupe.Ledger
	client context.Context // ends with the client
	claim  dedupe.Claim
	at     time.Time // before the claim
}

// Claim continues when the client disconnects, so that no claim is orphaned.
// Only waiting ends with the client.
func (l *detachedLedger) Claim(
	ctx context.Context, key []byte, opts dedupe.ClaimOptions,
) (claim dedupe.Claim, err error) {
	wait := opts.Wait
	opts.Wait = 0
	l.at = time.Now()
	claim, err = l.Ledger.Claim(ctx, key, opts)
	if err == nil && claim.Outcome == dedupe.InProgress && wait > 0 {
		opts.Wait = wait
		claim, err = l.Ledger.Claim(l.client, key, opts)
	}
	// For example, the client left while the claim waited.
	if errors.Is(err, dedupe.ErrUnknownOutcome) && claim.Owner != "" {
		opts.Wait, opts.Owner = 0, claim.Owner
		claim, err = l.Ledger.Claim(ctx, key, opts)
	}
	l.claim = claim
	return claim, err
}

// expires is the time when the key will be forgotten. It may be too early by
// the duration of the claim. It is zero if another attempt was the first,
// because the time is then unknown.
func (l *detachedLedger) expires(ttl time.Duration) time.Time {
	if l.claim.Attempt != 1 {
		return time.Time{}
	}
	return l.at.Add(ttl).Truncate(time.Second)
}
