package dedupehttp_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupehttp"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/durable/durabletest"
)

// shop is the handler that the Worker serves. Each test sets it.
var shop http.Handler

func TestMain(m *testing.M) {
	dodedupe.RegisterLedger("Ledger", nil)
	durablehttp.Handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { shop.ServeHTTP(w, r) }))
	m.Run()
}

// serve makes the Worker serve a handler behind the middleware. observe gets
// the events of the ledger.
func serve(h http.HandlerFunc, o *dedupehttp.Options, observe func(dedupe.Event)) {
	ledger := func(r *http.Request) (dedupe.Ledger, error) {
		l, err := dodedupe.NewLedger(durablehttp.Env(r), &dodedupe.LedgerOptions{Scope: "http"})
		if err != nil {
			return nil, err
		}
		return dedupe.Observed(l, nil, observe), nil
	}
	scope := func(r *http.Request) (string, error) { return r.Host, nil }
	shop = dedupehttp.Idempotent(ledger, scope, o)(h)
}

func ignore(dedupe.Event) {}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func send(ctx context.Context, t *testing.T, key string) (answer, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "POST", "http://tenant/charges", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Idempotency-Key", key)
	client := &http.Client{Transport: durablehttp.Transport(durabletest.Worker(t))}
	resp, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, body}, err
}

func mustSend(t *testing.T, key string) answer {
	t.Helper()
	a, err := send(t.Context(), t, key)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a answer) wantRepeated(t *testing.T, first answer) {
	t.Helper()
	if a.status != first.status || !bytes.Equal(a.body, first.body) || a.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%d %.99q %v\nat first %d %.99q %v", a.status, a.body, a.header, first.status, first.body, first.header)
	}
	for _, name := range []string{"Location", "X-Multi", "Content-Type", "Idempotency-Expires"} {
		if a.header.Get(name) != first.header.Get(name) {
			t.Errorf("%s: %q, at first %q", name, a.header.Get(name), first.header.Get(name))
		}
	}
}

func ledgerObject(t *testing.T) *durable.Stub {
	t.Helper()
	ids := durabletest.List(t, "LEDGER")
	if len(ids) != 1 {
		t.Fatalf("%d objects", len(ids))
	}
	ns, err := durabletest.Env(t, nil).Namespace("LEDGER")
	if err != nil {
		t.Fatal(err)
	}
	id, err := ns.IDFromString(ids[0])
	if err != nil {
		t.Fatal(err)
	}
	stub, err := ns.Get(id, nil)
	if err != nil {
		t.Fatal(err)
	}
	return stub
}

func TestWorkerReplaysAfterEvictionAndSIGKILL(t *testing.T) {
	runs := 0
	serve(func(w http.ResponseWriter, r *http.Request) {
		runs++
		body, err := io.ReadAll(r.Body)
		if fence, ok := dedupehttp.Fence(r.Context()); string(body) != "body" || err != nil || !ok || fence <= 0 {
			t.Errorf("%q, %v, fence %d", body, err, fence)
		}
		w.Header().Set("Location", "/charges/1")
		w.Header().Add("X-Multi", "a")
		w.Header().Add("X-Multi", "b")
		w.Header().Add("Set-Cookie", "a=1")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "charged, run %d", runs)
	}, nil, ignore)
	first := mustSend(t, `"k"`)
	if first.status != 201 || string(first.body) != "charged, run 1" || first.header.Get("Set-Cookie") != "a=1" ||
		first.header.Get("Idempotency-Expires") == "" {
		t.Fatalf("%d %s %v", first.status, first.body, first.header)
	}
	check := func() {
		t.Helper()
		again := mustSend(t, "k")
		again.wantRepeated(t, first)
		if again.header.Get("Set-Cookie") != "" || runs != 1 {
			t.Errorf("%v, after %d runs", again.header, runs)
		}
	}
	check()
	durabletest.Evict(t, ledgerObject(t))
	check()
	durabletest.Restart(t)
	check()
}

func TestWorkerRunsTheHandlerOnceForRequestsAtOnce(t *testing.T) {
	const requests = 20
	var mu sync.Mutex
	others, inProgress, runs := make(chan bool), 0, 0
	serve(func(w http.ResponseWriter, r *http.Request) {
		<-others
		mu.Lock()
		runs++
		mu.Unlock()
		io.WriteString(w, "charged")
	}, &dedupehttp.Options{Wait: dedupe.MaxWait}, func(e dedupe.Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Result == dedupe.EventInProgress {
			if inProgress++; inProgress == requests-1 {
				close(others)
			}
		}
	})
	replayed := 0
	var wg sync.WaitGroup
	for range requests {
		wg.Go(func() {
			a, err := send(t.Context(), t, "k")
			mu.Lock()
			defer mu.Unlock()
			if err != nil || a.status != 200 || string(a.body) != "charged" {
				t.Errorf("%d %s, %v", a.status, a.body, err)
			}
			if a.header.Get("Idempotent-Replayed") != "" {
				replayed++
			}
		})
	}
	wg.Wait()
	if runs != 1 || replayed != requests-1 {
		t.Errorf("%d runs, %d replayed", runs, replayed)
	}
}

// If a client disconnects before or during the response, the handler continues
// in the Worker. The next client gets its response.
func TestWorkerGoesOnWithoutTheClient(t *testing.T) {
	for name, o := range map[string]*dedupehttp.Options{"held-back": {}, "streaming": {Streaming: true}} {
		t.Run(name, func(t *testing.T) {
			begun, gone, completed := make(chan bool), make(chan error, 1), make(chan error, 1)
			extended := make(chan error, 100)
			o.Lease = 1500 * time.Millisecond
			serve(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "/charges/1")
				if o.Streaming {
					io.WriteString(w, "charging …")
					w.(http.Flusher).Flush()
				}
				close(begun)
				<-gone
				for range 4 { // longer than a lease
					if err := <-extended; err != nil {
						t.Error(err)
					}
				}
				if r.Context().Err() != nil {
					t.Errorf("the handler's context ended: %v", context.Cause(r.Context()))
				}
				io.WriteString(w, "charged")
			}, o, func(e dedupe.Event) {
				switch e.Op {
				case "Extend":
					extended <- e.Err
				case "Complete":
					completed <- e.Err
				}
			})
			inner := shop
			shop = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				context.AfterFunc(r.Context(), func() { gone <- context.Cause(r.Context()) })
				inner.ServeHTTP(w, r)
			})
			ctx, hangUp := context.WithCancel(t.Context())
			go func() {
				<-begun
				hangUp()
			}()
			if a, err := send(ctx, t, name); err == nil {
				t.Errorf("the client got %d %s", a.status, a.body)
			}
			if err := <-completed; err != nil {
				t.Fatal(err)
			}
			shop = inner
			a := mustSend(t, name)
			want := "charged"
			if o.Streaming {
				want = ""
			}
			if a.header.Get("Idempotent-Replayed") == "" || a.header.Get("Location") != "/charges/1" || string(a.body) != want ||
				(a.header.Get("Idempotent-Incomplete") == "true") != o.Streaming {
				t.Errorf("%d %s %v", a.status, a.body, a.header)
			}
		})
	}
}

func TestWorkerRunsTheHandlerOnceForALargeResponse(t *testing.T) {
	for size, kept := range map[int]bool{dedupehttp.MaxKeptBody: true, dedupehttp.MaxKeptBody + 1: false, 3 << 20: false} {
		runs, body := 0, bytes.Repeat([]byte("b"), size)
		serve(func(w http.ResponseWriter, r *http.Request) { runs++; w.Write(body) }, nil, ignore)
		key := fmt.Sprint(size)
		if first := mustSend(t, key); !bytes.Equal(first.body, body) || first.status != 200 {
			t.Errorf("%d: %d, %d bytes", size, first.status, len(first.body))
		}
		a := mustSend(t, key)
		if (a.header.Get("Idempotent-Incomplete") == "") != kept || bytes.Equal(a.body, body) != kept || !kept && len(a.body) > 0 || runs != 1 {
			t.Errorf("%d: %d bytes, %v, after %d runs", size, len(a.body), a.header, runs)
		}
	}
}

func TestWorkersHandlerThatPanicsCountsAs500(t *testing.T) {
	runs := 0
	serve(func(http.ResponseWriter, *http.Request) { runs++; panic(http.ErrAbortHandler) }, nil, ignore)
	if a, err := send(t.Context(), t, "k"); err == nil && a.status != 500 {
		t.Errorf("%d %s", a.status, a.body)
	}
	a := mustSend(t, "k")
	if a.status != 500 || a.header.Get("Idempotent-Replayed") == "" || !bytes.Contains(a.body, []byte("handler_panicked")) || runs != 1 {
		t.Errorf("%d %s after %d runs", a.status, a.body, runs)
	}
}

func TestWorkerKeepsNoHalfOfAResponse(t *testing.T) {
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "upstream"})
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	proxy.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		half := io.MultiReader(strings.NewReader(strings.Repeat("half", 50_000)), iotest.ErrReader(io.ErrUnexpectedEOF))
		return &http.Response{StatusCode: 201, Header: http.Header{}, ContentLength: -1, Body: io.NopCloser(half)}, nil
	})
	runs := 0
	serve(func(w http.ResponseWriter, r *http.Request) { runs++; proxy.ServeHTTP(w, r) }, nil, ignore)
	if a, err := send(t.Context(), t, "k"); err == nil && a.status != 500 {
		t.Errorf("first %d, %d bytes", a.status, len(a.body))
	}
	a := mustSend(t, "k")
	if a.status != 500 || a.header.Get("Idempotent-Replayed") != "true" || bytes.Contains(a.body, []byte("half")) || runs != 1 {
		t.Errorf("then %d, %d bytes, after %d runs", a.status, len(a.body), runs)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestWorkerRefusesMismatchAndMissingLedger(t *testing.T) {
	serve(func(http.ResponseWriter, *http.Request) {}, nil, ignore)
	mustSend(t, "k")
	inner := shop
	shop = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = "/refunds"
		inner.ServeHTTP(w, r)
	})
	if a := mustSend(t, "k"); a.status != 422 || !bytes.Contains(a.body, []byte("idempotency_key_reused")) {
		t.Errorf("%d %s", a.status, a.body)
	}
	unbound := func(r *http.Request) (dedupe.Ledger, error) {
		return dodedupe.NewLedger(durablehttp.Env(r), &dodedupe.LedgerOptions{Binding: "NOPE"})
	}
	shop = dedupehttp.Idempotent(unbound, func(*http.Request) (string, error) { return "t", nil }, nil)(inner)
	if a := mustSend(t, "k"); a.status != 503 || !bytes.Contains(a.body, []byte("ledger_failed")) || a.header.Get("Retry-After") != "1" {
		t.Errorf("%d %s", a.status, a.body)
	}
}
