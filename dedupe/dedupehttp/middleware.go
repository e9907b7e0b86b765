package dedupehttp

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/internal/inflight"
	"flow.internal/capdo/internal/budget"
	"flow.internal/capdo/internal/problem"
)

// LedgerFunc returns the ledger for a request. In a Worker a ledger belongs to
// the invocation: make it from durablehttp.Env(r). If it fails, the client gets
// status 503; the error itself is neither sent nor logged.
type LedgerFunc func(*http.Request) (dedupe.Ledger, error)

// Fixed returns a [LedgerFunc] that returns the same ledger for all requests.
func Fixed(ledger dedupe.Ledger) LedgerFunc {
	return func(*http.Request) (dedupe.Ledger, error) { return ledger, nil }
}

// ScopeFunc returns the owner of a request's key, such as the authenticated
// tenant: any bytes. Equal keys in two scopes are different keys. Within a
// scope, anyone who repeats a request gets the response of the first. If users
// of a tenant must not see each other's responses, include the user in the
// scope. An error or an empty scope is answered with status 403.
type ScopeFunc func(*http.Request) (string, error)

// Idempotent returns middleware that runs a handler once for each
// Idempotency-Key; see the package's documentation. It panics if ledger or
// scope is nil, or if an option is outside of its limits.
func Idempotent(
	ledger LedgerFunc, scope ScopeFunc, opts *Options,
) func(http.Handler) http.Handler {
	var o Options
	if opts != nil {
		o = *opts
	}
	if problem := o.complete(); problem != "" {
		panic("dedupehttp: Idempotent: " + problem)
	}
	if ledger == nil {
		panic("dedupehttp: Idempotent: there is no ledger" +
			"\nhint: dedupehttp.Fixed(ledger) returns a LedgerFunc")
	}
	if scope == nil {
		panic("dedupehttp: Idempotent: there is no scope\n" +
			"hint: return an id of the tenant, so that tenants do not get each other's " +
			"responses; with only one tenant, return a constant")
	}
	return func(next http.Handler) http.Handler { return &middleware{next, ledger, scope, o} }
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
	if refused := m.serve(w, r, values); refused != nil {
		refused.Write(w)
	}
}

// serve serves a request with a key. If it returns a problem, the caller sends
// that.
func (m *middleware) serve(
	w http.ResponseWriter, r *http.Request, values []string,
) *problem.Problem {
	e, refused := m.prepare(w, r, values)
	defer func() {
		if !e.goesOn {
			e.share.Close()
		}
	}()
	if refused != nil {
		return refused
	}
	return e.run()
}

// prepare does everything that comes before the claim.
func (m *middleware) prepare(
	w http.ResponseWriter, r *http.Request, values []string,
) (*execution, *problem.Problem) {
	e := &execution{m: m, w: w, r: r}
	key, refused := parseKey(values)
	if refused != nil {
		return e, refused
	}
	scope, err := m.scope(r)
	if err != nil || scope == "" {
		return e, &problem.Problem{
			Status: http.StatusForbidden, Code: "scope_unknown",
			Detail: "The sender of this Idempotency-Key is unknown.",
			Hint:   "authenticate the request",
		}
	}
	if r.ContentLength > m.MaxBody {
		return e, &bodyTooLarge
	}
	e.share = inflight.Budget.Share(scope)
	if !e.share.Take(inflight.RequestCost) {
		return e, &noRoom
	}
	if e.body, refused = m.readBody(w, r, e.share); refused != nil {
		return e, refused
	}
	ledger, err := m.ledger(r)
	if err != nil || ledger == nil {
		return e, &ledgerFailed
	}
	e.sent, e.key, e.ledger = key, ledgerKey(scope, key), &detachedLedger{Ledger: ledger,
		client: r.Context()}
	return e, nil
}

// readBody returns the whole body of a request, if it is within the limit. A
// body that is shorter than announced was read by an outer handler, for example
// one that parses forms or keeps a log. All such requests would look alike, and
// the handler would not get their bodies.
func (m *middleware) readBody(
	w http.ResponseWriter, r *http.Request, share *budget.Share,
) ([]byte, *problem.Problem) {
	var body []byte
	if r.Body != nil {
		var err error
		body, err = inflight.ReadAll(w, r, m.MaxBody, share)
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, &bodyTooLarge
		}
		if err == inflight.ErrNoRoom {
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
