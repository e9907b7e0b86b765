//go:build !js

package dedupehttp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupehttp"
	"flow.internal/capdo/dedupe/memdedupe"
	"flow.internal/capdo/internal/problem"
)

func oneScope(*http.Request) (string, error) { return "tenant", nil }

// wrap returns h behind the middleware, with an empty ledger.
func wrap(h http.HandlerFunc, o *dedupehttp.Options) http.Handler {
	return on(memdedupe.NewLedger(nil), h, o)
}

func on(l dedupe.Ledger, h http.HandlerFunc, o *dedupehttp.Options) http.Handler {
	return dedupehttp.Idempotent(dedupehttp.Fixed(l), oneScope, o)(h)
}

func post(key, body string) *http.Request {
	r := httptest.NewRequest("POST", "/charges?dry=no", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", key)
	return r
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// wantProblem checks a response of the middleware itself.
func wantProblem(t *testing.T, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	var p problem.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != status || p.Status != status || p.Code != code || p.Detail == "" {
		t.Errorf("status %d, %s, %v; want %d, %s", w.Code, w.Body, err, status, code)
	}
	h := w.Header()
	if (h.Get("Retry-After") != "") != (status == 503 || status == 409) || h.Get("Content-Type") != "application/problem+json" {
		t.Errorf("header %v", h)
	}
	if h.Get("Idempotent-Replayed") != "" || h.Get("Idempotency-Expires") != "" {
		t.Errorf("header %v", h)
	}
}

// wantReplay checks that a response repeats another one. except lists the
// headers that are not repeated.
func wantReplay(t *testing.T, w, first *httptest.ResponseRecorder, except ...string) {
	t.Helper()
	want := first.Header().Clone()
	for _, name := range except {
		want.Del(name)
	}
	want.Set("Idempotent-Replayed", "true")
	if w.Code != first.Code || !bytes.Equal(w.Body.Bytes(), first.Body.Bytes()) || !maps.EqualFunc(w.Header(), want, slices.Equal) {
		t.Errorf("repeated: %d %q %v\nat first: %d %q %v", w.Code, w.Body, w.Header(), first.Code, first.Body, want)
	}
}

func TestHandlerRunsOnceAndItsResponseIsRepeated(t *testing.T) {
	runs := 0
	h := wrap(func(w http.ResponseWriter, r *http.Request) {
		runs++
		body, err := io.ReadAll(r.Body)
		if string(body) != `{"amount":1}` || err != nil || r.ContentLength != int64(len(body)) {
			t.Errorf("the handler read %q, %v; length %d", body, err, r.ContentLength)
		}
		w.Header().Set("Location", "/charges/1")
		w.Header().Add("X-Multi", "a")
		w.Header().Add("X-Multi", "b")
		w.Header().Add("Set-Cookie", "session=secret")
		w.Header()["set-cookie"] = []string{"session=other"}
		w.Header().Set("Connection", "X-Hop, close")
		w.Header().Set("X-Hop", "hop")
		w.Header().Set("Keep-Alive", "timeout=5")
		w.Header().Set("Transfer-Encoding", "identity")
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.Header().Set("Upgrade", "h2c")
		w.Header().Set("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
		w.Header().Set("Content-Length", "999")
		w.WriteHeader(http.StatusCreated)
		w.Header().Set("X-Late", "is not sent")
		fmt.Fprintf(w, `{"id":%d}`, runs)
	}, nil)
	before := time.Now()
	first := do(h, post(`"k"`, `{"amount":1}`))
	if first.Code != 201 || first.Body.String() != `{"id":1}` || first.Header().Get("X-Late") != "" || len(first.Header()["Set-Cookie"]) != 2 {
		t.Errorf("%d %s %v", first.Code, first.Body, first.Header())
	}
	expires, err := time.Parse(http.TimeFormat, first.Header().Get("Idempotency-Expires"))
	if d := expires.Sub(before); err != nil || d < dedupe.DefaultTTL-time.Second || d > dedupe.DefaultTTL+time.Minute {
		t.Errorf("expires at %v, %v", expires, err)
	}
	hop := []string{"Set-Cookie", "Connection", "X-Hop", "Keep-Alive", "Transfer-Encoding", "Proxy-Authenticate", "Upgrade", "Date"}
	wantReplay(t, do(h, post(`"k"`, `{"amount":1}`)), first, hop...)
	// Without quotes it is the same key.
	wantReplay(t, do(h, post("k", `{"amount":1}`)), first, hop...)
	if runs != 1 {
		t.Errorf("the handler ran %d times", runs)
	}
	if w := do(h, post("K", `{"amount":1}`)); w.Body.String() != `{"id":2}` {
		t.Errorf("another key: %s", w.Body)
	}
}

func TestResponseThatSaysLittleIsRepeated(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"nothing":         func(http.ResponseWriter, *http.Request) {},
		"only a status":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202) },
		"only a body":     func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"two bodies":      func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<ht"); io.WriteString(w, "ml>") },
		"two statuses":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202); w.WriteHeader(404) },
		"early hints":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(404) },
		"204, and a body": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204); io.WriteString(w, "no") },
		"304":             func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) },
		"its length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			io.WriteString(w, "ok")
		},
		"no content type": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			io.WriteString(w, "<html>")
		},
		"an encoded body": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "x")
			io.WriteString(w, "<html>")
		},
		"a redirect":       func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusSeeOther) },
		"what it has read": func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) },
		"a flush in between": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "a")
			w.(http.Flusher).Flush()
			io.WriteString(w, "b")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := wrap(h, nil)
			first := do(h, post("k", "body"))
			if first.Flushed {
				t.Error("a held-back response was flushed")
			}
			wantReplay(t, do(h, post("k", "body")), first)
			if name == "only a body" && first.Header().Get("Content-Type") != "text/html; charset=utf-8" {
				t.Errorf("Content-Type %q", first.Header())
			}
			if name == "an encoded body" && first.Header().Get("Content-Type") != "" {
				t.Errorf("header %v", first.Header())
			}
			if _, ok := first.Header()["Content-Type"]; name == "no content type" && (!ok || first.Header().Get("Content-Type") != "") {
				t.Errorf("header %v", first.Header())
			}
		})
	}
}

// Headers that outer handlers set are not stored: they set them for the first
// response and for its repetition.
func TestHandlersFurtherOutKeepTheirHeaders(t *testing.T) {
	requests := 0
	inner := wrap(func(w http.ResponseWriter, r *http.Request) {
		if w.Header().Get("X-Request-Id") != "1" {
			t.Errorf("the handler saw %v", w.Header())
		}
		w.Header().Add("Vary", "Accept")
		w.Header().Del("X-Unwanted")
		w.Header().Set("X-Frame-Options", "SAMEORIGIN")
	}, nil)
	outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		w.Header().Set("X-Request-Id", fmt.Sprint(requests))
		w.Header().Set("Vary", "Origin")
		w.Header().Set("X-Unwanted", "x")
		w.Header().Set("X-Frame-Options", "DENY")
		w.Header().Set("Set-Cookie", fmt.Sprintf("visit=%d", requests))
		inner.ServeHTTP(w, r)
	})
	for n := 1; n <= 2; n++ {
		w := do(outer, post("k", ""))
		want := http.Header{"X-Request-Id": {fmt.Sprint(n)}, "Vary": {"Origin", "Accept"}, "X-Frame-Options": {"SAMEORIGIN"}}
		want.Set("Set-Cookie", fmt.Sprintf("visit=%d", n))
		for name := range w.Header() {
			if got := w.Header()[name]; !reflect.DeepEqual(got, want[name]) && !strings.HasPrefix(name, "Idempoten") && len(got) > 0 {
				t.Errorf("request %d: %s is %q, want %q", n, name, got, want[name])
			}
		}
		for name := range want {
			if w.Header()[name] == nil {
				t.Errorf("request %d: no %s", n, name)
			}
		}
	}
}

func TestOtherRequestsPassUnchanged(t *testing.T) {
	for _, c := range []struct {
		name, method string
		opts         *dedupehttp.Options
		change       func(r *http.Request)
	}{
		{"GET", "GET", nil, nil},
		{"HEAD", "HEAD", nil, nil},
		{"OPTIONS", "OPTIONS", nil, nil},
		{"TRACE", "TRACE", nil, nil},
		{"PUT", "PUT", nil, nil},
		{"DELETE", "DELETE", &dedupehttp.Options{Required: true}, nil},
		{"PATCH when only POST is listed", "PATCH", &dedupehttp.Options{Methods: []string{"POST"}}, nil},
		{"POST without a key when it is optional", "POST", nil, func(r *http.Request) { r.Header.Del("Idempotency-Key") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, r, runs := httptest.NewRecorder(), post("not \x01 a key", "body"), 0
			r.Method = c.method
			if c.change != nil {
				c.change(r)
			}
			h := wrap(func(gotW http.ResponseWriter, gotR *http.Request) {
				runs++
				if gotW != w || gotR != r {
					t.Error("the handler got another request or writer")
				}
				if _, ok := dedupehttp.Fence(gotR.Context()); ok {
					t.Error("the handler got a fence")
				}
			}, c.opts)
			h.ServeHTTP(w, r)
			h.ServeHTTP(w, r)
			if runs != 2 {
				t.Errorf("the handler ran %d times", runs)
			}
		})
	}
}

func TestMethodsThatAreListedAreIdempotent(t *testing.T) {
	for _, method := range []string{"POST", "PATCH", "PUT", "DELETE", "LINK"} {
		runs := 0
		var o *dedupehttp.Options
		if method != "POST" && method != "PATCH" {
			o = &dedupehttp.Options{Methods: []string{method}}
		}
		h := wrap(func(http.ResponseWriter, *http.Request) { runs++ }, o)
		for range 2 {
			r := post("k", "body")
			r.Method = method
			do(h, r)
		}
		if runs != 1 {
			t.Errorf("%s ran %d times", method, runs)
		}
	}
}

// faulty is a ledger whose operations can also fail.
type faulty struct {
	dedupe.Ledger
	// The errors of calls that were executed.
	claim, complete, release error
	nothing                  error // returned without executing the call
}

func (f *faulty) Claim(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
	if f.nothing != nil {
		return dedupe.Claim{}, &dedupe.Error{Op: "Claim", Err: f.nothing}
	}
	c, err := f.Ledger.Claim(ctx, key, o)
	if f.claim != nil {
		return dedupe.Claim{Owner: c.Owner}, &dedupe.Error{Op: "Claim", Err: f.claim}
	}
	return c, err
}

func (f *faulty) Complete(ctx context.Context, c dedupe.Claim, result []byte) error {
	return errors.Join(f.complete, f.Ledger.Complete(ctx, c, result))
}

func (f *faulty) Release(ctx context.Context, c dedupe.Claim) error {
	return errors.Join(f.release, f.Ledger.Release(ctx, c))
}

func TestRefusedRequestsDoNotReachTheHandler(t *testing.T) {
	const key, body, scope = "secret-key", "secret-body", "secret-scope"
	memory := func() dedupe.Ledger { return memdedupe.NewLedger(nil) }
	none := func(err error) dedupehttp.LedgerFunc {
		return func(*http.Request) (dedupe.Ledger, error) { return nil, err }
	}
	fails := func(f faulty) func(*http.Request) (dedupe.Ledger, error) {
		f.Ledger = memory()
		return dedupehttp.Fixed(&f)
	}
	type test struct {
		status int
		code   string
		change func(r *http.Request)
		scope  dedupehttp.ScopeFunc
		ledger dedupehttp.LedgerFunc
		opts   dedupehttp.Options
	}
	header := func(values ...string) func(r *http.Request) {
		return func(r *http.Request) { r.Header["Idempotency-Key"] = values }
	}
	small := dedupehttp.Options{MaxBody: int64(len(body)) - 1}
	for name, c := range map[string]test{
		"no key":           {status: 400, code: "idempotency_key_missing", change: header(), opts: dedupehttp.Options{Required: true}},
		"an empty key":     {status: 400, code: "idempotency_key_invalid", change: header("")},
		"two keys":         {status: 400, code: "idempotency_key_invalid", change: header(key, key)},
		"a long key":       {status: 400, code: "idempotency_key_too_long", change: header(strings.Repeat(key, 100))},
		"no scope":         {status: 403, code: "scope_unknown", scope: func(*http.Request) (string, error) { return "", nil }},
		"an unknown scope": {status: 403, code: "scope_unknown", scope: func(*http.Request) (string, error) { return scope, errors.New(scope) }},
		"a large body":     {status: 413, code: "body_too_large", opts: small},
		"a large body, before it is read": {status: 413, code: "body_too_large", opts: small, change: func(r *http.Request) {
			r.Body = io.NopCloser(iotest.ErrReader(errors.New("it was read")))
		}},
		"a large body of unknown length": {status: 413, code: "body_too_large", opts: small, change: func(r *http.Request) {
			r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader(body))
		}},
		"a body cut off by another limit": {status: 413, code: "body_too_large", change: func(r *http.Request) {
			r.Body = http.MaxBytesReader(nil, r.Body, 3)
		}},
		"a body that ends early": {status: 400, code: "body_unreadable", change: func(r *http.Request) {
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(body), iotest.ErrReader(errors.New(body))))
		}},
		"no ledger":                          {status: 503, code: "ledger_failed", ledger: none(errors.New(key))},
		"a nil ledger":                       {status: 503, code: "ledger_failed", ledger: none(nil)},
		"a broken ledger":                    {status: 503, code: "ledger_failed", ledger: fails(faulty{nothing: errors.New(key)})},
		"an overloaded ledger":               {status: 503, code: "overloaded", ledger: fails(faulty{nothing: dedupe.ErrOverloaded})},
		"an unknown outcome":                 {status: 503, code: "outcome_unknown", ledger: fails(faulty{nothing: dedupe.ErrUnknownOutcome})},
		"an unknown outcome, though claimed": {status: 503, code: "outcome_unknown", ledger: fails(faulty{claim: dedupe.ErrUnknownOutcome})},
	} {
		t.Run(name, func(t *testing.T) {
			if c.scope == nil {
				c.scope = func(*http.Request) (string, error) { return scope, nil }
			}
			if c.ledger == nil {
				c.ledger = dedupehttp.Fixed(memory())
			}
			claims := 0
			ledger := func(r *http.Request) (dedupe.Ledger, error) {
				l, err := c.ledger(r)
				if l == nil {
					return nil, err
				}
				return dedupe.Observed(l, nil, func(dedupe.Event) { claims++ }), err
			}
			h := dedupehttp.Idempotent(ledger, c.scope, &c.opts)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler runs") }))
			r := post(key, body)
			if c.change != nil {
				c.change(r)
			}
			w := do(h, r)
			wantProblem(t, w, c.status, c.code)
			if dump := fmt.Sprint(w.Header(), w.Body); strings.Contains(dump, "secret") {
				t.Errorf("the response reveals the secret: %s", dump)
			}
			if c.status < 500 && claims > 0 {
				t.Error("a key was claimed")
			}
		})
	}
}

func TestLargestBodyIsTaken(t *testing.T) {
	for _, o := range []*dedupehttp.Options{nil, {MaxBody: 3}} {
		size := 1 << 20
		if o != nil {
			size = int(o.MaxBody)
		}
		h := wrap(func(w http.ResponseWriter, r *http.Request) {
			if n, err := io.Copy(io.Discard, r.Body); int(n) != size || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		}, o)
		if w := do(h, post("k", strings.Repeat("b", size))); w.Code != 200 {
			t.Errorf("%d bytes: %d %s", size, w.Code, w.Body)
		}
		wantProblem(t, do(h, post("l", strings.Repeat("b", size+1))), 413, "body_too_large")
	}
}

func TestKeyIsForOneRequest(t *testing.T) {
	now := func() *http.Request { return post("k", "body") }
	inside := make(chan func(), 1)
	h := wrap(func(w http.ResponseWriter, r *http.Request) { (<-inside)() }, &dedupehttp.Options{Methods: []string{"POST", "PATCH"}})
	others := map[string]func(r *http.Request){
		"body":             func(r *http.Request) { *r = *post("k", "Body") },
		"no body":          func(r *http.Request) { *r = *post("k", "") },
		"method":           func(r *http.Request) { r.Method = "PATCH" },
		"path":             func(r *http.Request) { r.URL.Path = "/refunds" },
		"path, escaped":    func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/charges", "/%63harges" },
		"query":            func(r *http.Request) { r.URL.RawQuery = "dry=yes" },
		"content type":     func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		"content encoding": func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") },
		"a separator between the parts": func(r *http.Request) {
			*r = *post("k", "ody")
			r.Header.Set("Content-Encoding", "b")
		},
	}
	check := func(when string) {
		for name, change := range others {
			r := now()
			change(r)
			t.Run(name+" "+when, func(t *testing.T) { wantProblem(t, do(h, r), 422, "idempotency_key_reused") })
		}
	}
	inside <- func() { check("while it is in progress") }
	first := do(h, now())
	check("afterwards")
	r := now()
	r.Header.Set("Authorization", "Bearer new")
	r.Header.Set("User-Agent", "another")
	r.Host = "another.example"
	wantReplay(t, do(h, r), first)
}

func TestScopesDoNotMeet(t *testing.T) {
	runs := 0
	scope := func(r *http.Request) (string, error) { return r.Header.Get("Tenant"), nil }
	ledger := dedupehttp.Fixed(memdedupe.NewLedger(nil))
	h := dedupehttp.Idempotent(ledger, scope, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		runs++
		fmt.Fprint(w, r.Header.Get("Tenant"))
	}))
	for _, pair := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"abc", `"a"`}, {strings.Repeat("a", 4000), "c"}, {strings.Repeat("a", 4001), "c"}} {
		for range 2 {
			r := post(pair[1], "body")
			r.Header.Set("Tenant", pair[0])
			if w := do(h, r); w.Body.String() != pair[0] {
				t.Errorf("%.9q got the response of %.9q", pair[0], w.Body)
			}
		}
	}
	if runs != 5 {
		t.Errorf("the handler ran %d times", runs)
	}
}

func TestRequestWhileAnotherIsInProgress(t *testing.T) {
	begun, finish := make(chan bool), make(chan bool)
	h := wrap(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-finish
		io.WriteString(w, "done")
	}, nil)
	var first *httptest.ResponseRecorder
	var wg sync.WaitGroup
	wg.Go(func() { first = do(h, post("k", "body")) })
	<-begun
	w := do(h, post("k", "body"))
	wantProblem(t, w, 409, "in_progress")
	if w.Header().Get("Retry-After") != "1" {
		t.Errorf("%v", w.Header())
	}
	close(finish)
	wg.Wait()
	wantReplay(t, do(h, post("k", "body")), first)
}

func TestHundredRequestsAtOnceRunTheHandlerOnce(t *testing.T) {
	const requests = 100
	var inProgress, runs atomic.Int32
	others := make(chan bool)
	ledger := dedupe.Observed(memdedupe.NewLedger(nil), nil, func(e dedupe.Event) {
		if e.Result == dedupe.EventInProgress && inProgress.Add(1) == requests-1 {
			close(others)
		}
	})
	h := on(ledger, func(w http.ResponseWriter, r *http.Request) {
		<-others // others got "in progress", and wait
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, runs.Add(1))
	}, &dedupehttp.Options{Wait: dedupe.MaxWait})
	var replayed atomic.Int32
	var wg sync.WaitGroup
	for range requests {
		wg.Go(func() {
			w := do(h, post("k", "body"))
			if w.Code != 201 || w.Body.String() != "1" || w.Header().Get("Idempotency-Expires") == "" {
				t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
			}
			if w.Header().Get("Idempotent-Replayed") == "true" {
				replayed.Add(1)
			}
		})
	}
	wg.Wait()
	if runs.Load() != 1 || replayed.Load() != requests-1 {
		t.Errorf("%d runs, %d replayed", runs.Load(), replayed.Load())
	}
}

func TestWaitThatIsOverIsInProgress(t *testing.T) {
	var h http.Handler
	h = wrap(func(w http.ResponseWriter, r *http.Request) {
		wantProblem(t, do(h, post("k", "body")), 409, "in_progress")
	},
		&dedupehttp.Options{Wait: time.Millisecond})
	if w := do(h, post("k", "body")); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
