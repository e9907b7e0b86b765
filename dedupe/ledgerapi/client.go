package ledgerapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"flow.internal/capdo/dedupe"
)

// ClientOptions configures a [Client]; nil means the defaults.
type ClientOptions struct {
	// HTTPClient sends the requests, in a Worker one with
	// durablehttp.Outbound or durablehttp.Transport. Its own redirect
	// policy is not used: redirects are not followed. Nil means one with
	// connections of its own.
	HTTPClient *http.Client
	// Attempts is the largest number of times that a call is sent. When 0,
	// a call is repeated until its context's deadline, or sent up to 3
	// times if there is none.
	Attempts int
}

// Client is a [dedupe.Ledger] on a server that uses [NewHandler], such as the
// Worker in examples/ledger. Its Sequencer and Store use the same server. Its
// methods may be called by any number of goroutines.
//
// A response may get lost. Every call but Forget has an owner, by which the
// server recognizes a repetition. So the client repeats these calls until ctx's
// deadline: after about 0.1 s, then 0.2 s and so on up to 2 s, with a random
// variation, and not before the server's Retry-After. A deadline that is longer
// than an outage of the server lets the call succeed after it. Without a
// deadline a call is sent up to 3 times. The client repeats Forget only if
// there was no connection, so that nothing can have been sent. If the outcome
// is still unknown, the error is [dedupe.ErrUnknownOutcome]. An attempt may
// take 10 s plus its wait. The client does not repeat a call after
// [dedupe.ErrOverloaded].
//
// The server's sequencer or store may not take owners
// ([ErrOwnerUnsupported]). Then Next and PutIfAbsent send a second request,
// without the owner, and repeat it as little as Forget. NextAs and
// PutIfAbsentAs fail.
//
// Besides the errors of package dedupe there are [ErrUnauthorized],
// [ErrNoTokens] and [ErrUnavailable]; after each of them the call had no
// effect.
//
// A claim belongs to the server's base URL and the tenant, not to the token:
// another client may complete it, with another token of the tenant.
type Client struct {
	base     string
	token    string
	http     *http.Client
	attempts int // at most; 0: until the deadline
}

var _ dedupe.Ledger = (*Client)(nil)

// Names of operations, for errors.
const (
	opClaim    = "Claim"
	opComplete = "Complete"
	opExtend   = "Extend"
	opRelease  = "Release"
	opForget   = "Forget"
	opNext     = "Next"
	opNextAs   = "NextAs"
	opPut      = "PutIfAbsent"
	opPutAs    = "PutIfAbsentAs"
)

const (
	attemptTime = 10 * time.Second // for an attempt that does not wait
	waitSlice   = time.Second      // the longest wait of one request
	// For a request that waits when its context ends.
	waitGrace = 5 * time.Second
)

// NewClient returns a client for the server at baseURL, such as
// "https://ledger.example.com", with a token of the form that [ParseTokens]
// reads. It fails for any other token. It also fails for a URL with http: to
// another machine, unless an HTTPClient is given, because the token would be
// readable on the way. It sends nothing.
func NewClient(baseURL, token string, opts *ClientOptions) (*Client, error) {
	if opts == nil {
		opts = &ClientOptions{}
	}
	u, err := url.Parse(baseURL)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("ledgerapi: the base URL is not https://host" +
			"\nhint: it may have a port and a path, but no user, query or fragment")
	case u.Scheme == "http" && opts.HTTPClient == nil && !isLoopback(u.Hostname()):
		return nil, errors.New("ledgerapi: the base URL is http, " +
			"so others could read the token" +
			"\nhint: use https, or an HTTPClient that protects the token in another way")
	case !isToken(token):
		const hint = "use the part after \"tenant:\" in the server's secret"
		return nil, fmt.Errorf("ledgerapi: the token is not %d to %d letters, digits or \"-_.~+/\""+
			"\nhint: %s", MinTokenSize, MaxTokenSize, hint)
	}
	return &Client{base: strings.TrimRight(u.String(), "/"), token: token,
		attempts: max(opts.Attempts, 0), http: newHTTPClient(opts.HTTPClient)}, nil
}

func isLoopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

func newHTTPClient(given *http.Client) *http.Client {
	own := &http.Client{}
	if given != nil {
		*own = *given
	} else if t, ok := http.DefaultTransport.(*http.Transport); ok {
		t = t.Clone()
		t.MaxIdleConnsPerHost = 64
		own.Transport = t
	}
	// A redirect would receive the token.
	own.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}
	return own
}

// Name returns "dedupe.http".
func (c *Client) Name() string { return "dedupe.http" }

// Sequencer returns the sequencer that is served beside the ledger. It is a
// [dedupe.IdempotentSequencer].
func (c *Client) Sequencer() dedupe.Sequencer { return clientSequencer{c} }

// Store returns the store that is served beside the ledger. It is a
// [dedupe.IdempotentStore].
func (c *Client) Store() dedupe.Store { return clientStore{c} }

// identity begins the Ledger of claims; what the server calls its ledger
// follows.
func (c *Client) identity() string { return "dedupe.http:" + c.base + "#" }

// Claim asks for the right to do a key's work; see [dedupe.Ledger]. To wait, it
// sends requests that each wait for up to a second, and it always reads the
// response of the last one. So it may return up to a second after ctx is
// canceled; it keeps a deadline. If the last request acquired the key, Claim
// returns the claim.
func (c *Client) Claim(
	ctx context.Context, key []byte, opts dedupe.ClaimOptions,
) (dedupe.Claim, error) {
	if err := checkClaim(ctx, key, &opts); err != nil {
		return dedupe.Claim{}, clientError(opClaim, err)
	}
	if opts.Owner == "" {
		opts.Owner = rand.Text()
	}
	key = bytes.Clone(key)
	end := time.Now().Add(opts.Wait)
	until, _ := ctx.Deadline()
	claim, err := c.claim(ctx, until, key, &opts, 0)
	for err == nil && claim.Outcome == dedupe.InProgress {
		left := time.Until(end)
		if left <= 0 {
			break
		}
		claim, err = c.await(ctx, key, &opts, left)
	}
	switch {
	case errors.Is(err, dedupe.ErrUnknownOutcome):
		return dedupe.Claim{Ledger: c.identity(), Key: key, Owner: opts.Owner},
			clientError(opClaim, err)
	case err != nil:
		return dedupe.Claim{}, clientError(opClaim, err)
	}
	return claim, nil
}

// claim claims a key; the server waits up to the given time. The claim is
// repeated until a deadline.
func (c *Client) claim(
	ctx context.Context, until time.Time, key []byte, o *dedupe.ClaimOptions, wait time.Duration,
) (dedupe.Claim, error) {
	lease, _ := dedupe.LeaseMillis(o.Lease)
	body := map[string]any{"key": key, "owner": []byte(o.Owner), "lease_ms": lease}
	if len(o.Fingerprint) > 0 {
		body["fingerprint"] = o.Fingerprint
	}
	addTTL(body, o.TTL)
	if wait > 0 {
		body["wait_ms"] = int64((wait + time.Millisecond - 1) / time.Millisecond)
	}
	claim := dedupe.Claim{Key: key, Owner: o.Owner}
	call := clientCall{path: "/v1/claims", body: body, wait: wait, repeatable: true, until: until}
	err := c.send(ctx, call, func(answer []byte) error {
		var a claimAnswer
		if err := json.Unmarshal(answer, &a); err != nil {
			return err
		}
		claim.Ledger, claim.Attempt = c.identity()+a.Ledger, a.Attempt
		switch {
		case a.Outcome == "acquired" && a.Fence > 0:
			claim.Outcome, claim.Fence, claim.TakenOver = dedupe.Acquired, a.Fence, a.TakenOver
		case a.Outcome == "replay" && !a.CompletedAt.IsZero():
			claim.Outcome, claim.Result, claim.CompletedAt = dedupe.Replay, a.Result,
				a.CompletedAt.Local()
		case a.Outcome == "in_progress" && 0 <= a.RetryAfterMS &&
			a.RetryAfterMS <= math.MaxInt64/int64(time.Millisecond):
			claim.Outcome, claim.RetryAfter = dedupe.InProgress,
				time.Duration(a.RetryAfterMS)*time.Millisecond
		default:
			return errors.New("the claim's outcome is invalid")
		}
		return nil
	})
	return claim, err
}

func addTTL(body map[string]any, ttl time.Duration) {
	if ms, err := dedupe.TTLMillis(ttl, 0); err == nil && ttl != 0 {
		body["ttl_ms"] = ms
	}
}

// await is claim for a key that is in progress. It finishes each request that
// it has begun: a server may not notice that its client has disconnected, and
// would claim the key for it.
func (c *Client) await(
	ctx context.Context, key []byte, o *dedupe.ClaimOptions, wait time.Duration,
) (dedupe.Claim, error) {
	wait = min(wait, waitSlice)
	until, ok := ctx.Deadline()
	if ok {
		wait = max(min(wait, time.Until(until)), time.Millisecond)
	}
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		late := time.AfterFunc(waitGrace, cancel)
		context.AfterFunc(lasting, func() { late.Stop() })
	})
	defer stop()
	claim, err := c.claim(lasting, until, key, o, wait)
	switch {
	case ctx.Err() == nil || err == nil && claim.Outcome != dedupe.InProgress:
		return claim, err
	case errors.Is(err, dedupe.ErrUnknownOutcome):
		return claim, unknownOutcome(err, context.Cause(ctx))
	}
	return claim, context.Cause(ctx)
}

// Complete stores a claim's result; see [dedupe.Ledger].
func (c *Client) Complete(
	ctx context.Context, claim dedupe.Claim, result []byte,
) error {
	if err := dedupe.CheckResult(result); err != nil {
		return clientError(opComplete, err)
	}
	return c.change(ctx, opComplete, "/v1/claims/complete", &claim,
		map[string]any{"result": append([]byte{}, result...)})
}

// Extend extends a claim's lease; see [dedupe.Ledger].
func (c *Client) Extend(
	ctx context.Context, claim dedupe.Claim, lease time.Duration,
) error {
	ms, err := dedupe.LeaseMillis(lease)
	if err != nil {
		return clientError(opExtend, err)
	}
	return c.change(ctx, opExtend, "/v1/claims/extend", &claim, map[string]any{"lease_ms": ms})
}

// Release releases a claim; see [dedupe.Ledger].
func (c *Client) Release(ctx context.Context, claim dedupe.Claim) error {
	return c.change(ctx, opRelease, "/v1/claims/release", &claim, map[string]any{})
}

// change sends a request about a claim.
func (c *Client) change(
	ctx context.Context, op, path string, claim *dedupe.Claim, body map[string]any,
) error {
	ledger, own := strings.CutPrefix(claim.Ledger, c.identity())
	expect := claim.Ledger
	if !own {
		expect = c.identity()
	}
	if err := claim.Check(expect); err != nil {
		return clientError(op, err)
	}
	if err := context.Cause(ctx); err != nil {
		return clientError(op, err)
	}
	body["ledger"], body["key"], body["owner"] = ledger, claim.Key, []byte(claim.Owner)
	body["fence"] = strconv.FormatInt(claim.Fence, 10)
	until, _ := ctx.Deadline()
	err := c.send(ctx, clientCall{path: path, body: body, repeatable: true, until: until}, done)
	return clientError(op, err)
}

// done reads the response of an operation without a result.
func done(answer []byte) error {
	var a doneAnswer
	if err := json.Unmarshal(answer, &a); err != nil {
		return err
	}
	if !a.Done {
		return errors.New("the field done is not true")
	}
	return nil
}

// Forget removes a key's record; see [dedupe.Ledger]. The client does not
// repeat it, because a repetition could remove a later record. An owner would
// not help: the record that is to be removed belongs to somebody else, and the
// API does not say which record a key has. Repeat it yourself if that does no
// harm.
func (c *Client) Forget(ctx context.Context, key []byte) error {
	return c.forget(ctx, "/v1/claims/forget", key)
}

func (c *Client) forget(ctx context.Context, path string, key []byte) error {
	if err := checkCall(ctx, "", key); err != nil {
		return clientError(opForget, err)
	}
	until, _ := ctx.Deadline()
	err := c.send(ctx, clientCall{path: path, body: map[string]any{"key": key}, until: until}, done)
	return clientError(opForget, err)
}

func checkClaim(ctx context.Context, key []byte, opts *dedupe.ClaimOptions) error {
	if err := opts.Check(key); err != nil {
		return err
	}
	if _, err := dedupe.TTLMillis(opts.TTL, 0); err != nil {
		return err
	}
	return context.Cause(ctx)
}

func checkCall(ctx context.Context, owner string, keys ...[]byte) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := dedupe.CheckOwner(owner); err != nil {
		return err
	}
	for _, key := range keys {
		if err := dedupe.CheckKey(key); err != nil {
			return err
		}
	}
	return nil
}

var (
	_ dedupe.IdempotentSequencer = clientSequencer{}
	_ dedupe.IdempotentStore     = clientStore{}
)

type clientSequencer struct{ client *Client }

func (s clientSequencer) Name() string { return s.client.Name() }

func (s clientSequencer) Next(
	ctx context.Context, stream, key, payloadHash []byte, ttl time.Duration,
) (dedupe.Seq, error) {
	seq, err := s.next(ctx, rand.Text(), stream, key, payloadHash, ttl)
	if refusedOwner(err) {
		seq, err = s.next(ctx, "", stream, key, payloadHash, ttl)
	}
	return seq, clientError(opNext, err)
}

func (s clientSequencer) NextAs(
	ctx context.Context, owner string, stream, key, payloadHash []byte, ttl time.Duration,
) (dedupe.Seq, error) {
	if owner == "" {
		owner = rand.Text()
	}
	seq, err := s.next(ctx, owner, stream, key, payloadHash, ttl)
	return seq, clientError(opNextAs, err)
}

// refusedOwner reports whether a call had no effect because of its owner.
func refusedOwner(err error) bool {
	return errors.Is(err, ErrOwnerUnsupported) && !errors.Is(err, dedupe.ErrUnknownOutcome)
}

// ownedCall is a call that may be repeated if it has an owner.
func ownedCall(ctx context.Context, path, owner string, body map[string]any) clientCall {
	until, _ := ctx.Deadline()
	if owner != "" {
		body["owner"] = []byte(owner)
	}
	return clientCall{path: path, body: body, repeatable: owner != "", until: until}
}

// next sends a call of Next, without an owner if that is empty.
func (s clientSequencer) next(
	ctx context.Context, owner string, stream, key, payloadHash []byte, ttl time.Duration,
) (dedupe.Seq, error) {
	if _, err := dedupe.TTLMillis(ttl, 0); err != nil {
		return dedupe.Seq{}, err
	}
	if err := checkCall(ctx, owner, stream, key); err != nil {
		return dedupe.Seq{}, err
	}
	if len(payloadHash) > dedupe.MaxFingerprintSize {
		return dedupe.Seq{}, dedupe.ErrFingerprintTooLarge
	}
	body := map[string]any{"stream": stream, "key": key}
	if len(payloadHash) > 0 {
		body["payload_hash"] = payloadHash
	}
	addTTL(body, ttl)
	var a seqAnswer
	call := ownedCall(ctx, "/v1/sequences/next", owner, body)
	err := s.client.send(ctx, call, func(answer []byte) error {
		if err := json.Unmarshal(answer, &a); err != nil {
			return err
		}
		if a.N <= 0 {
			return errors.New("the sequence number is invalid")
		}
		return nil
	})
	if err != nil {
		return dedupe.Seq{}, err
	}
	return dedupe.Seq{N: a.N, Inserted: a.Inserted, FirstSeen: a.FirstSeen.Local()}, nil
}

type clientStore struct{ client *Client }

func (s clientStore) Name() string { return s.client.Name() }

func (s clientStore) PutIfAbsent(ctx context.Context, key []byte, ttl time.Duration) (bool, error) {
	inserted, err := s.put(ctx, rand.Text(), key, ttl)
	if refusedOwner(err) {
		inserted, err = s.put(ctx, "", key, ttl)
	}
	return inserted, clientError(opPut, err)
}

func (s clientStore) PutIfAbsentAs(
	ctx context.Context, owner string, key []byte, ttl time.Duration,
) (bool, error) {
	if owner == "" {
		owner = rand.Text()
	}
	inserted, err := s.put(ctx, owner, key, ttl)
	return inserted, clientError(opPutAs, err)
}

// put sends a call of PutIfAbsent, without an owner if that is empty.
func (s clientStore) put(
	ctx context.Context, owner string, key []byte, ttl time.Duration,
) (bool, error) {
	if _, err := dedupe.TTLMillis(ttl, 0); err != nil {
		return false, err
	}
	if err := checkCall(ctx, owner, key); err != nil {
		return false, err
	}
	body := map[string]any{"key": key}
	addTTL(body, ttl)
	var a struct {
		Inserted *bool `json:"inserted"`
	}
	call := ownedCall(ctx, "/v1/keys", owner, body)
	err := s.client.send(ctx, call, func(answer []byte) error {
		if err := json.Unmarshal(answer, &a); err != nil {
			return err
		}
		if a.Inserted == nil {
			return errors.New("the field inserted is missing")
		}
		return nil
	})
	return err == nil && *a.Inserted, err
}

func (s clientStore) Forget(ctx context.Context, key []byte) error {
	return s.client.forget(ctx, "/v1/keys/forget", key)
}
