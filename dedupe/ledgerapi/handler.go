package ledgerapi

import (
	"context"
	_ "embed" // openapi.yaml
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/internal/inflight"
	"flow.internal/capdo/internal/budget"
	"flow.internal/capdo/internal/problem"
)

// API configures what [NewHandler] serves, and to whom. The handler calls these
// functions for each request, because a ledger may belong to one request, as a
// dodedupe.Ledger does.
type API struct {
	// Tokens returns the tokens that give access; see [ParseTokens]. It is
	// required. While it fails, for example with [ErrNoTokens], nobody has
	// access.
	Tokens func(r *http.Request) (*Tokens, error)

	// Ledger, Sequencer and Store return what belongs to one tenant only,
	// for example by a scope that contains the tenant's name. If one is
	// nil, the API does not have its operations. A store that is not a
	// [dedupe.IdempotentStore] refuses requests with an owner, and so does
	// a sequencer that is not a [dedupe.IdempotentSequencer].
	Ledger    func(r *http.Request, tenant string) (dedupe.Ledger, error)
	Sequencer func(r *http.Request, tenant string) (dedupe.Sequencer, error)
	Store     func(r *http.Request, tenant string) (dedupe.Store, error)

	// Log gets the failures that are not the client's fault; nil means
	// [slog.Default]. They contain no keys, payloads or tokens unless the
	// errors of the functions above do.
	Log *slog.Logger
}

// OpenAPI is the description of the HTTP API, an OpenAPI 3.1 document in YAML.
// It is served at /v1/openapi.yaml.
//
//go:embed openapi.yaml
var OpenAPI []byte

// NewHandler returns a handler that serves ledgers, sequencers and stores over
// HTTP, under /v1/, as [OpenAPI] describes; [Client] is its client. It panics
// if api.Tokens is nil.
//
// Every request except that for the description needs a bearer token. The token
// determines the tenant and so the ledger; a client cannot reach another
// tenant's. Keys are in the request's body, so they are not part of a path or
// of a proxy's log.
//
// A body of more than 16 KiB, or 1.4 MiB with a result, is refused before it is
// read. In a Worker, requests that would exceed a share of the isolate's memory
// are refused as overloaded; see package dedupehttp. A waiting claim is
// answered after [MaxRequestWait]: a server's WriteTimeout must be longer.
func NewHandler(api API) http.Handler {
	if api.Tokens == nil {
		panic("ledgerapi: API.Tokens is nil" +
			"\nhint: a server needs tokens; see ParseTokens")
	}
	if api.Log == nil {
		api.Log = slog.Default()
	}
	return &apiHandler{api}
}

// MaxRequestWait is the longest wait of a claim's request. To wait longer, a
// client sends the claim again, as [Client] does. The wait is short because a
// Worker is not notified of a client that left before its request began.
const MaxRequestWait = 10 * time.Second

const openAPIPath = "/v1/openapi.yaml"

type apiHandler struct{ API }

func (a *apiHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.EscapedPath() == openAPIPath &&
		(r.Method == http.MethodGet || r.Method == http.MethodHead) {
		w.Header().Set("Content-Type", "application/yaml")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Write(OpenAPI)
		return
	}
	c := &apiCall{api: a, r: r}
	defer func() { c.share.Close() }()
	answer, err := c.serve(w)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	body, err := json.Marshal(answer)
	if err != nil {
		panic(err) // structs of texts, numbers and bytes
	}
	w.Header().Set("Content-Type", "application/json")
	problem.Secure(w.Header())
	inflight.WritePieces(w, append(body, '\n'))
}

// serve executes a request. It reads no part of it before it knows the tenant.
func (c *apiCall) serve(w http.ResponseWriter) (answer any, err error) {
	a, r := c.api, c.r
	tokens, err := a.Tokens(r)
	if err == nil && tokens == nil {
		err = ErrNoTokens
	}
	if err != nil {
		return nil, refusal{notConfigured, err}
	}
	tenant, ok := tokens.authorize(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="ledger"`)
		return nil, ErrUnauthorized
	}
	c.tenant = tenant
	path := r.URL.EscapedPath()
	if path == openAPIPath {
		w.Header().Set("Allow", "GET, HEAD")
		return nil, refusal{code: "method_not_allowed"}
	}
	op, ok := operations[path]
	if !ok || !op.there(a) {
		return nil, refusal{code: "not_found"}
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		return nil, refusal{code: "method_not_allowed"}
	}
	if c.share = inflight.Budget.Share(tenant); !c.share.Take(inflight.RequestCost) {
		return nil, dedupe.ErrOverloaded
	}
	if c.values, err = op.read(w, r, c.share); err != nil {
		return nil, err
	}
	return op.run(c, r.Context())
}

// operation is an operation of the API.
type operation struct {
	fields []apiField // of the request's body
	there  func(a *apiHandler) bool
	run    func(c *apiCall, ctx context.Context) (any, error)
}

func (a *apiHandler) hasLedger() bool    { return a.Ledger != nil }
func (a *apiHandler) hasSequencer() bool { return a.Sequencer != nil }
func (a *apiHandler) hasStore() bool     { return a.Store != nil }

// operations are the operations of the API, by path.
var operations = map[string]operation{
	"/v1/claims": {claimFields(), (*apiHandler).hasLedger, (*apiCall).claim},
	"/v1/claims/complete": {append(holderFields(), bytesOf("result")), (*apiHandler).hasLedger,
		(*apiCall).complete},
	"/v1/claims/extend": {append(holderFields(), optional(millisOf("lease_ms"))),
		(*apiHandler).hasLedger, (*apiCall).extend},
	"/v1/claims/release": {holderFields(), (*apiHandler).hasLedger, (*apiCall).release},
	"/v1/claims/forget": {[]apiField{bytesOf("key")}, (*apiHandler).hasLedger,
		(*apiCall).forgetClaim},
	"/v1/sequences/next": {nextFields(), (*apiHandler).hasSequencer, (*apiCall).next},
	"/v1/keys":           {putFields(), (*apiHandler).hasStore, (*apiCall).put},
	"/v1/keys/forget":    {[]apiField{bytesOf("key")}, (*apiHandler).hasStore, (*apiCall).forgetKey},
}

func claimFields() []apiField {
	required := []apiField{bytesOf("key"), bytesOf("owner")}
	return append(required, optional(millisOf("lease_ms")), optional(bytesOf("fingerprint")),
		optional(millisOf("ttl_ms")), optional(millisOf("wait_ms")))
}

func nextFields() []apiField {
	return []apiField{bytesOf("stream"), bytesOf("key"), optional(bytesOf("payload_hash")),
		optional(millisOf("ttl_ms")), optional(bytesOf("owner"))}
}

func putFields() []apiField {
	return []apiField{bytesOf("key"), optional(millisOf("ttl_ms")), optional(bytesOf("owner"))}
}

func holderFields() []apiField {
	return []apiField{textOf("ledger"), bytesOf("key"), bytesOf("owner"), int64Of("fence")}
}

// apiCall is one request.
type apiCall struct {
	api    *apiHandler
	r      *http.Request
	tenant string
	values apiValues
	share  *budget.Share // of the isolate's memory
}

// Bodies of responses. A time is in RFC 3339. A 64-bit number is decimal text,
// because JavaScript's numbers are exact only up to 2^53.
type (
	claimAnswer struct {
		// Outcome is "acquired", "replay" or "in_progress".
		Outcome   string `json:"outcome"`
		Ledger    string `json:"ledger"`
		Attempt   int    `json:"attempt"`
		Fence     int64  `json:"fence,string,omitzero"` // if acquired
		TakenOver bool   `json:"taken_over,omitzero"`   // if acquired
		// Set if a replay, and then never nil.
		Result      []byte    `json:"result,omitzero"`
		CompletedAt time.Time `json:"completed_at,omitzero"` // if a replay
		// Set if in progress.
		RetryAfterMS int64 `json:"retry_after_ms,omitzero"`
	}
	seqAnswer struct {
		N         int64     `json:"n,string"`
		Inserted  bool      `json:"inserted"`
		FirstSeen time.Time `json:"first_seen"`
	}
	putAnswer struct {
		Inserted bool `json:"inserted"`
	}
	doneAnswer struct {
		Done bool `json:"done"` // true
	}
)

func (c *apiCall) ledger() (dedupe.Ledger, error) {
	l, err := c.api.Ledger(c.r, c.tenant)
	return l, unavailable(err)
}

func (c *apiCall) claim(ctx context.Context) (any, error) {
	opts := dedupe.ClaimOptions{
		Owner: string(c.values.bytes["owner"]), Fingerprint: c.values.bytes["fingerprint"],
		Lease: c.values.duration("lease_ms"), TTL: c.values.duration("ttl_ms"),
		Wait: c.values.duration("wait_ms"),
	}
	if opts.Owner == "" {
		return nil, emptyOwner()
	}
	if err := opts.Check(c.values.bytes["key"]); err != nil {
		return nil, err
	}
	opts.Wait = min(opts.Wait, MaxRequestWait)
	ledger, err := c.ledger()
	if err != nil {
		return nil, err
	}
	claim, err := ledger.Claim(ctx, c.values.bytes["key"], opts)
	if err != nil {
		return nil, err
	}
	a := claimAnswer{Ledger: claim.Ledger, Attempt: claim.Attempt}
	switch claim.Outcome {
	case dedupe.Acquired:
		a.Outcome, a.Fence, a.TakenOver = "acquired", claim.Fence, claim.TakenOver
	case dedupe.Replay:
		if !c.share.Take(inflight.BodyCost * len(claim.Result)) {
			return nil, dedupe.ErrOverloaded // the claim has changed nothing
		}
		a.Outcome, a.Result, a.CompletedAt = "replay", append([]byte{}, claim.Result...),
			claim.CompletedAt.UTC()
	case dedupe.InProgress:
		a.Outcome, a.RetryAfterMS = "in_progress",
			int64((claim.RetryAfter+time.Millisecond-1)/time.Millisecond)
	default:
		return nil, fmt.Errorf("a claim with %v", claim.Outcome)
	}
	return a, nil
}

// change changes a claim of the tenant's own ledger, which checks the claim.
func (c *apiCall) change(do func(l dedupe.Ledger, claim dedupe.Claim) error) (any, error) {
	ledger, err := c.ledger()
	if err != nil {
		return nil, err
	}
	return doneAnswer{true}, do(ledger, dedupe.Claim{
		Outcome: dedupe.Acquired, Ledger: c.values.text["ledger"],
		Key: c.values.bytes["key"], Owner: string(c.values.bytes["owner"]),
		Fence: c.values.number["fence"],
	})
}

func (c *apiCall) complete(ctx context.Context) (any, error) {
	return c.change(func(l dedupe.Ledger, claim dedupe.Claim) error {
		return l.Complete(ctx, claim, c.values.bytes["result"])
	})
}

func (c *apiCall) extend(ctx context.Context) (any, error) {
	return c.change(func(l dedupe.Ledger, claim dedupe.Claim) error {
		return l.Extend(ctx, claim, c.values.duration("lease_ms"))
	})
}

func (c *apiCall) release(ctx context.Context) (any, error) {
	return c.change(func(l dedupe.Ledger, claim dedupe.Claim) error {
		return l.Release(ctx, claim)
	})
}

func (c *apiCall) forgetClaim(ctx context.Context) (any, error) {
	ledger, err := c.ledger()
	if err != nil {
		return nil, err
	}
	return doneAnswer{true}, ledger.Forget(ctx, c.values.bytes["key"])
}

func emptyOwner() error {
	return malformed("owner is empty",
		"use a random owner for each call; send the same owner when you repeat the call")
}

func (c *apiCall) next(ctx context.Context) (any, error) {
	sequencer, err := c.api.Sequencer(c.r, c.tenant)
	if err != nil {
		return nil, unavailable(err)
	}
	v := c.values
	stream, key, hash, ttl := v.bytes["stream"], v.bytes["key"], v.bytes["payload_hash"],
		v.duration("ttl_ms")
	var seq dedupe.Seq
	owner, given := v.bytes["owner"]
	idempotent, ok := sequencer.(dedupe.IdempotentSequencer)
	switch {
	case !given:
		seq, err = sequencer.Next(ctx, stream, key, hash, ttl)
	case len(owner) == 0:
		err = emptyOwner()
	case !ok:
		err = ErrOwnerUnsupported
	default:
		seq, err = idempotent.NextAs(ctx, string(owner), stream, key, hash, ttl)
	}
	return seqAnswer{seq.N, seq.Inserted, seq.FirstSeen.UTC()}, err
}

func (c *apiCall) store() (dedupe.Store, error) {
	s, err := c.api.Store(c.r, c.tenant)
	return s, unavailable(err)
}

func (c *apiCall) put(ctx context.Context) (any, error) {
	store, err := c.store()
	if err != nil {
		return nil, err
	}
	key, ttl := c.values.bytes["key"], c.values.duration("ttl_ms")
	inserted := false
	owner, given := c.values.bytes["owner"]
	idempotent, ok := store.(dedupe.IdempotentStore)
	switch {
	case !given:
		inserted, err = store.PutIfAbsent(ctx, key, ttl)
	case len(owner) == 0:
		err = emptyOwner()
	case !ok:
		err = ErrOwnerUnsupported
	default:
		inserted, err = idempotent.PutIfAbsentAs(ctx, string(owner), key, ttl)
	}
	return putAnswer{inserted}, err
}

func (c *apiCall) forgetKey(ctx context.Context) (any, error) {
	store, err := c.store()
	if err != nil {
		return nil, err
	}
	return doneAnswer{true}, store.Forget(ctx, c.values.bytes["key"])
}
