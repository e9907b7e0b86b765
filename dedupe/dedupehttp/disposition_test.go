//go:build !js

package dedupehttp_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupehttp"
	"flow.internal/capdo/internal/problem"
)

func TestStatusDecidesWhetherAResponseIsKept(t *testing.T) {
	// Timeouts answer 408 and 503 while the work continues.
	again := map[int]bool{409: true, 425: true, 429: true}
	for status := 200; status < 600; status++ {
		runs := 0
		h := wrap(func(w http.ResponseWriter, r *http.Request) { runs++; w.WriteHeader(status) }, nil)
		for range 2 {
			w := do(h, post("k", "body"))
			if w.Code != status || (w.Header().Get("Idempotency-Expires") == "") != again[status] {
				t.Errorf("%d: %d %v", status, w.Code, w.Header())
			}
		}
		if again[status] != (runs == 2) {
			t.Errorf("%d: the handler ran %d times", status, runs)
		}
	}
}

func TestOptionDispositionDecides(t *testing.T) {
	for d, want := range map[dedupe.Disposition]int{dedupe.StoreResult: 200, dedupe.ReleaseClaim: 200, dedupe.LeaveToLease: 409} {
		runs, asked := 0, 0
		o := &dedupehttp.Options{Disposition: func(status int) dedupe.Disposition {
			if asked = status; runs > 1 {
				return dedupe.StoreResult
			}
			return d
		}}
		h := wrap(func(w http.ResponseWriter, r *http.Request) { runs++ }, o)
		do(h, post("k", "body"))
		w := do(h, post("k", "body"))
		if w.Code != want || asked != 200 || (runs == 2) != (d == dedupe.ReleaseClaim) {
			t.Errorf("disposition %d: %d after %d runs", d, w.Code, runs)
		}
		if runs == 2 && w.Header().Get("Idempotency-Expires") != "" {
			t.Error("a second attempt reports when the key was first seen")
		}
	}
}

func TestHandlerThatPanicsCountsAs500(t *testing.T) {
	for name, stop := range map[string]any{"a panic": "boom", "ErrAbortHandler": http.ErrAbortHandler, "Goexit": nil} {
		for _, kept := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " kept ", kept), func(t *testing.T) {
				runs := 0
				o := &dedupehttp.Options{Disposition: func(status int) dedupe.Disposition {
					if status == 500 && kept {
						return dedupe.StoreResult
					}
					return dedupe.ReleaseClaim
				}}
				h := wrap(func(w http.ResponseWriter, r *http.Request) {
					if runs++; runs == 2 {
						return
					}
					w.WriteHeader(201)
					io.WriteString(w, "half of the secret")
					if stop == nil {
						runtime.Goexit()
					}
					panic(stop)
				}, o)
				first, ended := httptest.NewRecorder(), make(chan any)
				go func() {
					defer func() { ended <- recover() }()
					h.ServeHTTP(first, post("k", "body"))
					t.Error("the panic was not repeated")
				}()
				if got := <-ended; got != stop {
					t.Errorf("the panic was repeated as %v", got)
				}
				if first.Body.Len() > 0 || len(first.Header()) > 0 {
					t.Errorf("sent: %v", first)
				}
				w := do(h, post("k", "body"))
				var p problem.Problem
				switch {
				case !kept && (runs != 2 || w.Code != 200):
					t.Errorf("%d runs; %d %s", runs, w.Code, w.Body)
				case kept && (runs != 1 || w.Code != 500 || w.Header().Get("Idempotent-Replayed") != "true" || w.Header().Get("Idempotency-Expires") == "" ||
					json.Unmarshal(w.Body.Bytes(), &p) != nil || p.Code != "handler_panicked"):
					t.Errorf("%d runs; %d %s %v", runs, w.Code, w.Body, w.Header())
				}
			})
		}
	}
}

// The panic is not recovered on its way, so the server's log shows the stack of
// its origin.
func TestPanicKeepsItsStack(t *testing.T) {
	defer func() {
		recover()
		stack := make([]byte, 64<<10)
		if stack = stack[:runtime.Stack(stack, false)]; !bytes.Contains(stack, []byte("thisHandlerPanics")) {
			t.Errorf("%s", stack)
		}
	}()
	do(wrap(thisHandlerPanics, nil), post("k", "body"))
}

func thisHandlerPanics(http.ResponseWriter, *http.Request) { panic("boom") }

func TestInvalidStatusIsAPanicOfTheHandler(t *testing.T) {
	h := wrap(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(1000) }, nil)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		do(h, post("k", "body"))
	}()
	if w := do(h, post("k", "body")); w.Code != 500 || !strings.Contains(w.Body.String(), "handler_panicked") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
