//go:build !js

package dedupehttp_test

import (
	"fmt"
	"io"
	"mime/multipart"
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

func TestMethodsAreListedInEitherCase(t *testing.T) {
	for _, listed := range []string{"post", "Post", "POST"} {
		for _, sent := range []string{"POST", "post"} {
			runs := 0
			h := wrap(func(http.ResponseWriter, *http.Request) { runs++ }, &dedupehttp.Options{Methods: []string{listed}, Required: true})
			for range 2 {
				r := post("k", "{}")
				r.Method = sent
				do(h, r)
			}
			if runs != 1 {
				t.Errorf("%s, with %s listed, ran %d times", sent, listed, runs)
			}
			r := post("k", "{}")
			r.Header.Del("Idempotency-Key")
			r.Method = sent
			wantProblem(t, do(h, r), 400, "idempotency_key_missing")
		}
	}
	for _, methods := range [][]string{{"get"}, {"POST", "Head"}, {"options"}, {"trace"}, {""}, {" POST"}, {"POST,PUT"}, {"POST", "PÜT"}} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "dedupehttp: Idempotent: ") {
					t.Errorf("%q is taken: %s", methods, text)
				}
			}()
			wrap(nil, &dedupehttp.Options{Methods: methods})
		}()
	}
}

// rewrites calls h with another URL.
func rewrites(change func(r *http.Request), h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r2 := r.Clone(r.Context())
		change(r2)
		h.ServeHTTP(w, r2)
	})
}

// A response belongs to the URL that the client requested, even if an outer
// handler rewrites the URL.
func TestARouteDoesNotReplayAnothersResponse(t *testing.T) {
	for name, wrapped := range map[string]func(prefix string, h http.Handler) http.Handler{
		"StripPrefix": func(prefix string, h http.Handler) http.Handler { return http.StripPrefix(prefix, h) },
		"two StripPrefixes": func(prefix string, h http.Handler) http.Handler {
			return http.StripPrefix(prefix[:2], http.StripPrefix(prefix[2:], h))
		},
		"a path set": func(_ string, h http.Handler) http.Handler {
			return rewrites(func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/new", "" }, h)
		},
		"another URL": func(_ string, h http.Handler) http.Handler {
			return rewrites(func(r *http.Request) { r.URL = httptest.NewRequest("POST", "/", nil).URL }, h)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, runs := memdedupe.NewLedger(nil), 0
			mux := http.NewServeMux()
			for _, what := range []string{"charges", "refunds"} {
				h := on(l, func(w http.ResponseWriter, r *http.Request) { runs++; fmt.Fprint(w, what, " done") }, nil)
				mux.Handle("/"+what+"/", wrapped("/"+what, h))
			}
			send := func(path string) *httptest.ResponseRecorder {
				r := httptest.NewRequest("POST", path, strings.NewReader(`{"order":1}`))
				r.Header.Set("Idempotency-Key", "order-1")
				return do(mux, r)
			}
			first := send("/charges/new?a=1")
			wantReplay(t, send("/charges/new?a=1"), first)
			// A proxy's form of the same URL.
			wantReplay(t, send("http://example.com/charges/new?a=1"), first)
			for _, other := range []string{"/refunds/new?a=1", "/charges/new?a=2", "/charges/new", "/charges/old?a=1"} {
				wantProblem(t, send(other), 422, "idempotency_key_reused")
			}
			if runs != 1 {
				t.Errorf("%d runs", runs)
			}
		})
	}
}

// The fingerprints of existing records come from requests whose URL was not
// changed.
func TestARequestWithoutARequestURIIsTheSame(t *testing.T) {
	h := wrap(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "done") }, nil)
	first := do(h, post("k", "body"))
	r := post("k", "body")
	r.RequestURI = ""
	wantReplay(t, do(h, r), first)
}

// A body that was read before the middleware cannot be distinguished from
// another body.
func TestABodyThatWasReadBeforeIsRefused(t *testing.T) {
	form := func(cents string) (contentType, body string) {
		return "application/x-www-form-urlencoded", "cents=" + cents
	}
	parts := func(cents string) (contentType, body string) {
		var b strings.Builder
		w := multipart.NewWriter(&b)
		w.SetBoundary("boundary")
		w.WriteField("cents", cents)
		w.Close()
		return w.FormDataContentType(), b.String()
	}
	for name, c := range map[string]struct {
		body func(cents string) (string, string)
		read func(r *http.Request)
	}{
		"a form":                   {form, func(r *http.Request) { r.FormValue("csrf") }},
		"a multipart form":         {parts, func(r *http.Request) { r.FormValue("csrf") }},
		"a log":                    {form, func(r *http.Request) { io.ReadAll(r.Body) }},
		"a read of its first byte": {form, func(r *http.Request) { r.Body.Read(make([]byte, 1)) }},
		"a removed body":           {form, func(r *http.Request) { r.Body = nil }},
		"an empty one":             {form, func(r *http.Request) { r.Body = http.NoBody }},
		"of unknown length": {form, func(r *http.Request) {
			r.ContentLength = -1
			r.FormValue("csrf")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			runs := 0
			h := wrap(func(w http.ResponseWriter, r *http.Request) { runs++; fmt.Fprint(w, "charged ", r.FormValue("cents")) }, nil)
			send := func(h http.Handler, cents string) *httptest.ResponseRecorder {
				media, body := c.body(cents)
				r := httptest.NewRequest("POST", "/charges", strings.NewReader(body))
				r.Header.Set("Content-Type", media)
				r.Header.Set("Idempotency-Key", "k")
				return do(h, r)
			}
			outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.read(r); h.ServeHTTP(w, r) })
			wantProblem(t, send(outer, "500"), 500, "body_incomplete")
			wantProblem(t, send(outer, "900000"), 500, "body_incomplete")
			if runs != 0 {
				t.Errorf("%d runs", runs)
			}
			if w := send(h, "500"); w.Body.String() != "charged 500" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			wantProblem(t, send(h, "900000"), 422, "idempotency_key_reused")
		})
	}
	h := wrap(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }, nil)
	r := post("none", "")
	if w := do(h, r); w.Code != 200 {
		t.Errorf("no body: %d %s", w.Code, w.Body)
	}
	r = post("unknown", "body")
	r.ContentLength = -1
	if w := do(h, r); w.Body.String() != "body" {
		t.Errorf("a body of unknown length: %d %s", w.Code, w.Body)
	}
}

func TestAHandlerHasItsKeyAndItsClaim(t *testing.T) {
	for sent, want := range map[string]string{`"8e0 \"39"`: `8e0 "39`, "8e039": "8e039"} {
		h := wrap(func(w http.ResponseWriter, r *http.Request) {
			key, ok := dedupehttp.Key(r.Context())
			claim, held := dedupehttp.ClaimOf(r.Context())
			fence, _ := dedupehttp.Fence(r.Context())
			if key != want || !ok || !held || claim.Attempt != 1 || claim.TakenOver || claim.Fence != fence || fence <= 0 {
				t.Errorf("%q, %v, %+v, %v", key, ok, claim, held)
			}
		}, nil)
		if w := do(h, post(sent, "body")); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if key, ok := dedupehttp.Key(t.Context()); ok {
		t.Errorf("a key outside: %q", key)
	}
	if _, ok := dedupehttp.ClaimOf(t.Context()); ok {
		t.Error("a claim outside")
	}
}

// If a handler may be repeated, it runs again after a failure, when the lease
// of the failed run has ended.
func TestServerErrorsAreRepeatedIfThatIsAskedFor(t *testing.T) {
	for status := 200; status < 600; status++ {
		want := dedupehttp.DefaultDisposition(status)
		if status >= 500 || status == 408 {
			want = dedupe.LeaveToLease
		}
		if got := dedupehttp.RepeatServerErrors(status); got != want {
			t.Errorf("%d: %v, want %v", status, got, want)
		}
	}
	for _, panics := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			runs := 0
			h := wrap(func(w http.ResponseWriter, r *http.Request) {
				if runs++; runs == 2 {
					claim, _ := dedupehttp.ClaimOf(r.Context())
					fmt.Fprint(w, "taken over: ", claim.TakenOver)
					return
				}
				if panics {
					panic("boom")
				}
				w.WriteHeader(502)
			}, &dedupehttp.Options{Disposition: dedupehttp.RepeatServerErrors})
			func() {
				defer func() { recover() }()
				do(h, post("k", "body"))
			}()
			wantProblem(t, do(h, post("k", "body")), 409, "in_progress")
			time.Sleep(30 * time.Second)
			if w := do(h, post("k", "body")); w.Body.String() != "taken over: true" || runs != 2 {
				t.Errorf("%d %s after %d runs", w.Code, w.Body, runs)
			}
		})
	}
}
