// Package ledgerapi serves a ledger, a sequencer and a store to services in any
// language: JSON over HTTP, described by [OpenAPI], with bearer tokens that
// decide whose keys are reached. [NewHandler] is the service. [Client] is the
// same from Go: a [dedupe.Ledger], with the others from its methods.
// examples/ledger is a Worker that serves them from Durable Objects.
//
// # Problems
//
// Errors are application/problem+json (RFC 9457), with the members status,
// title, code, detail and hint. Act on code and status, never on the texts.
// [OpenAPI] has all codes. [Client] turns them into errors of package dedupe.
//
// # Memory
//
// In a Worker the bodies and the number of requests in flight are bounded, and
// shared between tenants and with package dedupehttp's middleware; see its
// MaxInFlight. What is refused gets 503 overloaded before its body is read.
package ledgerapi
