// Package ledgerapi serves a ledger, a sequencer and a store to services in any
// language: JSON over HTTP, described by [OpenAPI]. A bearer token decides
// whose keys a request reaches. [NewHandler] is the service. [Client] calls it
// from Go: it is a [dedupe.Ledger], and its methods return the others.
// examples/ledger is a Worker that serves them from Durable Objects.
//
// # Problems
//
// Errors are application/problem+json (RFC 9457), with the members status,
// title, code, detail and hint. Decide by code and status, never by the texts.
// [OpenAPI] has all codes. [Client] turns them into errors of package dedupe.
//
// # Memory
//
// In a Worker the bodies and the number of requests in flight are limited, and
// shared between tenants and with package dedupehttp's middleware; see its
// MaxInFlight. Beyond the limit a request gets 503 overloaded before its body
// is read.
package ledgerapi
