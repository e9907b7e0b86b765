//go:build !js

package dedupehttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupehttp"
	"flow.internal/capdo/dedupe/memdedupe"
)

func TestLargeResponsesRunTheHandlerOnce(t *testing.T) {
	header := func(h http.Header, count, size int) {
		for n := range count {
			h.Add(fmt.Sprintf("X-Large-%d", n), strings.Repeat("x", size))
		}
	}
	for _, c := range []struct {
		name          string
		headers, size int // of header
		body          int
		kept          bool // the whole response
		keptHeader    bool
	}{
		{"the largest body", 0, 0, dedupehttp.MaxKeptBody, true, true},
		{"a larger body", 0, 0, dedupehttp.MaxKeptBody + 1, false, true},
		{"a body too large for a ledger", 0, 0, 3 << 20, false, true},
		{"large headers with the largest body", 60, 1000, dedupehttp.MaxKeptBody, true, true},
		{"a huge header", 1, dedupehttp.MaxKeptHeader, 10, false, false},
		{"a huge header, no body", 1, dedupehttp.MaxKeptHeader, 0, false, false},
		{"a huge header, and body", 1, 2 << 20, 3 << 20, false, false},
		{"many headers", 10000, 1, 10, false, false},
	} {
		for _, piece := range []int{4 << 20, 1000} {
			t.Run(fmt.Sprint(c.name, " in pieces of ", piece), func(t *testing.T) {
				runs := 0
				body := bytes.Repeat([]byte("b"), c.body)
				h := wrap(func(w http.ResponseWriter, r *http.Request) {
					runs++
					w.Header().Set("Location", "/1")
					w.Header().Set("Content-Type", "text/x")
					w.Header().Set("Content-Length", fmt.Sprint(len(body)))
					header(w.Header(), c.headers, c.size)
					w.WriteHeader(201)
					for rest := body; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
						if n, err := w.Write(rest[:min(piece, len(rest))]); n != min(piece, len(rest)) || err != nil {
							t.Fatal(n, err)
						}
					}
				}, nil)
				first := do(h, post("k", "body"))
				if first.Code != 201 || !bytes.Equal(first.Body.Bytes(), body) || len(first.Header()) < c.headers || first.Header().Get("Location") != "/1" {
					t.Errorf("%d, %d bytes, %d headers", first.Code, first.Body.Len(), len(first.Header()))
				}
				w := do(h, post("k", "body"))
				get := w.Header().Get
				if runs != 1 || w.Code != 201 || get("Idempotent-Replayed") != "true" || get("Idempotency-Expires") == "" {
					t.Errorf("%d runs, %d, %.999v", runs, w.Code, w.Header())
				}
				if c.kept && (!bytes.Equal(w.Body.Bytes(), body) || get("Content-Type") != "text/x" || get("Idempotent-Incomplete") != "") {
					t.Errorf("%d bytes, %.999v", w.Body.Len(), w.Header())
				}
				if !c.kept && (w.Body.Len() > 0 || get("Content-Type")+get("Content-Length") != "" || get("Idempotent-Incomplete") != "true") {
					t.Errorf("%d bytes, %.999v", w.Body.Len(), w.Header())
				}
				if (get("Location") != "") != c.keptHeader {
					t.Errorf("Location %q", get("Location"))
				}
			})
		}
	}
}

func TestStreamingResponsesGoOutAsTheyAreWritten(t *testing.T) {
	runs := 0
	var out *httptest.ResponseRecorder
	h := wrap(func(w http.ResponseWriter, r *http.Request) {
		runs++
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Job", "7")
		if err := http.NewResponseController(w).Flush(); err != nil || !out.Flushed || out.Header().Get("X-Job") != "7" {
			t.Errorf("%v; %v", err, out)
		}
		for n := 1; n < 3; n++ {
			fmt.Fprintf(w, "data: %d\n\n", n)
			if strings.Count(out.Body.String(), "data") != n {
				t.Errorf("after %d: %q", n, out.Body)
			}
		}
	}, &dedupehttp.Options{Streaming: true})
	for n := range 2 {
		out = httptest.NewRecorder()
		h.ServeHTTP(out, post("k", "body"))
		if want := []string{"data: 1\n\ndata: 2\n\n", ""}[n]; out.Code != 200 || out.Body.String() != want || out.Header().Get("X-Job") != "7" || runs != 1 {
			t.Errorf("%d: %d %q %v", n, out.Code, out.Body, out.Header())
		}
		h := out.Header()
		if (h.Get("Idempotent-Incomplete") != "") != (n == 1) || (h.Get("Content-Type") != "") != (n == 0) || (h.Get("Idempotency-Expires") != "") != (n == 1) {
			t.Errorf("%d: %v", n, h)
		}
	}
	h = wrap(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }, &dedupehttp.Options{Streaming: true})
	do(h, post("k", "body"))
	if w := do(h, post("k", "body")); w.Code != 204 || w.Header().Get("Idempotent-Replayed") == "" || w.Header().Get("Idempotent-Incomplete") != "" {
		t.Errorf("without a body: %d %v", w.Code, w.Header())
	}
}

func TestStreamThatPanicsIsBrokenOffAndCountsAs500(t *testing.T) {
	h := wrap(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "half"); panic("boom") }, &dedupehttp.Options{Streaming: true})
	func() {
		defer func() { recover() }()
		do(h, post("k", "body"))
	}()
	if w := do(h, post("k", "body")); w.Code != 500 || !strings.Contains(w.Body.String(), "handler_panicked") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestWhatCannotBeKeptIsRefused(t *testing.T) {
	do(wrap(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if _, _, err := c.Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Hijack: %v", err)
		}
		if err := c.SetWriteDeadline(time.Time{}); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("SetWriteDeadline: %v", err)
		}
		if err := c.Flush(); err != nil {
			t.Errorf("Flush: %v", err)
		}
		w.WriteHeader(204)
		if n, err := w.Write([]byte("x")); n != 0 || !errors.Is(err, http.ErrBodyNotAllowed) {
			t.Errorf("Write: %d, %v", n, err)
		}
	}, nil), post("k", "body"))
}

// postTo sends a request with a key over a real connection.
func postTo(t *testing.T, server *httptest.Server, path, body string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Idempotency-Key", "k")
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// A handler must not be able to inject headers. This is tested on a real
// connection.
func TestHeadersCannotBeInjected(t *testing.T) {
	server := httptest.NewServer(wrap(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Value", "a\r\nX-Injected: b\r\n\r\n<html>\x00")
		w.Header()["X-Na\r\nX-Injected: c"] = []string{"d"}
		w.Header()["connection"] = []string{"x-hop"}
		w.Header()["X-Hop"] = []string{"hop"}
		w.Header()[http.TrailerPrefix+"X-Trailer"] = []string{"e"}
		w.Header().Set("Trailer", "X-Other")
		w.Header().Set("Transfer-Encoding", "identity")
		w.Header().Set("Content-Length", "1")
		io.WriteString(w, "body")
	}, nil))
	defer server.Close()
	for n := range 2 {
		resp := postTo(t, server, "", "")
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != "body" || err != nil || (resp.Header.Get("Idempotent-Replayed") != "") != (n == 1) {
			t.Errorf("%q, %v, %v", body, err, resp.Header)
		}
		if resp.Header.Get("X-Injected") != "" || resp.Header.Get("X-Value") != "a  X-Injected: b    <html>" || len(resp.Trailer) > 0 {
			t.Errorf("%v, %v", resp.Header, resp.Trailer)
		}
		if n == 1 && resp.Header.Get("X-Hop") != "" {
			t.Errorf("%v", resp.Header)
		}
	}
}

func TestTrailersAreNotSent(t *testing.T) {
	for _, streaming := range []bool{false, true} {
		server := httptest.NewServer(wrap(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			w.Header()[http.TrailerPrefix+"X-Other"] = []string{"1"}
			io.WriteString(w, "body")
			w.Header().Set("X-Sum", "1")
		}, &dedupehttp.Options{Streaming: streaming}))
		for range 2 {
			resp := postTo(t, server, "", "")
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || len(resp.Trailer) > 0 || resp.Header.Get("X-Sum") != "" {
				t.Errorf("%v, trailers %v, header %v", err, resp.Trailer, resp.Header)
			}
			resp.Body.Close()
		}
		server.Close()
	}
}

func TestUnreadableResponseIsAnError(t *testing.T) {
	for name, result := range map[string]string{"nothing": "", "corrupt": "H\x01\x00", "another format": "receipt secret", "a newer version": "H\x02secret"} {
		t.Run(name, func(t *testing.T) {
			l := &rewriting{Ledger: memdedupe.NewLedger(nil), result: []byte(result)}
			runs := 0
			h := on(l, func(http.ResponseWriter, *http.Request) { runs++ }, nil)
			do(h, post("k", "body"))
			w := do(h, post("k", "body"))
			wantProblem(t, w, 500, "record_unreadable")
			if runs != 1 || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%d runs; %s", runs, w.Body)
			}
		})
	}
}

// rewriting is a ledger that stores another result.
type rewriting struct {
	dedupe.Ledger
	result []byte
}

func (l *rewriting) Complete(ctx context.Context, c dedupe.Claim, _ []byte) error {
	return l.Ledger.Complete(ctx, c, l.result)
}

func TestClientGetsItsResponseEvenIfTheLedgerFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  faulty
		status int
	}{
		{"to store it", faulty{complete: dedupe.ErrOverloaded}, 201},
		{"to report that it stored the response", faulty{complete: dedupe.ErrUnknownOutcome}, 201},
		{"to release the key", faulty{release: dedupe.ErrUnknownOutcome}, 429},
		{"because the key was taken over, with nothing to store", faulty{release: dedupe.ErrFenced}, 429},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.fault.Ledger = memdedupe.NewLedger(nil)
				w := do(on(&c.fault, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(c.status); io.WriteString(w, "done") }, nil), post("k", "body"))
				if w.Code != c.status || w.Body.String() != "done" || w.Header().Get("Idempotency-Expires") != "" {
					t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
				}
			})
		})
	}
}

// If the ledger does not accept the response, its client still gets it. The key
// is in progress until the lease ends. Then the handler runs again, with a
// larger fence.
func TestHandlerRunsAgainIfResponseIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &refusing{Ledger: memdedupe.NewLedger(nil), completions: 1 << 30}
		var claims []dedupe.Claim
		h := on(l, func(w http.ResponseWriter, r *http.Request) {
			claim, _ := dedupehttp.ClaimOf(r.Context())
			claims = append(claims, claim)
			fmt.Fprint(w, "run ", len(claims))
		}, &dedupehttp.Options{Lease: time.Minute})
		if w := do(h, post("k", "body")); w.Body.String() != "run 1" || w.Header().Get("Idempotency-Expires") != "" {
			t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
		}
		l.completions = 0
		wantProblem(t, do(h, post("k", "body")), 409, "in_progress")
		time.Sleep(time.Minute)
		again := do(h, post("k", "body"))
		if again.Body.String() != "run 2" || len(claims) != 2 || claims[1].Fence <= claims[0].Fence || claims[0].TakenOver || !claims[1].TakenOver || claims[1].Attempt != 2 {
			t.Errorf("%d %s, claims %+v", again.Code, again.Body, claims)
		}
		wantReplay(t, do(h, post("k", "body")), again)
	})
}

// A ledger that briefly does not accept the response is asked again.
func TestHandlerRunsOnceIfLedgerFailsBriefly(t *testing.T) {
	for _, panics := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			l := &refusing{Ledger: memdedupe.NewLedger(nil), completions: 4}
			runs := 0
			h := on(l, func(w http.ResponseWriter, r *http.Request) {
				if runs++; panics {
					panic("boom")
				}
				fmt.Fprint(w, "run ", runs)
			}, nil)
			first := httptest.NewRecorder()
			func() {
				defer func() { recover() }()
				h.ServeHTTP(first, post("k", "body"))
			}()
			time.Sleep(time.Hour)
			again := do(h, post("k", "body"))
			if runs != 1 || panics && !strings.Contains(again.Body.String(), "handler_panicked") {
				t.Errorf("%d runs; %d %s", runs, again.Code, again.Body)
			}
			if !panics {
				wantReplay(t, again, first)
			}
		})
	}
}

// refusing is a ledger that is overloaded for its first completions.
type refusing struct {
	dedupe.Ledger
	completions int
}

func (l *refusing) Complete(ctx context.Context, c dedupe.Claim, result []byte) error {
	if l.completions--; l.completions >= 0 {
		return &dedupe.Error{Op: "Complete", Retryable: true, Err: dedupe.ErrOverloaded}
	}
	return l.Ledger.Complete(ctx, c, result)
}

// A handler whose claim was taken over has the smaller fence. Its client is
// sent to the response that counts, or gets only the part that was already
// sent.
func TestResponseAfterATakeoverDoesNotCount(t *testing.T) {
	w := takenOver(t, false, "second")
	wantProblem(t, w, 503, "taken_over")
	if w := takenOver(t, true, ""); w.Code != 200 || w.Body.String() != "first" {
		t.Errorf("streaming: %d %s", w.Code, w.Body)
	}
}

// takenOver returns the response of a handler whose claim another handler took
// over. Later requests get the given body.
func takenOver(t *testing.T, streaming bool, body string) *httptest.ResponseRecorder {
	clock := time.Now()
	l := memdedupe.NewLedger(func() time.Time { return clock })
	runs, fences := 0, [2]int64{}
	var h http.Handler
	h = on(l, func(w http.ResponseWriter, r *http.Request) {
		fence, ok := dedupehttp.Fence(r.Context())
		if !ok {
			t.Error("no fence")
		}
		fences[runs] = fence
		if runs++; runs == 2 {
			io.WriteString(w, "second")
			return
		}
		clock = clock.Add(time.Hour) // as if this program had been suspended
		if w := do(h, post("k", "body")); w.Code != 200 || w.Body.String() != "second" {
			t.Errorf("the second: %d %s", w.Code, w.Body)
		}
		io.WriteString(w, "first")
	}, &dedupehttp.Options{Lease: time.Hour, Streaming: streaming})
	first := do(h, post("k", "body"))
	if w := do(h, post("k", "body")); w.Body.String() != body || runs != 2 || fences[0] >= fences[1] {
		t.Errorf("%s after %d runs, fences %v", w.Body, runs, fences)
	}
	return first
}

func TestContextOfTheHandler(t *testing.T) {
	type value struct{}
	ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), value{}, "v"), time.Hour)
	l := memdedupe.NewLedger(nil)
	var key []byte
	watched := &watching{Ledger: l, claimed: func(k []byte, _ dedupe.ClaimOptions) { key = k }}
	h := on(watched, func(w http.ResponseWriter, r *http.Request) {
		cancel()
		if _, ok := r.Context().Deadline(); ok || r.Context().Err() != nil || r.Context().Value(value{}) != "v" || r.PathValue("id") != "7" {
			t.Errorf("%v, %v", r.Context().Err(), r.Context())
		}
		if err := l.Forget(t.Context(), key); err != nil {
			t.Error(err)
		}
		<-r.Context().Done() // the next extension notices it
		if !errors.Is(context.Cause(r.Context()), dedupe.ErrFenced) {
			t.Errorf("%v", context.Cause(r.Context()))
		}
	}, &dedupehttp.Options{Lease: 600 * time.Millisecond})
	mux := http.NewServeMux()
	mux.Handle("POST /charges/{id}", h)
	r := post("k", "body").WithContext(ctx)
	r.URL.Path = "/charges/7"
	wantProblem(t, do(mux, r), 503, "taken_over")
}

// watching is a ledger that reports claims.
type watching struct {
	dedupe.Ledger
	claimed func(key []byte, o dedupe.ClaimOptions)
}

func (l *watching) Claim(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
	l.claimed(key, o)
	return l.Ledger.Claim(ctx, key, o)
}

// If the client of a real connection disconnects, the handler continues for
// longer than the lease. Afterwards its response is available.
func TestClientThatGoesAwayFindsTheResponseLater(t *testing.T) {
	const lease = 600 * time.Millisecond
	extended, completed := make(chan bool, 100), make(chan bool, 1)
	ledger := dedupe.Observed(memdedupe.NewLedger(nil), nil, func(e dedupe.Event) {
		switch e.Op {
		case "Extend":
			extended <- e.Err == nil
		case "Complete":
			completed <- e.Err == nil
		}
	})
	gone, begun, runs := make(chan bool, 1), make(chan bool, 1), 0
	inner := on(ledger, func(w http.ResponseWriter, r *http.Request) {
		runs++
		begun <- true
		<-gone
		for range 5 { // longer than a lease
			if !<-extended {
				t.Error("the lease was not extended")
			}
		}
		if r.Context().Err() != nil {
			t.Errorf("the handler's context ended with its client: %v", context.Cause(r.Context()))
		}
		io.WriteString(w, "done")
	}, &dedupehttp.Options{Lease: lease})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		context.AfterFunc(r.Context(), func() { gone <- true })
		inner.ServeHTTP(w, r)
	}))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "POST /charges HTTP/1.1\r\nHost: h\r\nIdempotency-Key: \"k\"\r\nContent-Length: 4\r\n\r\nbody")
	<-begun
	conn.Close()
	if !<-completed {
		t.Fatal("the response was not stored")
	}
	resp := postTo(t, server, "/charges", "body")
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); string(body) != "done" || err != nil || resp.Header.Get("Idempotent-Replayed") != "true" || runs != 1 {
		t.Errorf("%q, %v, %v after %d runs", body, err, resp.Header, runs)
	}
}

// A client that leaves during its claim does not leave the key claimed. A
// client that waits just ends.
func TestClientThatGoesAwayBeforeTheHandlerRuns(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	l := &watching{Ledger: memdedupe.NewLedger(nil), claimed: func([]byte, dedupe.ClaimOptions) { cancel() }}
	var h http.Handler
	h = on(l, func(w http.ResponseWriter, r *http.Request) {
		runs++
		ctx, cancel := context.WithCancel(t.Context())
		claims := 0
		l.claimed = func([]byte, dedupe.ClaimOptions) {
			if claims++; claims == 2 { // the claim that waits
				cancel()
			}
		}
		do(h, post("k", "body").WithContext(ctx))
		if claims != 2 {
			t.Errorf("%d claims", claims)
		}
		l.claimed = func([]byte, dedupe.ClaimOptions) {}
		io.WriteString(w, "done")
	}, &dedupehttp.Options{Wait: dedupe.MaxWait})
	first := do(h, post("k", "body").WithContext(ctx))
	if first.Body.String() != "done" {
		t.Errorf("%d %s", first.Code, first.Body)
	}
	wantReplay(t, do(h, post("k", "body")), first)
	if runs != 1 {
		t.Errorf("%d runs", runs)
	}
}

// If the answer to a claim is lost, the same owner asks again, so the claim
// does not remain without a holder.
func TestClaimWhoseAnswerWasLostIsNotLeftBehind(t *testing.T) {
	l := &losing{Ledger: memdedupe.NewLedger(nil)}
	h := on(l, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "done") }, nil)
	if w := do(h, post("k", "body")); w.Body.String() != "done" || w.Header().Get("Idempotency-Expires") == "" || l.claims != 2 {
		t.Errorf("%d %s after %d claims", w.Code, w.Body, l.claims)
	}
}

// losing is a ledger that loses the answer to its first claim.
type losing struct {
	dedupe.Ledger
	claims int
}

func (l *losing) Claim(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
	c, err := l.Ledger.Claim(ctx, key, o)
	if l.claims++; l.claims == 1 {
		return dedupe.Claim{Owner: c.Owner}, &dedupe.Error{Op: "Claim", Err: dedupe.ErrUnknownOutcome}
	}
	return c, err
}

func TestOptionsGoToTheLedger(t *testing.T) {
	for _, c := range []struct {
		opts *dedupehttp.Options
		want dedupe.ClaimOptions
	}{
		{nil, dedupe.ClaimOptions{Lease: 30 * time.Second, TTL: dedupe.DefaultTTL}},
		{&dedupehttp.Options{Lease: time.Minute, TTL: time.Hour}, dedupe.ClaimOptions{Lease: time.Minute, TTL: time.Hour}},
	} {
		l := &watching{Ledger: memdedupe.NewLedger(nil), claimed: func(key []byte, got dedupe.ClaimOptions) {
			if got.Lease != c.want.Lease || got.TTL != c.want.TTL || len(got.Fingerprint) != 32 || !bytes.HasSuffix(key, []byte("tenantk")) {
				t.Errorf("%q, %+v", key, got)
			}
		}}
		if w := do(on(l, func(http.ResponseWriter, *http.Request) {}, c.opts), post("k", "body")); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

func TestKeyEndsWithItsTTL(t *testing.T) {
	clock := time.Now()
	l := memdedupe.NewLedger(func() time.Time { return clock })
	runs := 0
	h := on(l, func(http.ResponseWriter, *http.Request) { runs++ }, &dedupehttp.Options{TTL: time.Hour})
	expires, err := time.Parse(http.TimeFormat, do(h, post("k", "body")).Header().Get("Idempotency-Expires"))
	if err != nil || expires.After(clock.Add(time.Hour+time.Second)) {
		t.Errorf("%v, %v", expires, err)
	}
	clock = clock.Add(time.Hour - time.Millisecond)
	if do(h, post("k", "body")); runs != 1 {
		t.Errorf("%d runs", runs)
	}
	clock = clock.Add(time.Minute)
	if do(h, post("k", "another body")); runs != 2 {
		t.Errorf("%d runs", runs)
	}
}

func TestIdempotentRefusesWhatCannotWork(t *testing.T) {
	ledger := dedupehttp.Fixed(memdedupe.NewLedger(nil))
	for want, f := range map[string]func(){
		"there is no ledger":      func() { dedupehttp.Idempotent(nil, oneScope, nil) },
		"there is no scope":       func() { dedupehttp.Idempotent(ledger, nil, nil) },
		"GET is a safe method":    func() { dedupehttp.Idempotent(ledger, oneScope, &dedupehttp.Options{Methods: []string{"POST", "GET"}}) },
		"HEAD is a safe method":   func() { dedupehttp.Idempotent(ledger, oneScope, &dedupehttp.Options{Methods: []string{"HEAD"}}) },
		"MaxBody is negative":     func() { dedupehttp.Idempotent(ledger, oneScope, &dedupehttp.Options{MaxBody: -1}) },
		"the TTL is negative":     func() { dedupehttp.Idempotent(ledger, oneScope, &dedupehttp.Options{TTL: -1}) },
		"the lease is":            func() { dedupehttp.Idempotent(ledger, oneScope, &dedupehttp.Options{Lease: dedupe.MaxLease + 1}) },
		"the lease is negative":   func() { dedupehttp.Idempotent(ledger, oneScope, &dedupehttp.Options{Lease: -1}) },
		"the wait is negative or": func() { dedupehttp.Idempotent(ledger, oneScope, &dedupehttp.Options{Wait: dedupe.MaxWait + 1}) },
	} {
		func() {
			defer func() {
				if p := fmt.Sprint(recover()); !strings.HasPrefix(p, "dedupehttp: Idempotent: "+want) {
					t.Errorf("%s: %s", want, p)
				}
			}()
			f()
		}()
	}
}
