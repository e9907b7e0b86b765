package dedupehttp

import "flow.internal/capdo/dedupe/internal/inflight"

// Limits of the memory of an isolate that all requests may use together,
// including those of package ledgerapi. A request that would exceed them is
// refused before its body is read, with [dedupe.ErrOverloaded], status 503 and
// Retry-After. A tenant or scope may use at most as much as it leaves free for
// the others: half, if it is alone. The limits apply only in Workers.
const (
	// MaxInFlight is the limit for all requests in flight, in bytes.
	MaxInFlight = inflight.Max
	// RequestCost is the cost of a request without its bodies, in bytes.
	RequestCost = inflight.RequestCost
	// BodyCost is the cost of each byte of a request's body, a result or a
	// response that is held back. A body counts with its announced length,
	// or as it grows.
	BodyCost = inflight.BodyCost
)
