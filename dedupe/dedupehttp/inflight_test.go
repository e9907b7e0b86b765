//go:build !js

package dedupehttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/internal/budget"
)

// withBudget has the package count requests, as in a Worker, and checks that
// nothing is left of them.
func withBudget(t *testing.T, limit int, test func(t *testing.T)) {
	t.Helper()
	defer func(before *budget.Budget) { inFlight = before }(inFlight)
	inFlight = budget.New(limit)
	test(t)
	if t.Failed() {
		return
	}
	if !inFlight.Take("probe", limit/2) {
		t.Error("requests that are over still count")
	}
}

func behind(h http.HandlerFunc, o *Options) http.Handler {
	one := func(*http.Request) (string, error) { return "tenant", nil }
	return Idempotent(Fixed(dedupetest.NewMemoryLedger(nil)), one, o)(h)
}

func request(key string, length int64, body io.Reader) *http.Request {
	r := httptest.NewRequest("POST", "/charges", body)
	r.ContentLength = length
	r.Header.Set("Idempotency-Key", key)
	return r
}

func serveOne(h http.Handler, r *http.Request) (w *httptest.ResponseRecorder) {
	w = httptest.NewRecorder()
	defer func() { recover() }()
	h.ServeHTTP(w, r)
	return w
}

func (p *Problem) is(w *httptest.ResponseRecorder) bool {
	return w.Code == p.Status && strings.Contains(w.Body.String(), `"code":"`+p.Code+`"`) && w.Header().Get("Retry-After") != ""
}

var neverRead = iotest.ErrReader(errors.New("it was read"))

func TestARequestIsRefusedBeforeItsBodyIsRead(t *testing.T) {
	withBudget(t, 1<<20, func(t *testing.T) {
		h := behind(func(http.ResponseWriter, *http.Request) { t.Error("the handler runs") }, nil)
		if w := serveOne(h, request("k", 300_000, neverRead)); !noRoom.is(w) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		read := 0
		endless := iotest.OneByteReader(io.LimitReader(&counting{&read}, 1<<20))
		if w := serveOne(h, request("k", -1, endless)); !noRoom.is(w) || read > 200_000 {
			t.Errorf("%d %s, after %d bytes", w.Code, w.Body, read)
		}
	})
	withBudget(t, RequestCost, func(t *testing.T) {
		h := behind(func(http.ResponseWriter, *http.Request) { t.Error("the handler runs") }, nil)
		if w := serveOne(h, request("k", 0, http.NoBody)); !noRoom.is(w) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

type counting struct{ n *int }

func (c *counting) Read(p []byte) (int, error) {
	*c.n += len(p)
	clear(p)
	return len(p), nil
}

func TestARequestCountsUntilItIsOver(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"it answers":    func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) },
		"it panics":     func(http.ResponseWriter, *http.Request) { panic("boom") },
		"it is aborted": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		for _, timeout := range []time.Duration{0, time.Hour} {
			t.Run(name, func(t *testing.T) {
				withBudget(t, 1<<20, func(t *testing.T) {
					h := behind(func(w http.ResponseWriter, r *http.Request) {
						if inFlight.Take("tenant", 1<<19-RequestCost-3*50_000+1) {
							t.Error("it does not count")
						}
						h(w, r)
					}, &Options{Timeout: timeout})
					for range 2 { // the second is a replay
						serveOne(h, request("k", 50_000, strings.NewReader(strings.Repeat("b", 50_000))))
					}
					serveOne(h, request("k", 50_000, strings.NewReader("short")))
					serveOne(h, request("k", 50_000, iotest.ErrReader(errors.New("broken"))))
					serveOne(h, request("k", 2<<20, neverRead))
				})
			})
		}
	}
}

// A handler that goes on without its client goes on counting.
func TestAHandlerThatGoesOnCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		withBudget(t, 1<<20, func(t *testing.T) {
			h := behind(func(w http.ResponseWriter, r *http.Request) { time.Sleep(time.Minute) }, &Options{Timeout: time.Second})
			body := strings.Repeat("b", 100_000)
			if w := serveOne(h, request("k", 100_000, strings.NewReader(body))); !timedOut.is(w) {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if w := serveOne(h, request("l", 100_000, neverRead)); !noRoom.is(w) {
				t.Errorf("while it goes on: %d %s", w.Code, w.Body)
			}
			time.Sleep(2 * time.Minute)
		})
	})
}

// A response that there is no room for goes out as it comes, and its handler runs
// once all the same.
func TestAResponseWithoutRoomIsNotHeldBack(t *testing.T) {
	withBudget(t, 1<<20, func(t *testing.T) {
		runs := 0
		h := behind(func(w http.ResponseWriter, r *http.Request) {
			runs++
			for range 50 {
				w.Write(make([]byte, 10_000))
			}
		}, nil)
		if w := serveOne(h, request("k", 0, http.NoBody)); w.Code != 200 || w.Body.Len() != 500_000 {
			t.Errorf("%d, %d bytes", w.Code, w.Body.Len())
		}
		w := serveOne(h, request("k", 0, http.NoBody))
		if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Idempotent-Incomplete") != "true" || runs != 1 {
			t.Errorf("%d, %d bytes, %v, after %d runs", w.Code, w.Body.Len(), w.Header(), runs)
		}
	})
}

// The API refuses likewise, and what is refused has changed nothing.
func TestTheAPIRefusesWhatThereIsNoRoomFor(t *testing.T) {
	const token = "0123456789abcdef0123456789abcdef"
	tokens, err := ParseTokens("t:" + token)
	if err != nil {
		t.Fatal(err)
	}
	ledger := dedupetest.NewMemoryLedger(nil)
	claim, err := ledger.Claim(context.Background(), []byte("key"), dedupe.ClaimOptions{Lease: time.Hour})
	if err == nil {
		err = ledger.Complete(context.Background(), claim, make([]byte, 300_000))
	}
	if err != nil {
		t.Fatal(err)
	}
	h := NewHandler(API{
		Tokens: func(*http.Request) (*Tokens, error) { return tokens, nil },
		Ledger: func(*http.Request, string) (dedupe.Ledger, error) { return ledger, nil },
	})
	call := func(path string, length int64, body io.Reader) *httptest.ResponseRecorder {
		r := request("", length, body)
		r.URL.Path = path
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		return serveOne(h, r)
	}
	withBudget(t, 1<<20, func(t *testing.T) {
		if w := call("/v1/claims/complete", 300_000, neverRead); !noRoom.is(w) {
			t.Errorf("a large result: %d %s", w.Code, w.Body)
		}
		body := `{"key":"a2V5","owner":"bw==","lease_ms":1000}`
		if w := call("/v1/claims", int64(len(body)), strings.NewReader(body)); !noRoom.is(w) {
			t.Errorf("a large replay: %d %.200s", w.Code, w.Body)
		}
		body = `{"key":"b3RoZXI=","owner":"bw==","lease_ms":1000}`
		if w := call("/v1/claims", int64(len(body)), strings.NewReader(body)); w.Code != 200 {
			t.Errorf("a claim that has room: %d %s", w.Code, w.Body)
		}
	})
}
