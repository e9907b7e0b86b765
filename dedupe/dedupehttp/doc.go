// Package dedupehttp brings idempotent execution to HTTP, on a [dedupe.Ledger]:
// middleware that runs a handler once for each Idempotency-Key.
//
//	options := &dedupehttp.Options{Required: true}
//	idempotent := dedupehttp.Idempotent(dedupehttp.Fixed(ledger), tenant, options)
//	mux.Handle("POST /charges", authenticated(idempotent(charge)))
//
// A client that got no answer sends the request again, with the same key, and
// gets the response of the first. tenant says whose key it is, from what
// authenticated has found out; so authentication comes first. Nothing that
// comes first may read the body. The middleware is for any net/http server. In
// a Worker, where durablehttp serves the handler, the ledger is made from the
// request:
//
//	func ledger(r *http.Request) (dedupe.Ledger, error) {
//		options := &dodedupe.LedgerOptions{Scope: "http"}
//		return dodedupe.NewLedger(durablehttp.Env(r), options)
//	}
//
// Let nothing else use that ledger's scope. [dedupe.Observed] around the ledger
// tells what happens, for logs and metrics.
//
// # Idempotency-Key
//
// The header is the String of draft-ietf-httpapi-idempotency-key-header,
// "8e03978e-40d5-43e8-bc93-6894a57f9324" with its quotes, or the bare key, as
// Stripe's clients send it. Both are the same key. It has 1 to
// [MaxIdempotencyKey] printable ASCII characters; one with a space, a comma, a
// semicolon, a quote or a backslash has to be quoted. A second header, or
// parameters after the string, are refused.
//
// Keys belong to the scope that [ScopeFunc] returns. Within a scope, a key is
// for one request: its method, path and query, Content-Type, Content-Encoding
// and body, byte for byte; of these the ledger gets a SHA-256. Path and query
// count as the client sent them, and also as the middleware sees them where a
// handler further out has changed them, such as [http.StripPrefix]. The host
// does not count: if routes differ by host, name it in the scope. (A multipart
// form that is made anew has another boundary, and is another request.)
//
// The ledger's key is made of scope and Idempotency-Key, in such a way that no
// two pairs meet; if that is longer than [dedupe.MaxKeySize], of the SHA-256 of
// both. A handler finds its key with [Key] and its claim with [ClaimOf].
//
// # Responses
//
// A response is stored, and then sent. A repetition gets its status, header and
// body, and Idempotent-Replayed: true. Both have Idempotency-Expires, the date
// until which the key is remembered, unless the key was tried before. (A first
// response that is not held back has none; see below.) Not repeated are
// Set-Cookie, Date, hop-by-hop headers and those that Connection names, and
// what handlers further out have set, who do so themselves.
//
// [DefaultDisposition] stores all statuses but 409, 425 and 429, after which
// the next request runs the handler again. So it does after whatever a handler
// answers that has called [NoEffect]: I have done nothing, run me again. A bare
// 503 does not say that: it is what timeouts and proxies answer while the work
// goes on. As any other 5xx it is stored, as Stripe does it, since nobody knows
// how far the handler came: from then on the key is answered with the failure.
// A handler that may be repeated, because it passes its key or its fence on to
// whatever it changes, is better off with [RepeatServerErrors]: after a 5xx it
// runs again when the lease is over, and [ClaimOf] says that it has taken over.
//
// Do not use [http.TimeoutHandler] inside of the middleware, nor another
// timeout that answers for a handler which goes on: its 503 would be the key's
// answer, and what the handler comes to would be lost. [Options].Timeout keeps
// the claim until the handler has returned, and stores its response.
//
// A handler's panic, [http.ErrAbortHandler] included, counts as status 500, and
// goes on to the server once that is stored.
//
// Bodies are held back, and kept, up to [MaxKeptBody]. One that is larger goes
// out from there on as it comes, and is not kept; nor is the body of a route
// that is declared with Options.Streaming. (Elsewhere Flush does nothing.)
// Repetitions then get the status and the header without what describes a body,
// an empty body, and Idempotent-Incomplete: true. A header beyond
// [MaxKeptHeader] is not kept either. So the size of a response never makes the
// handler run twice. Hijacking, deadlines, trailers and informational responses
// are not supported.
//
// # Problems
//
// What the middleware itself answers is application/problem+json (RFC 9457),
// with the members status, title, code, detail and hint. Act on code and
// status, never on the texts. They never contain a key or a payload. In none of
// these cases has this request run the handler, except in the last two:
//
//	400 idempotency_key_missing, idempotency_key_invalid,
//	    idempotency_key_too_long
//	400 body_unreadable         the body broke off
//	403 scope_unknown           ScopeFunc has failed, or returned nothing
//	409 in_progress             another request with this key is not over
//	413 body_too_large          beyond Options.MaxBody
//	422 idempotency_key_reused  for another request
//	500 body_incomplete         shorter than announced: an outer handler read it
//	500 record_unreadable       the ledger's record is corrupt, or of a newer version
//	503 ledger_failed, overloaded, outcome_unknown
//	503 timed_out               the handler runs for longer than Options.Timeout
//	503 taken_over              the handler lost its claim: another response counts
//
// A repetition after a panic gets 500 handler_panicked. 409 and 503 have
// Retry-After.
//
// # What is promised
//
// Of any number of requests with one key, one at a time runs the handler, and
// once a response is stored, none does. The request is read in full before. The
// client may go away: the handler's context ends neither with it nor with a
// deadline that was set further out, and its response is stored. (In a Worker,
// that is as long as the platform goes on without the client, about 25 s.) A
// handler that streams learns from Write that nobody listens. [Options].Timeout
// limits how long the client waits.
//
// The handler runs a second time if its program died, or if the ledger did not
// take its response, though it was asked again until the lease was over. In the
// latter case the client has the response, without Idempotency-Expires. A
// handler that cannot extend its lease runs beside the next one if it ignores
// the end of its context, which comes with the end of the lease. The handler
// prevents a second effect even then by [Fence], where the system that it
// changes rejects smaller ones, or by an idempotency key of the service that it
// calls.
//
// In a Worker a handler that goes on after its client was answered, or has
// left, has 28 s. Then its I/O ends, and its lease is not extended any more:
// the key's next request takes over when that is over.
//
// After outcome_unknown the key may stay in progress, without anybody working
// on it, until the lease is over.
//
// # Memory
//
// In a Worker the bodies and the number of requests in flight are bounded, and
// shared between scopes and tenants: see [MaxInFlight]. What is refused gets
// 503 overloaded before its body is read. A response that there is no room for
// goes out as it comes, as one that is too large to be kept.
package dedupehttp
