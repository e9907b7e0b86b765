//go:build !js

package dedupehttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupehttp"
	"flow.internal/capdo/dedupe/memdedupe"
)

// A handler takes far longer than its client waits, and ignores its context.
// The handler runs once, whatever the client is answered meanwhile.
func TestAHandlerThatIsCutOffRunsOnce(t *testing.T) {
	const work = 5 * time.Minute // 10 leases
	for name, c := range map[string]struct {
		opts       dedupehttp.Options
		cutOff     func(http.Handler) http.Handler
		meanwhile  int // the status of a repetition
		afterwards string
	}{
		"by Options.Timeout": {
			opts: dedupehttp.Options{Timeout: time.Second}, meanwhile: 409, afterwards: "charged 1",
		},
		"by Options.Timeout, repeatable": {
			opts: dedupehttp.Options{Timeout: time.Second, Disposition: dedupehttp.RepeatServerErrors}, meanwhile: 409, afterwards: "charged 1",
		},
		"by http.TimeoutHandler inside": {
			cutOff:    func(h http.Handler) http.Handler { return http.TimeoutHandler(h, time.Second, "too late") },
			meanwhile: 503, afterwards: "too late",
		},
		"by a timeout that answers 408": {
			cutOff: func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					go h.ServeHTTP(httptest.NewRecorder(), r)
					time.Sleep(time.Second)
					http.Error(w, "too late", http.StatusRequestTimeout)
				})
			},
			meanwhile: 408, afterwards: "too late",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var charges atomic.Int32
				var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					n := charges.Add(1)
					time.Sleep(work)
					w.Header().Set("Location", "/charges/1")
					w.WriteHeader(http.StatusCreated)
					fmt.Fprintf(w, "charged %d", n)
				})
				if c.cutOff != nil {
					h = c.cutOff(h)
				}
				h = on(memdedupe.NewLedger(nil), h.ServeHTTP, &c.opts)
				begin := time.Now()
				first := do(h, post("k", "body"))
				if took := time.Since(begin); first.Code != c.meanwhile && first.Code != 503 || took > 2*time.Second {
					t.Errorf("%d %s after %v", first.Code, first.Body, took)
				}
				if c.opts.Timeout > 0 {
					wantProblem(t, first, 503, "timed_out")
				}
				for time.Since(begin) < work {
					if w := do(h, post("k", "body")); w.Code != c.meanwhile {
						t.Fatalf("after %v: %d %s", time.Since(begin), w.Code, w.Body)
					}
					time.Sleep(7 * time.Second)
				}
				w := do(h, post("k", "body"))
				if got := strings.TrimSpace(w.Body.String()); got != c.afterwards || w.Header().Get("Idempotent-Replayed") != "true" {
					t.Errorf("afterwards %d %q %v", w.Code, got, w.Header())
				}
				if n := charges.Load(); n != 1 {
					t.Errorf("charged %d times", n)
				}
			})
		})
	}
}

func TestTimeoutEndsTheHandlersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		h := wrap(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			cause = context.Cause(r.Context())
			time.Sleep(time.Second)
			w.WriteHeader(http.StatusBadGateway)
		}, &dedupehttp.Options{Timeout: time.Minute})
		wantProblem(t, do(h, post("k", "body")), 503, "timed_out")
		time.Sleep(time.Minute)
		if w := do(h, post("k", "body")); w.Code != http.StatusBadGateway || !errors.Is(cause, http.ErrHandlerTimeout) {
			t.Errorf("%d; the context ended with %v", w.Code, cause)
		}
	})
}

// A request that finishes in time must not keep its body in memory for the rest
// of its Timeout.
func TestAHandlerInTimeLeavesNoBody(t *testing.T) {
	h := wrap(func(w http.ResponseWriter, r *http.Request) {}, &dedupehttp.Options{Timeout: time.Hour})
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, body := heap(), strings.Repeat("b", 1<<20)
	for n := range 100 {
		if w := do(h, post(fmt.Sprint(n), body)); w.Code != 200 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if grown := int64(heap()) - int64(before); grown > 20<<20 {
		t.Errorf("100 requests of 1 MiB leave %d MiB", grown>>20)
	}
}

func TestAHandlerInTimeIsAsWithoutATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := wrap(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			io.WriteString(w, "done")
		}, &dedupehttp.Options{Timeout: time.Minute})
		first := do(h, post("k", "body"))
		if first.Code != 200 || first.Body.String() != "done" || first.Header().Get("Idempotency-Expires") == "" {
			t.Errorf("%d %s %v", first.Code, first.Body, first.Header())
		}
		wantReplay(t, do(h, post("k", "body")), first)
	})
}

// Timeout also limits the wait for the ledger to store the response.
func TestTimeoutIsAlsoForTheLedger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ledger := &slowToComplete{memdedupe.NewLedger(nil)}
		runs := 0
		h := on(ledger, func(w http.ResponseWriter, r *http.Request) { runs++; io.WriteString(w, "done") }, &dedupehttp.Options{Timeout: time.Second})
		wantProblem(t, do(h, post("k", "body")), 503, "timed_out")
		time.Sleep(time.Minute)
		if w := do(h, post("k", "body")); w.Body.String() != "done" || runs != 1 {
			t.Errorf("%s after %d runs", w.Body, runs)
		}
	})
}

type slowToComplete struct{ dedupe.Ledger }

func (l *slowToComplete) Complete(ctx context.Context, c dedupe.Claim, result []byte) error {
	time.Sleep(5 * time.Second)
	return l.Ledger.Complete(ctx, c, result)
}

// The server closes the connection, because a client must not take half a
// response for a whole one.
func TestTimeoutBreaksOffAResponseThatHasBegun(t *testing.T) {
	for name, c := range map[string]struct {
		streaming bool
		size      int
	}{"streaming": {true, 10}, "too large to be held back": {false, dedupehttp.MaxKeptBody + 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var late error
				h := wrap(func(w http.ResponseWriter, r *http.Request) {
					w.Write(make([]byte, c.size))
					<-r.Context().Done()
					time.Sleep(time.Second)
					_, late = w.Write([]byte("late"))
				}, &dedupehttp.Options{Timeout: time.Second, Streaming: c.streaming})
				func() {
					defer func() {
						if got := recover(); got != http.ErrAbortHandler {
							t.Errorf("the server's goroutine ends with %v", got)
						}
					}()
					do(h, post("k", "body"))
				}()
				time.Sleep(time.Minute)
				w := do(h, post("k", "body"))
				if w.Code != 200 || w.Header().Get("Idempotent-Incomplete") != "true" || !errors.Is(late, http.ErrHandlerTimeout) {
					t.Errorf("%d %v; a late Write: %v", w.Code, w.Header(), late)
				}
			})
		})
	}
}

// Output that the handler writes after its client was answered is stored, but
// no client gets it directly.
func TestLateWritesAreRecorded(t *testing.T) {
	for size, kept := range map[int]bool{10: true, dedupehttp.MaxKeptBody: true, dedupehttp.MaxKeptBody + 1: false} {
		for _, streaming := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				h := wrap(func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(time.Minute)
					w.WriteHeader(http.StatusCreated)
					w.(http.Flusher).Flush()
					w.Write(make([]byte, size))
				}, &dedupehttp.Options{Timeout: time.Second, Streaming: streaming})
				first := do(h, post("k", "body"))
				time.Sleep(time.Hour)
				wantProblem(t, first, 503, "timed_out")
				w := do(h, post("k", "body"))
				whole := kept && !streaming
				if w.Code != 201 || (w.Body.Len() == size) != whole || (w.Header().Get("Idempotent-Incomplete") == "") != whole {
					t.Errorf("%d bytes, streaming %v: %d, %d bytes, %v", size, streaming, w.Code, w.Body.Len(), w.Header())
				}
			})
		}
	}
}

func TestALatePanicIsStoredAndLogged(t *testing.T) {
	var log bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	synctest.Test(t, func(t *testing.T) {
		h := wrap(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Minute)
			thisHandlerPanics(w, r)
		}, &dedupehttp.Options{Timeout: time.Second})
		wantProblem(t, do(h, post("k", "body")), 503, "timed_out")
		time.Sleep(time.Hour)
		if w := do(h, post("k", "body")); w.Code != 500 || !strings.Contains(w.Body.String(), "handler_panicked") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
	if !strings.Contains(log.String(), "boom") || !strings.Contains(log.String(), "thisHandlerPanics") {
		t.Errorf("logged: %s", log.String())
	}
}

func TestAPanicInTimeGoesOn(t *testing.T) {
	h := wrap(thisHandlerPanics, &dedupehttp.Options{Timeout: time.Minute})
	func() {
		defer func() {
			if got := recover(); got != "boom" {
				t.Errorf("the panic was repeated as %v", got)
			}
		}()
		do(h, post("k", "body"))
	}()
	if w := do(h, post("k", "body")); w.Code != 500 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestNoEffectLetsTheNextRequestRunTheHandler(t *testing.T) {
	for status := 200; status < 600; status++ {
		for _, store := range []func(int) dedupe.Disposition{nil, dedupehttp.RepeatServerErrors} {
			runs := 0
			h := wrap(func(w http.ResponseWriter, r *http.Request) {
				if runs++; runs == 1 {
					dedupehttp.NoEffect(r.Context())
				}
				w.WriteHeader(status)
			}, &dedupehttp.Options{Disposition: store})
			for range 2 {
				if w := do(h, post("k", "body")); w.Code != status || w.Header().Get("Idempotent-Replayed") != "" {
					t.Errorf("%d: %d %v", status, w.Code, w.Header())
				}
			}
			if runs != 2 {
				t.Errorf("%d: the handler ran %d times", status, runs)
			}
		}
	}
	dedupehttp.NoEffect(t.Context()) // outside of a handler it does nothing
}

// A run that has taken over reports that it did nothing. The earlier run may
// have charged, so the next run must learn that.
func TestTakeoverRemembersTheEarlierRun(t *testing.T) {
	for name, answer := range map[string]func(w http.ResponseWriter, r *http.Request){
		"NoEffect": func(w http.ResponseWriter, r *http.Request) { dedupehttp.NoEffect(r.Context()) },
		"429":      func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
		"a panic": func(w http.ResponseWriter, r *http.Request) {
			dedupehttp.NoEffect(r.Context())
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var takenOver []bool
				h := wrap(func(w http.ResponseWriter, r *http.Request) {
					claim, _ := dedupehttp.ClaimOf(r.Context())
					switch takenOver = append(takenOver, claim.TakenOver); len(takenOver) {
					case 1: // charges, but does not learn the outcome
						w.WriteHeader(http.StatusBadGateway)
					case 2:
						answer(w, r)
					}
				}, &dedupehttp.Options{Disposition: dedupehttp.RepeatServerErrors})
				for range 3 {
					func() {
						defer func() { recover() }()
						do(h, post("k", "body"))
					}()
					time.Sleep(31 * time.Second)
				}
				if fmt.Sprint(takenOver) != "[false true true]" {
					t.Errorf("TakenOver in three runs: %v", takenOver)
				}
			})
		})
	}
}

// upstream sends half a body or nothing, and closes the connection.
func upstream(t *testing.T, answer string) *httputil.ReverseProxy {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.Read(make([]byte, 4096))
				io.WriteString(conn, answer)
			}()
		}
	}()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: listener.Addr().String()})
	proxy.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	return proxy
}

// If a proxy's upstream crashes, it may have charged. From then on the key is
// answered with the failure, never with half a response, and the request does
// not run again.
func TestBrokenUpstreamIsAStoredFailure(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		status int
	}{
		"before it answers":         {"", 502},
		"in the middle of a body":   {"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\nhalf", 500},
		"in the middle of a stream": {"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", 500},
	} {
		t.Run(name, func(t *testing.T) {
			runs, proxy := 0, upstream(t, c.answer)
			h := wrap(func(w http.ResponseWriter, r *http.Request) { runs++; proxy.ServeHTTP(w, r) }, nil)
			send := func() (w *httptest.ResponseRecorder) {
				defer func() { recover() }()
				w = httptest.NewRecorder()
				h.ServeHTTP(w, post("k", "body"))
				return w
			}
			send()
			w := send()
			if w.Code != c.status || w.Header().Get("Idempotent-Replayed") != "true" || strings.Contains(w.Body.String(), "half") || runs != 1 {
				t.Errorf("%d %q %v after %d runs", w.Code, w.Body, w.Header(), runs)
			}
		})
	}
}
