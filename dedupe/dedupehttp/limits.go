package dedupehttp

import "flow.internal/capdo/dedupe/internal/inflight"

// Limits of what requests take of an isolate's memory together, those of
// package ledgerapi included. A request that would exceed them is refused with
// [dedupe.ErrOverloaded], status 503 and Retry-After, before its body is read.
// A tenant, or a scope, may have as much as it leaves to the others: half where
// it is alone. They are not for programs outside of Workers.
const (
	// MaxInFlight is what all requests in flight may count, in bytes.
	MaxInFlight = inflight.Max
	// RequestCost is what a request counts, in bytes, besides its bodies.
	RequestCost = inflight.RequestCost
	// BodyCost is what a byte counts of a request's body, of a result and of a
	// response that is held back. Bodies count by the length that is announced,
	// or as they grow.
	BodyCost = inflight.BodyCost
)
