//go:build !js

package dedupehttp

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"flow.internal/capdo/dedupe/internal/inflight"
	"flow.internal/capdo/dedupe/memdedupe"
	"flow.internal/capdo/internal/problem"
)

// withBudget makes the package count requests, as in a Worker. It checks that
// none count at the end.
func withBudget(t *testing.T, limit int, test func(t *testing.T)) {
	t.Helper()
	if !inflight.WithLimit(limit, func() { test(t) }) && !t.Failed() {
		t.Error("finished requests still count")
	}
}

func behind(h http.HandlerFunc, o *Options) http.Handler {
	one := func(*http.Request) (string, error) { return "tenant", nil }
	return Idempotent(Fixed(memdedupe.NewLedger(nil)), one, o)(h)
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

func isProblem(w *httptest.ResponseRecorder, p problem.Problem) bool {
	return w.Code == p.Status && strings.Contains(w.Body.String(), `"code":"`+p.Code+`"`) && w.Header().Get("Retry-After") != ""
}

var neverRead = iotest.ErrReader(errors.New("it was read"))

func TestARequestIsRefusedBeforeItsBodyIsRead(t *testing.T) {
	withBudget(t, 1<<20, func(t *testing.T) {
		h := behind(func(http.ResponseWriter, *http.Request) { t.Error("the handler runs") }, nil)
		if w := serveOne(h, request("k", 300_000, neverRead)); !isProblem(w, noRoom) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		read := 0
		endless := iotest.OneByteReader(io.LimitReader(&counting{&read}, 1<<20))
		if w := serveOne(h, request("k", -1, endless)); !isProblem(w, noRoom) || read > 200_000 {
			t.Errorf("%d %s, after %d bytes", w.Code, w.Body, read)
		}
	})
	withBudget(t, inflight.RequestCost, func(t *testing.T) {
		h := behind(func(http.ResponseWriter, *http.Request) { t.Error("the handler runs") }, nil)
		if w := serveOne(h, request("k", 0, http.NoBody)); !isProblem(w, noRoom) {
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
						if inflight.Budget.Take("tenant", 1<<19-inflight.RequestCost-3*50_000+1) {
							t.Error("the request does not count")
						}
						h(w, r)
					}, &Options{Timeout: timeout})
					for range 2 { // the second request is a replay
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

// A handler that continues without its client still counts.
func TestAHandlerThatGoesOnCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		withBudget(t, 1<<20, func(t *testing.T) {
			h := behind(func(w http.ResponseWriter, r *http.Request) { time.Sleep(time.Minute) }, &Options{Timeout: time.Second})
			body := strings.Repeat("b", 100_000)
			if w := serveOne(h, request("k", 100_000, strings.NewReader(body))); !isProblem(w, timedOut) {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if w := serveOne(h, request("l", 100_000, neverRead)); !isProblem(w, noRoom) {
				t.Errorf("while the handler runs: %d %s", w.Code, w.Body)
			}
			time.Sleep(2 * time.Minute)
		})
	})
}

// A response that exceeds the budget is sent without being held back, and its
// handler still runs once.
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
