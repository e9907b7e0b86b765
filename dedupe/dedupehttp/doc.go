// Package dedupehttp is HTTP middleware that runs a handler once for each
// Idempotency-Key. It uses a [dedupe.Ledger].
//
//	options := &dedupehttp.Options{Required: true}
//	fixed := dedupehttp.Fixed(ledger)
//	idempotent := dedupehttp.Idempotent(fixed, tenant, options)
//	mux.Handle("POST /charges", authenticated(idempotent(charge)))
//
// If a client gets no answer, it sends the request again, with the same key,
// and gets the first response. The function tenant returns the owner of the
// key, which authenticated has found out. So authentication comes first. A
// handler before the middleware must not read the body. The middleware works
// with any net/http server. In a Worker, where durablehttp serves the handler,
// make the ledger from the request:
//
//	func ledger(r *http.Request) (dedupe.Ledger, error) {
//		options := &dodedupe.LedgerOptions{Scope: "http"}
//		return dodedupe.NewLedger(durablehttp.Env(r), options)
//	}
//
// Use that ledger's scope for nothing else. Wrap the ledger in
// [dedupe.Observed] to get logs and metrics.
//
// # Idempotency-Key
//
// The header is the String of draft-ietf-httpapi-idempotency-key-header,
// "8e03978e-40d5-43e8-bc93-6894a57f9324" with its quotes, or the bare key, as
// Stripe's clients send it. Both are the same key. It has 1 to
// [MaxIdempotencyKey] printable ASCII characters. A key with a space, a comma,
// a semicolon, a quote or a backslash must be quoted. A second header, or
// parameters after the string, are refused.
//
// Keys belong to the scope that [ScopeFunc] returns. Within a scope, a key is
// for one request: its method, path and query, Content-Type, Content-Encoding
// and body, byte for byte. The ledger gets a SHA-256 of these. Path and query
// count as the client sent them. They also count as the middleware sees them,
// if an outer handler such as [http.StripPrefix] has changed them. The host
// does not count: if routes differ by host, name it in the scope. (A multipart
// form that is made anew has another boundary, and is another request.)
//
// The ledger's key is made of scope and Idempotency-Key, and no two pairs have
// the same one. If it is longer than [dedupe.MaxKeySize], it is made of the
// SHA-256 of both. A handler finds its key with [Key] and its claim with
// [ClaimOf].
//
// # Responses
//
// A response is stored, and then sent. A repetition gets its status, header and
// body, and Idempotent-Replayed: true. Both have Idempotency-Expires, the date
// until which the key is remembered, unless the key was tried before. (A first
// response that is not held back has none; see below.) A repetition does not
// get Set-Cookie, Date, hop-by-hop headers and those that Connection names. It
// gets the headers of outer handlers from those handlers themselves.
//
// [DefaultDisposition] stores all statuses but 409, 425 and 429. After these
// the next request runs the handler again. It also does so after any answer of
// a handler that has called [NoEffect], which means: I have done nothing, run
// me again. Status 503 alone does not mean that, because timeouts and proxies
// send it while the work continues. Like any other 5xx it is stored, as Stripe
// does it, because nobody knows what the handler has done. From then on a
// repetition gets the failure. Use [RepeatServerErrors] for a handler that may
// be repeated, because it passes its key or its fence on to whatever it
// changes. After a 5xx it runs again when the lease is over, and [ClaimOf] says
// that it has taken over.
//
// Do not use [http.TimeoutHandler] inside of the middleware, nor another
// timeout that answers while the handler continues. Its 503 would be the key's
// answer, and the handler's result would be lost. [Options].Timeout keeps the
// claim until the handler has returned, and stores its response.
//
// A handler's panic, [http.ErrAbortHandler] included, counts as status 500. It
// goes on to the server after that is stored.
//
// Bodies are held back, and kept, up to [MaxKeptBody]. The rest of a larger
// body goes out directly, and the body is not kept. The body of a route that is
// declared with Options.Streaming is not kept either. (Elsewhere Flush does
// nothing.) Repetitions then get the status, the header without what describes
// a body, an empty body, and Idempotent-Incomplete: true. A header beyond
// [MaxKeptHeader] is not kept either. So the size of a response never makes the
// handler run twice. Hijacking, deadlines, trailers and informational responses
// are not supported.
//
// # Problems
//
// The middleware's own answers are application/problem+json (RFC 9457), with
// the members status, title, code, detail and hint. Decide by code and status,
// never by the texts. They never contain a key or a payload. In all of these
// cases but the last two, this request has not run the handler:
//
//	400 idempotency_key_missing, idempotency_key_invalid,
//	    idempotency_key_too_long
//	400 body_unreadable         the body broke off
//	403 scope_unknown           ScopeFunc has failed, or returned nothing
//	409 in_progress             another request with this key is not over
//	413 body_too_large          beyond Options.MaxBody
//	422 idempotency_key_reused  for another request
//	500 body_incomplete         shorter than announced: an outer handler read it
//	500 record_unreadable       the ledger's record is corrupt, or of a
//	                            newer version
//	503 ledger_failed, overloaded, outcome_unknown
//	503 timed_out               the handler runs for longer than Options.Timeout
//	503 taken_over              the handler lost its claim, so another
//	                            response counts
//
// A repetition after a panic gets 500 handler_panicked. 409 and 503 have
// Retry-After.
//
// # What is promised
//
// The handler runs for one request of a key at a time. Once a response is
// stored, it does not run again for that key. The request is read in full
// before the handler runs. The client may leave: neither that nor an outer
// deadline ends the handler's context, and its response is stored. (In a Worker
// this lasts as long as the platform continues without the client, about 25 s.)
// A handler that streams learns from Write that the client has left.
// [Options].Timeout limits how long the client waits.
//
// The handler runs a second time if its program died, or if the ledger did not
// accept its response until the lease was over, though it was asked again. In
// the second case the client has the response, without Idempotency-Expires. If
// the lease cannot be extended, the handler's context ends with it. A handler
// that ignores this runs at the same time as the next one. Even then the
// handler can prevent a second effect: by [Fence], if the system that it
// changes rejects smaller ones, or by an idempotency key of the service that it
// calls.
//
// In a Worker a handler has 28 s after its client was answered, or has left.
// Then its I/O ends, and its lease is no longer extended. When the lease is
// over, the key's next request takes over.
//
// After outcome_unknown the key may stay in progress, with nobody at work,
// until the lease is over.
//
// # Memory
//
// In a Worker the bodies and the number of requests in flight are limited, and
// shared between scopes and tenants: see [MaxInFlight]. Beyond the limit a
// request gets 503 overloaded before its body is read. If there is no room for
// a response, it goes out directly, like one that is too large to be kept.
package dedupehttp
