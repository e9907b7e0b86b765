//go:build !js

package ledgerapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/dedupe/memdedupe"
)

// Tokens of the tests. Blue has two, as during a rotation.
const (
	redToken  = "red-0123456789abcdef0123456789abcdef"
	blueToken = "blue-0123456789abcdef0123456789abcdef"
	blueNew   = "blue-fedcba9876543210fedcba9876543210"
	allTokens = "red:" + redToken + ",blue:" + blueToken + ",blue:" + blueNew
)

// backend is an API on implementations in memory, for two tenants.
type backend struct {
	API
	ledgers map[string]*memdedupe.Ledger
	stores  map[string]*memdedupe.Store
	log     *bytes.Buffer
}

func newBackend() *backend {
	b := &backend{log: &bytes.Buffer{}}
	b.ledgers = map[string]*memdedupe.Ledger{"red": memdedupe.NewLedger(nil), "blue": memdedupe.NewLedger(nil)}
	b.stores = map[string]*memdedupe.Store{"red": memdedupe.NewStore(nil), "blue": memdedupe.NewStore(nil)}
	sequencers := map[string]*memdedupe.Sequencer{"red": memdedupe.NewSequencer(nil), "blue": memdedupe.NewSequencer(nil)}
	b.API = API{
		Tokens:    func(*http.Request) (*Tokens, error) { return ParseTokens(allTokens) },
		Ledger:    func(_ *http.Request, tenant string) (dedupe.Ledger, error) { return b.ledgers[tenant], nil },
		Sequencer: func(_ *http.Request, tenant string) (dedupe.Sequencer, error) { return sequencers[tenant], nil },
		Store:     func(_ *http.Request, tenant string) (dedupe.Store, error) { return b.stores[tenant], nil },
		Log:       slog.New(slog.NewTextHandler(b.log, nil)),
	}
	return b
}

// serve serves a handler and returns its URL.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// connect returns a client with connections of its own.
func connect(t testing.TB, url, token string, rt http.RoundTripper) *Client {
	t.Helper()
	var opts *ClientOptions
	if rt != nil {
		opts = &ClientOptions{HTTPClient: &http.Client{Transport: rt}}
	}
	c, err := NewClient(url, token, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

func TestClientIsALedger(t *testing.T) {
	dedupetest.TestLedger(t, func(t *testing.T) dedupe.Ledger {
		return connect(t, serve(t, documented(t, newBackend())), redToken, nil)
	})
}

func TestClientHasASequencer(t *testing.T) {
	dedupetest.TestSequencer(t, func(t *testing.T) dedupe.Sequencer {
		return connect(t, serve(t, documented(t, newBackend())), redToken, nil).Sequencer()
	})
}

func TestClientHasAStore(t *testing.T) {
	dedupetest.TestStore(t, func(t *testing.T) dedupe.Store {
		return connect(t, serve(t, documented(t, newBackend())), redToken, nil).Store()
	})
	t.Run("stands the hammer", func(t *testing.T) {
		dedupetest.Hammer(t, func(t *testing.T) dedupe.Store {
			return connect(t, serve(t, NewHandler(newBackend().API)), redToken, nil).Store()
		})
	})
}

// roundTrip is a function as an http.RoundTripper.
type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

var errLost = errors.New("the answer was lost")

// lossy performs requests. It loses the answer to the n-th request, counted
// from 1, if lose(n) is true.
func lossy(lose func(n int64) bool) (http.RoundTripper, *atomic.Int64) {
	var n atomic.Int64
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		lost := lose(n.Add(1))
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err == nil && lost {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			return nil, errLost
		}
		return resp, err
	}), &n
}

func TestClientConvergesOverLostAnswers(t *testing.T) {
	b := newBackend()
	// Loses the answer to each first attempt.
	rt, sent := lossy(func(n int64) bool { return n%2 == 1 })
	c := connect(t, serve(t, NewHandler(b.API)), redToken, rt)
	claim, err := c.Claim(t.Context(), []byte("key"), dedupe.ClaimOptions{Lease: time.Minute})
	if err != nil || claim.Outcome != dedupe.Acquired || claim.Attempt != 1 {
		t.Fatalf("%+v, %v; want the winner to learn it", claim, err)
	}
	for _, err := range []error{
		c.Extend(t.Context(), claim, time.Hour),
		c.Complete(t.Context(), claim, []byte("result")),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if got, err := c.Claim(t.Context(), []byte("key"), dedupe.ClaimOptions{Lease: time.Minute}); err != nil || string(got.Result) != "result" {
		t.Errorf("%+v, %v", got, err)
	}
	released, err := c.Claim(t.Context(), []byte("released"), dedupe.ClaimOptions{Lease: time.Minute})
	if err == nil {
		err = c.Release(t.Context(), released)
	}
	if err != nil {
		t.Error(err)
	}
	if inserted, err := c.Store().PutIfAbsent(t.Context(), []byte("key"), 0); !inserted || err != nil {
		t.Errorf("%v, %v; want the winner to be told so", inserted, err)
	}
	if seq, err := c.Sequencer().Next(t.Context(), []byte("s"), []byte("k"), nil, 0); !seq.Inserted || seq.N != 1 || err != nil {
		t.Errorf("%+v, %v; want the winner to be told so", seq, err)
	}
	if n := sent.Load(); n != 16 {
		t.Errorf("%d requests, want two for each of 8 calls", n)
	}
}

func TestClientSaysWhenTheOutcomeIsUnknown(t *testing.T) {
	b := newBackend()
	rt, sent := lossy(func(int64) bool { return true })
	c := connect(t, serve(t, NewHandler(b.API)), redToken, rt)
	claim, err := c.Claim(t.Context(), []byte("key"), dedupe.ClaimOptions{Lease: time.Minute})
	wantUnknown(t, err, "Claim", true)
	if claim.Outcome != 0 || claim.Owner == "" {
		t.Errorf("claim %+v, want only its owner", claim)
	}
	held, err := b.ledgers["red"].Claim(t.Context(), []byte("key"), dedupe.ClaimOptions{Owner: claim.Owner, Lease: time.Minute})
	if err != nil || held.Outcome != dedupe.Acquired || held.Attempt != 1 {
		t.Errorf("%+v, %v; want the claim of that owner", held, err)
	}
	held.Ledger = c.identity() + held.Ledger
	wantUnknown(t, c.Extend(t.Context(), held, time.Minute), "Extend", true)
	wantUnknown(t, c.Complete(t.Context(), held, nil), "Complete", true)
	// The claim was completed meanwhile.
	wantUnknown(t, c.Release(t.Context(), held), "Release", true)
	if n := sent.Load(); n != 4*3 {
		t.Errorf("%d requests, want 3 for each call", n)
	}
	sent.Store(0)
	wantUnknown(t, c.Forget(t.Context(), []byte("key")), "Forget", true)
	_, err = c.Sequencer().Next(t.Context(), []byte("s"), []byte("k"), nil, 0)
	wantUnknown(t, err, "Next", true)
	_, err = c.Store().PutIfAbsent(t.Context(), []byte("k"), 0)
	wantUnknown(t, err, "PutIfAbsent", false)
	wantUnknown(t, c.Store().Forget(t.Context(), []byte("k")), "Forget", true)
	if n := sent.Load(); n != 2*3+2 {
		t.Errorf("%d requests, want 3 for each call but Forget", n)
	}
}

func wantUnknown(t *testing.T, err error, op string, retryable bool) {
	t.Helper()
	var e *dedupe.Error
	if !errors.Is(err, dedupe.ErrUnknownOutcome) || !errors.As(err, &e) || e.Op != op || e.Retryable != retryable {
		t.Errorf("%s: %v (%+v), want an unknown outcome, retryable: %v", op, err, e, retryable)
	}
}

// A definite answer to the second attempt says nothing about the first.
func TestClientStaysUnsureAfterALostAnswer(t *testing.T) {
	b := newBackend()
	rt, _ := lossy(func(n int64) bool {
		if n == 2 { // the completion's first attempt
			b.ledgers["red"].Forget(t.Context(), []byte("key"))
		}
		return n == 2
	})
	c := connect(t, serve(t, NewHandler(b.API)), redToken, rt)
	claim, err := c.Claim(t.Context(), []byte("key"), dedupe.ClaimOptions{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if err = c.Complete(t.Context(), claim, nil); !errors.Is(err, dedupe.ErrUnknownOutcome) || !errors.Is(err, dedupe.ErrFenced) {
		t.Errorf("%v, want both", err)
	}
}

func TestClientIsSureWhereNothingListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c := connect(t, "http://"+l.Addr().String(), redToken, nil)
	_, put := c.Store().PutIfAbsent(t.Context(), []byte("key"), 0)
	for _, err := range []error{put, c.Forget(t.Context(), []byte("key"))} {
		var e *dedupe.Error
		if errors.Is(err, dedupe.ErrUnknownOutcome) || !errors.As(err, &e) || !e.Retryable {
			t.Errorf("%v, want an error that is definite and retryable", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Claim(ctx, []byte("key"), dedupe.ClaimOptions{Lease: 1}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, dedupe.ErrUnknownOutcome) {
		t.Errorf("%v, want the context's error", err)
	}
	// The client cannot know whether the request was sent before.
	c.http.Transport = roundTrip(http.DefaultTransport.RoundTrip)
	_, put = c.Store().PutIfAbsent(t.Context(), []byte("key"), 0)
	wantUnknown(t, put, "PutIfAbsent", false)
}

func TestClientRepeatsEverythingThatWasNeverSent(t *testing.T) {
	b := newBackend()
	var dials atomic.Int64
	rt := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1)%2 == 1 {
			return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	c := connect(t, serve(t, NewHandler(b.API)), redToken, rt)
	if inserted, err := c.Store().PutIfAbsent(t.Context(), []byte("k"), 0); err != nil || !inserted {
		t.Errorf("%v, %v", inserted, err)
	}
	if seq, err := c.Sequencer().Next(t.Context(), []byte("s"), []byte("k"), nil, 0); err != nil || !seq.Inserted {
		t.Errorf("%+v, %v", seq, err)
	}
	for _, err := range []error{c.Store().Forget(t.Context(), []byte("k")), c.Forget(t.Context(), []byte("k"))} {
		if err != nil {
			t.Error(err)
		}
	}
	if n := dials.Load(); n != 8 {
		t.Errorf("%d connection attempts for 4 calls", n)
	}
}

// Other servers may answer where a ledger is expected. These are their answers
// and the client's errors.
func TestClientMistrustsOtherAnswers(t *testing.T) {
	big := strings.Repeat(" ", maxResultBody+1)
	for _, c := range []struct {
		name, media, body string
		status            int
		unknown           bool
		requests          int64 // for a claim
		want              error
	}{
		{"a page", "text/html", "<html>", 200, true, 3, nil},
		{"an answer as a page", "text/html", `{"outcome":"acquired","ledger":"l","attempt":1,"fence":"1","n":"1","inserted":true,"done":true}`, 200, true, 3, nil},
		{"a problem as an answer", "application/json", `{"status":409,"code":"fenced"}`, 409, true, 1, nil},
		{"no JSON", "application/json", "{", 200, true, 3, nil},
		{"another JSON", "application/json", "{}", 200, true, 3, nil},
		{"an unknown outcome", "application/json", `{"outcome":"perhaps","ledger":"l","attempt":1}`, 200, true, 3, nil},
		{"no fence", "application/json", `{"outcome":"acquired","ledger":"l","attempt":1}`, 200, true, 3, nil},
		{"a fence that is too large", "application/json", `{"outcome":"acquired","ledger":"l","attempt":1,"fence":"9223372036854775808"}`, 200, true, 3, nil},
		{"a wait without end", "application/json", `{"outcome":"in_progress","ledger":"l","attempt":1,"retry_after_ms":9223372036854775807}`, 200, true, 3, nil},
		{"too much", "application/json", `{"outcome":"acquired","ledger":"l","attempt":1,"fence":"1"}` + big, 200, true, 3, nil},
		{"nothing", "application/json", "", 204, true, 1, nil},
		{"a redirect", "text/html", "", 307, true, 1, nil},
		{"not found", "text/html", "", 404, true, 1, nil},
		{"a rate limit", "text/html", "", 429, true, 1, nil},
		{"a bad gateway", "text/html", "", 502, true, 3, nil},
		{"a gateway's timeout", "text/html", "", 504, true, 3, nil},
		{"an internal problem", "application/problem+json", `{"status":500,"code":"internal"}`, 500, true, 3, nil},
		{"a code of another status", "application/problem+json", `{"status":503,"code":"fenced"}`, 503, true, 3, nil},
		{"a problem of another status", "application/problem+json", `{"status":409,"code":"fenced"}`, 503, true, 3, nil},
		{"a problem that is too large", "application/problem+json", `{"status":503,"code":"overloaded"}` + big, 503, true, 3, nil},
		{"a login page", "text/html", "", 401, false, 1, ErrUnauthorized},
		{"a closed gateway", "text/html", "", 403, false, 1, ErrUnauthorized},
		{"an overload", "application/problem+json", `{"status":503,"code":"overloaded"}`, 503, false, 1, dedupe.ErrOverloaded},
		{"an unknown path", "application/problem+json", `{"status":404,"code":"not_found"}`, 404, false, 1, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var requests, followed atomic.Int64
			other := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
			url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				w.Header().Set("Content-Type", c.media)
				w.Header().Set("Location", other)
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			}))
			client := connect(t, url, redToken, nil)
			held := dedupe.Claim{Outcome: dedupe.Acquired, Ledger: client.identity(), Key: []byte("k")}
			_, next := client.Sequencer().Next(t.Context(), []byte("s"), []byte("k"), nil, 0)
			_, put := client.Store().PutIfAbsent(t.Context(), []byte("k"), 0)
			for _, err := range []error{next, put, client.Forget(t.Context(), []byte("k")), client.Complete(t.Context(), held, nil)} {
				if err == nil || errors.Is(err, dedupe.ErrUnknownOutcome) != c.unknown {
					t.Errorf("%v; want unknown: %v", err, c.unknown)
				}
			}
			requests.Store(0)
			_, err := client.Claim(t.Context(), []byte("secret-key"), dedupe.ClaimOptions{Lease: time.Minute})
			if err == nil || errors.Is(err, dedupe.ErrUnknownOutcome) != c.unknown || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%v; want unknown: %v, %v", err, c.unknown, c.want)
			}
			if requests.Load() != c.requests || followed.Load() != 0 {
				t.Errorf("%d requests, want %d; %d followed a redirect", requests.Load(), c.requests, followed.Load())
			}
			if text := err.Error(); strings.Contains(text, redToken) || strings.Contains(text, "secret-key") || len(text) > 2000 {
				t.Errorf("error %q", text)
			}
		})
	}
}

func TestNewClientRefusesWhatWouldTellTheToken(t *testing.T) {
	for _, c := range []struct {
		name, url, token string
		client           *http.Client
		ok               bool
	}{
		{"https", "https://ledger.example.com", redToken, nil, true},
		{"https with port and path", "https://ledger.example.com:8443/a/", redToken, nil, true},
		{"this machine", "http://localhost:8787", redToken, nil, true},
		{"this machine by number", "http://[::1]:8787", redToken, nil, true},
		{"http with a client", "http://ledger", redToken, &http.Client{}, true},
		{"http", "http://ledger.example.com", redToken, nil, false},
		{"a host that begins like this machine's", "http://localhost.example.com", redToken, nil, false},
		{"no scheme", "ledger.example.com", redToken, nil, false},
		{"another scheme", "ftp://ledger.example.com", redToken, nil, false},
		{"no host", "https://", redToken, nil, false},
		{"a user", "https://u:p@ledger.example.com", redToken, nil, false},
		{"a query", "https://ledger.example.com/?token=1", redToken, nil, false},
		{"a fragment", "https://ledger.example.com/#1", redToken, nil, false},
		{"no token", "https://ledger.example.com", "", nil, false},
		{"a short token", "https://ledger.example.com", "short", nil, false},
		{"a token with a line end", "https://ledger.example.com", redToken + "\r\nHost: x", nil, false},
		{"a token with its tenant", "https://ledger.example.com", "red:" + redToken, nil, false},
	} {
		_, err := NewClient(c.url, c.token, &ClientOptions{HTTPClient: c.client})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && c.token != "" && strings.Contains(err.Error(), c.token) {
			t.Errorf("%s: error %q contains the token", c.name, err)
		}
	}
}

func TestCompleteWithAnotherToken(t *testing.T) {
	b := newBackend()
	url := serve(t, NewHandler(b.API))
	claim, err := connect(t, url, blueToken, nil).Claim(t.Context(), []byte("key"), dedupe.ClaimOptions{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	red := connect(t, url, redToken, nil)
	elsewhere := connect(t, serve(t, NewHandler(newBackend().API)), blueToken, nil)
	// The same ledger at another URL.
	alias := connect(t, serve(t, NewHandler(b.API)), blueToken, nil)
	for _, c := range []*Client{red, elsewhere, alias} {
		for _, err := range []error{c.Complete(t.Context(), claim, nil), c.Extend(t.Context(), claim, time.Hour), c.Release(t.Context(), claim)} {
			if !errors.Is(err, dedupe.ErrForeignClaim) {
				t.Errorf("%v, want a foreign claim", err)
			}
		}
	}
	if got, err := red.Claim(t.Context(), []byte("key"), dedupe.ClaimOptions{Owner: claim.Owner, Lease: time.Minute}); err != nil || got.Attempt != 1 || got.Outcome != dedupe.Acquired {
		t.Errorf("%+v, %v; want the same key of another tenant to be free", got, err)
	}
	if err := connect(t, url, blueNew, nil).Complete(t.Context(), claim, nil); err != nil {
		t.Error(err)
	}
}

// observedWait is a ledger that reports when a claim begins to wait and how the
// wait ended.
type observedWait struct {
	dedupe.Ledger
	began chan struct{}
	ended chan error
}

func (l *observedWait) Claim(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
	if o.Wait == 0 {
		return l.Ledger.Claim(ctx, key, o)
	}
	l.began <- struct{}{}
	claim, err := l.Ledger.Claim(ctx, key, o)
	l.ended <- err
	return claim, err
}

func TestAWaitEndsOnTheServerWhenItsClientGoes(t *testing.T) {
	b := newBackend()
	l := &observedWait{b.ledgers["red"], make(chan struct{}), make(chan error, 1)}
	b.Ledger = func(*http.Request, string) (dedupe.Ledger, error) { return l, nil }
	c := connect(t, serve(t, NewHandler(b.API)), redToken, nil)
	held, err := c.Claim(t.Context(), []byte("key"), dedupe.ClaimOptions{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := c.claim(ctx, time.Time{}, []byte("key"), &dedupe.ClaimOptions{Owner: "waiter", Lease: time.Minute}, time.Minute)
		gone <- err
	}()
	<-l.began
	cancel()
	if err := <-l.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("on the server the wait ended with %v", err)
	}
	if err := <-gone; !errors.Is(err, context.Canceled) || !errors.Is(err, dedupe.ErrUnknownOutcome) {
		t.Errorf("the request ended with %v", err)
	}
	if err := c.Release(t.Context(), held); err != nil {
		t.Error(err)
	}
	if got, err := c.Claim(t.Context(), []byte("key"), dedupe.ClaimOptions{Lease: time.Minute}); err != nil || got.Outcome != dedupe.Acquired {
		t.Errorf("%+v, %v; want the key to be free", got, err)
	}
}

// A server may not notice that its client has left. So a client does not leave
// before the server's wait has ended.
func TestAWaitThatIsGivenUpLeavesNoWaiterBehind(t *testing.T) {
	b := newBackend()
	l := &observedWait{b.ledgers["red"], make(chan struct{}), make(chan error, 1)}
	b.Ledger = func(*http.Request, string) (dedupe.Ledger, error) { return l, nil }
	deaf := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		NewHandler(b.API).ServeHTTP(w, r.WithContext(context.WithoutCancel(r.Context())))
	})
	c := connect(t, serve(t, deaf), redToken, nil)
	if _, err := c.Claim(t.Context(), []byte("key"), dedupe.ClaimOptions{Lease: time.Minute}); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("cause")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-l.began
		cancel(cause)
	}()
	_, err := c.Claim(ctx, []byte("key"), dedupe.ClaimOptions{Lease: time.Minute, Wait: time.Minute})
	if !errors.Is(err, cause) || errors.Is(err, dedupe.ErrUnknownOutcome) {
		t.Errorf("%v, want the context's cause", err)
	}
	select {
	case <-l.ended:
	default:
		t.Error("the server still waits")
	}
}

// If a waiter acquires the key at the moment when it is given up, the client
// returns the claim, even if the first answer is lost.
func TestAWaitThatAcquiresWhileItIsGivenUpSaysSo(t *testing.T) {
	b := newBackend()
	ctx, cancel := context.WithCancel(t.Context())
	rt := roundTrip(func(r *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		resp, err := http.DefaultTransport.RoundTrip(r)
		if bytes.Contains(body, []byte("wait_ms")) && ctx.Err() == nil {
			resp.Body.Close()
			cancel()
			return nil, errLost
		}
		return resp, err
	})
	c := connect(t, serve(t, NewHandler(b.API)), redToken, rt)
	if _, err := c.Claim(t.Context(), []byte("key"), dedupe.ClaimOptions{Lease: 50 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	got, err := c.Claim(ctx, []byte("key"), dedupe.ClaimOptions{Lease: time.Minute, Wait: time.Minute})
	if err != nil || got.Outcome != dedupe.Acquired || got.Attempt != 2 {
		t.Errorf("%+v, %v; want the claim", got, err)
	}
	if err := c.Complete(t.Context(), got, nil); err != nil {
		t.Error(err)
	}
}
