package dedupehttp

import (
	"context"
	"sync/atomic"

	"flow.internal/capdo/dedupe"
)

// running is the value of a handler's context.
type running struct {
	key      string
	claim    dedupe.Claim
	noEffect atomic.Bool
}

type runningKey struct{}

// Key returns the handler's Idempotency-Key, without quotes and escapes, as the
// client sent it. ok is false for a request without a key. To use it as an
// idempotency key of another service without scopes, prepend the scope.
func Key(ctx context.Context) (key string, ok bool) {
	r, ok := ctx.Value(runningKey{}).(*running)
	if !ok {
		return "", false
	}
	return r.key, true
}

// ClaimOf returns the handler's claim. ok is false for a request without a key.
// If the claim is TakenOver, an earlier run of the handler may have had its
// effect: check before you act again. The middleware completes the claim.
func ClaimOf(ctx context.Context) (claim dedupe.Claim, ok bool) {
	r, ok := ctx.Value(runningKey{}).(*running)
	if !ok {
		return dedupe.Claim{}, false
	}
	return r.claim, true
}

// Fence returns the fence of the handler's claim. ok is false for a request
// without a key. The fence grows from each run of a key's handler to the next,
// so that the system which the handler writes to can reject the writes of an
// earlier run; see [dedupe.Claim].
func Fence(ctx context.Context) (fence int64, ok bool) {
	claim, ok := ClaimOf(ctx)
	return claim.Fence, ok
}

// NoEffect declares that a handler has done nothing and will do nothing, and
// neither will anything that it has started, such as a call that it has given
// up. Its response is then not stored, and the key's next request runs the
// handler again at once. If the claim is TakenOver, the next run starts after
// the lease, so that it also learns that an earlier run may have had its
// effect.
//
//	if errors.Is(err, errBusy) { // refused before anything was charged
//		dedupehttp.NoEffect(r.Context())
//		http.Error(w, "the bank is busy", http.StatusServiceUnavailable)
//		return
//	}
//
// Without a key it does nothing.
func NoEffect(ctx context.Context) {
	if r, ok := ctx.Value(runningKey{}).(*running); ok {
		r.noEffect.Store(true)
	}
}
