//go:build !js

package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"flow.internal/capdo/internal/loadtest"
)

// target sets $TARGET to the URL of a server until the script ends. The server
// answers 409 to a repeated key and 500 at /broken, and cuts connections at
// /cut. At /slow it answers only after the client has left.
func startTarget(ts *testscript.TestScript, neg bool, args []string) {
	var keys sync.Map
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case "/cut":
			panic(http.ErrAbortHandler)
		case "/slow":
			<-r.Context().Done()
		}
		key := r.Header.Get("Idempotency-Key")
		if _, had := keys.LoadOrStore(key, true); had && key != "" {
			w.WriteHeader(http.StatusConflict)
		}
	}))
	ts.Defer(s.Close)
	ts.Setenv("TARGET", s.URL)
}

func TestBenchRequests(t *testing.T) {
	f := requestFlags{
		body: `{"id":"{key}"}`, headers: []string{"X-Trace: t-{key}", "Host: shop.example", "user-agent: me"},
		keyHeader: "Idempotency-Key", keys: loadtest.Keys{Template: "a b/{n}", Run: "r"},
	}
	request, err := f.build("http://127.0.0.1:1/orders/{key}", false, 1)
	if err != nil {
		t.Fatal(err)
	}
	req, err := request(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(req.Body)
	for what, v := range map[string][2]string{
		"method":     {req.Method, "POST"},
		"URL":        {req.URL.String(), "http://127.0.0.1:1/orders/a%20b%2F7"},
		"body":       {string(body), `{"id":"a b/7"}`},
		"header":     {req.Header.Get("X-Trace"), "t-a b/7"},
		"key":        {req.Header.Get("Idempotency-Key"), "a b/7"},
		"host":       {req.Host, "shop.example"},
		"user agent": {strings.Join(req.Header["User-Agent"], ","), "me"},
	} {
		if v[0] != v[1] {
			t.Errorf("%s is %q, want %q", what, v[0], v[1])
		}
	}
}

// If bodies differ, one is in memory for each request in flight.
func TestBenchBoundsBodies(t *testing.T) {
	tests := []struct {
		name   string
		suffix string
		atOnce int
		ok     bool
	}{
		{"a body for all", "", 10_000, true},
		{"1,000 bodies of 1 MB", keyMark, 1000, true},
		{"10,000 bodies of 1 MB", keyMark, 10_000, false},
	}
	for _, tt := range tests {
		f := requestFlags{body: strings.Repeat("a", 1e6) + tt.suffix, keys: loadtest.Keys{Template: "{n}"}}
		if _, err := f.build("http://127.0.0.1/", false, tt.atOnce); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestBenchTargets(t *testing.T) {
	tests := []struct {
		url    string
		remote bool
		ok     bool
	}{
		{"http://127.0.0.1:8787/", false, true}, {"http://localhost/", false, true}, {"https://[::1]:1/", false, true},
		{"http://127.0.0.2/", false, true}, {"http://example.com/", true, true},
		{"http://example.com/", false, false}, {"http://192.168.1.1/", false, false}, {"http://0.0.0.0/", false, false},
		{"http://localhost.example.com/", false, false}, {"http://127.0.0.1@example.com/", false, false},
		{"ftp://127.0.0.1/", false, false}, {"127.0.0.1:80", false, false}, {"http:///x", true, false}, {"/x", true, false},
	}
	for _, tt := range tests {
		u, err := url.Parse(tt.url)
		if err == nil {
			err = checkTarget(u, tt.remote)
		}
		if (err == nil) != tt.ok {
			t.Errorf("%s, remote %t: %v", tt.url, tt.remote, err)
		}
	}
}

func TestStatusesOfOK(t *testing.T) {
	isOK, err := parseStatuses([]string{"2xx", "409"})
	if err != nil || !isOK(200) || !isOK(299) || !isOK(409) || isOK(300) || isOK(410) || isOK(500) {
		t.Errorf("2xx,409 is something else: %v", err)
	}
	for _, text := range []string{"", "xx", "0xx", "6xx", "2x", "99", "600", "-200", "ok"} {
		if _, err := parseStatuses([]string{text}); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// A redirect is an answer: capdo bench does not follow it.
func TestBenchFollowsNoRedirect(t *testing.T) {
	s := httptest.NewServer(http.RedirectHandler("http://203.0.113.1/", http.StatusFound))
	defer s.Close()
	client, done := benchClient(1)
	defer done()
	req, err := http.NewRequestWithContext(context.Background(), "GET", s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		t.Errorf("status %d, want 302", resp.StatusCode)
	}
}
