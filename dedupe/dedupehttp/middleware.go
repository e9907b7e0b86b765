package dedupehttp

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/internal/budget"
)

// LedgerFunc returns the ledger for a request. In a Worker a ledger belongs to the invocation: make it from durablehttp.Env(r). Its error is
// answered with status 503, and is seen nowhere.
type LedgerFunc func(*http.Request) (dedupe.Ledger, error)

// Fixed returns a [LedgerFunc] for one ledger, which all requests have.
func Fixed(ledger dedupe.Ledger) LedgerFunc {
	return func(*http.Request) (dedupe.Ledger, error) { return ledger, nil }
}

// ScopeFunc says whose key it is that a request carries, such as the tenant that was authenticated: any bytes. Equal keys of two scopes are two
// keys. Within a scope, who repeats a request gets the response of the first: where users of a tenant must not see each other's, let the scope
// name the user, too. An error, or an empty scope, is answered with status 403.
type ScopeFunc func(*http.Request) (string, error)

// Options say how [Idempotent] works; nil means the defaults.
type Options struct {
	// Required: a request without a key is answered with status 400. By default it goes to the handler, as if the middleware were not there.
	Required bool
	// Methods are those that the middleware is for, in upper or lower case; POST
	// and PATCH by default. Others go to the handler. PUT and DELETE, which may
	// be repeated by their definition, are among them if they are listed. GET,
	// HEAD, OPTIONS and TRACE cannot be.
	Methods []string
	// TTL is how long a key is remembered from its first request on; [dedupe.DefaultTTL] when 0.
	TTL time.Duration
	// Lease is how long a key stays in progress when its program dies, from 1 ms to [dedupe.MaxLease]; 30 s when 0. While the handler runs it is extended.
	Lease time.Duration
	// Wait is how long a request waits while another with its key is in progress, at most [dedupe.MaxWait]. With 0 it is answered with status 409 at
	// once, and otherwise when the wait is over.
	Wait time.Duration
	// MaxBody is the size of the largest request, in bytes; 1 MiB when 0. It is read into memory before the handler runs.
	MaxBody int64
	// Store says what becomes of a response by its status: [dedupe.StoreResult],
	// so that the key is answered with it from then on, or whether the key's next
	// request runs the handler again, at once ([dedupe.ReleaseClaim]) or after the
	// lease ([dedupe.LeaveToLease]). [DefaultStore] when nil;
	// [RepeatServerErrors] is for handlers that may run again after a failure.
	// Where a handler has called [NoEffect] Store is not asked.
	Store func(status int) dedupe.Disposition
	// Timeout is how long a client waits from when the handler begins; no limit
	// when 0. Then the handler's context ends, with the cause
	// [http.ErrHandlerTimeout], and the client gets status 503 and the code
	// timed_out. The handler keeps its claim until it has returned, and its
	// response is stored for the key's next request. A response that has begun to
	// go out is broken off. Do not use [http.TimeoutHandler] inside of the
	// middleware; see the package's documentation.
	Timeout time.Duration
	// Streaming: the response goes out as the handler writes it, and its body is not kept.
	Streaming bool
}

// DefaultStore stores all that a handler answers, except 409, 425 and 429: by
// their definition the request was not carried out, and may be repeated. After
// those the next request runs the handler at once.
//
// It stores 503 and 408, too, as any other failure. A handler says them when it
// has done nothing, but http.TimeoutHandler and the like, and proxies, say them
// of work that goes on. A handler that has done nothing calls [NoEffect].
func DefaultStore(status int) dedupe.Disposition {
	switch status {
	case http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
		return dedupe.ReleaseClaim
	}
	return dedupe.StoreResult
}

// RepeatServerErrors is [DefaultStore], except that it stores neither 408 nor a
// status of 500 or more: the key's next request runs the handler again, after the
// lease, since the failed run may have had an effect, and may still have it. It is
// for handlers that may be repeated: they pass the key or the fence on to whatever
// they change, or look at [ClaimOf] and ask what has been done.
func RepeatServerErrors(status int) dedupe.Disposition {
	if status == http.StatusRequestTimeout || status >= http.StatusInternalServerError {
		return dedupe.LeaveToLease
	}
	return DefaultStore(status)
}

// Idempotent returns middleware that runs a handler once for each Idempotency-Key; see the package's documentation. It panics when ledger or scope is
// nil, and when an option is out of its limits.
func Idempotent(ledger LedgerFunc, scope ScopeFunc, opts *Options) func(http.Handler) http.Handler {
	var o Options
	if opts != nil {
		o = *opts
	}
	if problem := o.complete(); problem != "" {
		panic("dedupehttp: Idempotent: " + problem)
	}
	if ledger == nil {
		panic("dedupehttp: Idempotent: there is no ledger\nhint: dedupehttp.Fixed(ledger) makes a LedgerFunc of one")
	}
	if scope == nil {
		panic("dedupehttp: Idempotent: there is no scope\n" +
			"hint: return what identifies the tenant, so that tenants do not get each other's responses; a constant if there is one only")
	}
	return func(next http.Handler) http.Handler { return &middleware{next, ledger, scope, o} }
}

// complete fills in the defaults, and says what is wrong with the rest.
func (o *Options) complete() string {
	if o.Methods == nil {
		o.Methods = []string{http.MethodPost, http.MethodPatch}
	}
	o.Methods = slices.Clone(o.Methods)
	for i, method := range o.Methods {
		if !isHeaderName(method) { // both are tokens
			return "Methods has what is not a method"
		}
		o.Methods[i] = strings.ToUpper(method)
	}
	if o.TTL == 0 {
		o.TTL = dedupe.DefaultTTL
	}
	if o.Lease == 0 {
		o.Lease = 30 * time.Second
	}
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 20
	}
	if o.Store == nil {
		o.Store = DefaultStore
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace} {
		if slices.Contains(o.Methods, method) {
			return method + " is a safe method, and needs no key"
		}
	}
	claim := dedupe.ClaimOptions{Lease: o.Lease, Wait: o.Wait}
	err := claim.Check([]byte("any"))
	if err == nil {
		_, err = dedupe.TTLMillis(o.TTL, 0)
	}
	switch {
	case err != nil:
		return err.Error()
	case o.MaxBody < 0:
		return "MaxBody is negative"
	case o.Timeout < 0:
		return "Timeout is negative"
	}
	return ""
}

type middleware struct {
	next   http.Handler
	ledger LedgerFunc
	scope  ScopeFunc
	Options
}

func (m *middleware) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	values := r.Header.Values("Idempotency-Key")
	if !slices.Contains(m.Methods, strings.ToUpper(r.Method)) || len(values) == 0 && !m.Required {
		m.next.ServeHTTP(w, r)
		return
	}
	if problem := m.serve(w, r, values); problem != nil {
		problem.write(w)
	}
}

// serve serves a request with a key. What it returns is to be sent instead.
func (m *middleware) serve(w http.ResponseWriter, r *http.Request, values []string) *Problem {
	e, problem := m.prepare(w, r, values)
	defer func() {
		if !e.goesOn {
			e.share.Close()
		}
	}()
	if problem != nil {
		return problem
	}
	return e.run()
}

// prepare does all that comes before the claim.
func (m *middleware) prepare(w http.ResponseWriter, r *http.Request, values []string) (*execution, *Problem) {
	e := &execution{m: m, w: w, r: r}
	key, problem := parseKey(values)
	if problem != nil {
		return e, problem
	}
	scope, err := m.scope(r)
	if err != nil || scope == "" {
		return e, &Problem{
			Status: http.StatusForbidden, Code: "scope_unknown", Detail: "It is not known whose Idempotency-Key this is.", Hint: "authenticate the request",
		}
	}
	if r.ContentLength > m.MaxBody {
		return e, &bodyTooLarge
	}
	e.share = inFlight.Share(scope)
	if !e.share.Take(RequestCost) {
		return e, &noRoom
	}
	if e.body, problem = m.readBody(w, r, e.share); problem != nil {
		return e, problem
	}
	ledger, err := m.ledger(r)
	if err != nil || ledger == nil {
		return e, &ledgerFailed
	}
	e.sent, e.key, e.ledger = key, ledgerKey(scope, key), &claimer{Ledger: ledger, client: r.Context()}
	return e, nil
}

// readBody returns the whole body of a request, if it is within the limit. A body
// that is shorter than announced was read further out, by who parses forms or
// keeps a log, say: all such requests would look alike, and the handler would
// see nothing of them.
func (m *middleware) readBody(w http.ResponseWriter, r *http.Request, share *budget.Share) ([]byte, *Problem) {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = readAll(w, r, m.MaxBody, share)
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, &bodyTooLarge
		}
		if err == (errNoRoom{}) {
			return nil, &noRoom
		}
		if err != nil {
			return nil, &bodyUnreadable
		}
	}
	unknown := r.ContentLength < 0 && r.Body != nil && r.Body != http.NoBody
	if int64(len(body)) < r.ContentLength || unknown && len(body) == 0 {
		return nil, &bodyIncomplete
	}
	return body, nil
}

var (
	bodyTooLarge = Problem{
		Status: http.StatusRequestEntityTooLarge, Code: "body_too_large", Detail: "The request is too large to be repeated under an Idempotency-Key.",
	}
	bodyUnreadable = Problem{
		Status: http.StatusBadRequest, Code: "body_unreadable", Detail: "The request's body did not arrive in full.", Hint: "send the request again",
	}
	bodyIncomplete = Problem{
		Status: http.StatusInternalServerError, Code: "body_incomplete",
		Detail: "The request's body is shorter than announced. The operation was not carried out.",
		Hint:   "the server must not read the body before it checks the Idempotency-Key; if there is no body, send Content-Length: 0",
	}
)

// claimer is the ledger that dedupe.Do sees.
type claimer struct {
	dedupe.Ledger
	client context.Context // ends with the client
	claim  dedupe.Claim
	at     time.Time // before the claim
}

// Claim claims without regard to the client, so that none who goes away leaves a claim behind that nobody works on; it is only waiting that ends
// with the client.
func (c *claimer) Claim(ctx context.Context, key []byte, opts dedupe.ClaimOptions) (claim dedupe.Claim, err error) {
	wait := opts.Wait
	opts.Wait = 0
	c.at = time.Now()
	claim, err = c.Ledger.Claim(ctx, key, opts)
	if err == nil && claim.Outcome == dedupe.InProgress && wait > 0 {
		opts.Wait = wait
		claim, err = c.Ledger.Claim(c.client, key, opts)
	}
	if errors.Is(err, dedupe.ErrUnknownOutcome) && claim.Owner != "" { // such as that of a wait whose client has gone
		opts.Wait, opts.Owner = 0, claim.Owner
		claim, err = c.Ledger.Claim(ctx, key, opts)
	}
	c.claim = claim
	return claim, err
}

// expires is when the key will be forgotten, or earlier by what the claim took; zero if unknown, because another attempt was the first.
func (c *claimer) expires(ttl time.Duration) time.Time {
	if c.claim.Attempt != 1 {
		return time.Time{}
	}
	return c.at.Add(ttl).Truncate(time.Second)
}

// soon is what a client should wait at least before it tries again. A holder is done long before its lease is over.
const soon = time.Second

var (
	ledgerFailed = Problem{
		Status: http.StatusServiceUnavailable, Code: "ledger_failed", RetryAfter: soon,
		Detail: "The ledger of Idempotency-Keys cannot be reached. The operation was not carried out.", Hint: "send the request again, with the same key",
	}
	noRoom = Problem{
		Status: http.StatusServiceUnavailable, Code: "overloaded", RetryAfter: soon,
		Detail: "More requests are in flight than there is memory for. The operation was not carried out by this request.",
		Hint:   "send the request again, later, with the same key",
	}
	timedOut = Problem{
		Status: http.StatusServiceUnavailable, Code: "timed_out", RetryAfter: soon,
		Detail: "The operation takes longer than a request may. It is still in progress.",
		Hint:   "send the request again, with the same key, to get its response",
	}
	takenOver = Problem{
		Status: http.StatusServiceUnavailable, Code: "taken_over", RetryAfter: soon,
		Detail: "Another request with this Idempotency-Key took over.", Hint: "send the request again, with the same key, to get its response",
	}
)

// panicRecord returns what is kept in place of the response of a handler that panicked.
func panicRecord(expires time.Time) *record {
	rec := &recorder{header: http.Header{}}
	Problem{
		Status: http.StatusInternalServerError, Code: "handler_panicked", Detail: "The operation failed, and may have been carried out in part.",
		Hint: "this key stays failed; find out what was done before you use another",
	}.write(rec)
	rec.finish()
	return rec.record(expires)
}

// claimProblem says why a key could not be claimed.
func claimProblem(err error) *Problem {
	switch {
	case errors.Is(err, dedupe.ErrMismatch):
		return &Problem{
			Status: http.StatusUnprocessableEntity, Code: "idempotency_key_reused", Detail: "This Idempotency-Key was used for another request.",
			Hint: "use a new key for each operation, and send a repetition exactly like the first",
		}
	case errors.Is(err, dedupe.ErrInProgress):
		return &Problem{
			Status: http.StatusConflict, Code: "in_progress", RetryAfter: soon, Detail: "Another request with this Idempotency-Key is in progress.",
			Hint: "send the request again, with the same key, to get its response",
		}
	case errors.Is(err, dedupe.ErrOverloaded):
		p := ledgerFailed
		p.Code, p.Detail = "overloaded", "The ledger of Idempotency-Keys is overloaded. The operation was not carried out."
		return &p
	case errors.Is(err, dedupe.ErrUnknownOutcome):
		p := ledgerFailed
		p.Code, p.Detail = "outcome_unknown", "The ledger of Idempotency-Keys did not answer. The operation was not carried out by this request."
		return &p
	}
	return &ledgerFailed
}
