//go:build !js

package guard

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	const token = "t0ken"
	local := map[string]string{Local: "true", "TOKEN": token}
	deployed := map[string]string{"TOKEN": token}
	json := []string{"Content-Type", "application/json"}
	with := func(more ...string) []string { return append(append([]string{}, json...), more...) }
	tests := []struct {
		name   string
		vars   map[string]string
		method string
		url    string
		header []string
		want   int // 0: accepted
	}{
		{"JSON on the machine", local, "POST", "http://127.0.0.1:8787/", json, 0},
		{"by its name", local, "POST", "http://localhost/", json, 0},
		{"by IPv6", local, "POST", "http://[::1]:8787/", json, 0},
		{"with a charset", local, "POST", "http://localhost/", []string{"Content-Type", "application/json; charset=utf-8"}, 0},
		{"as wrangler dev forwards it", local, "POST", "http://localhost/", with("CF-Connecting-IP", "127.0.0.1"), 0},
		{"a look", local, "GET", "http://localhost/", nil, 0},
		{"a page's own request", local, "POST", "http://localhost:8787/", with("Origin", "http://localhost:8787", "Sec-Fetch-Site", "same-origin"), 0},
		{"typed into a browser", local, "GET", "http://localhost/", []string{"Sec-Fetch-Site", "none"}, 0},

		{"a host that is not this machine", local, "POST", "http://harness.example.com/", json, 401},
		{"a name that begins like this machine's", local, "POST", "http://localhost.example.com/", json, 401},
		{"another machine's client", local, "POST", "http://localhost/", with("CF-Connecting-IP", "192.0.2.7"), 401},
		{"two addresses, one forged", local, "POST", "http://localhost/", with("CF-Connecting-IP", "127.0.0.1, 192.0.2.7"), 401},
		{"two headers, one forged", local, "POST", "http://localhost/", with("CF-Connecting-IP", "127.0.0.1", "CF-Connecting-IP", "192.0.2.7"), 401},
		{"a forged host on a deployed Worker", deployed, "POST", "http://localhost/", json, 401},
		{"every forged header on a deployed Worker", deployed, "POST", "http://127.0.0.1/", with("CF-Connecting-IP", "127.0.0.1", "MF-Original-URL", "http://localhost/"), 401},
		{"capdo dev on a network address", map[string]string{Local: "false"}, "POST", "http://127.0.0.1/", with("CF-Connecting-IP", "127.0.0.1"), 401},
		{"a GET from another machine", deployed, "GET", "http://localhost/", nil, 401},
		{"an empty token without a secret", nil, "POST", "http://x.example/", with("Authorization", "Bearer "), 401},
		{"a wrong token", deployed, "POST", "http://x.example/", with("Authorization", "Bearer t0ke"), 401},
		{"not a bearer token", deployed, "POST", "http://x.example/", with("Authorization", "Basic t0ken"), 401},
		{"the token", deployed, "POST", "http://x.example/", with("Authorization", "Bearer t0ken"), 0},
		{"a GET with the token", deployed, "GET", "http://x.example/", []string{"Authorization", "Bearer t0ken"}, 0},

		{"a foreign page", local, "POST", "http://localhost:8787/", with("Origin", "http://evil.example"), 403},
		{"a GET of a foreign page", local, "GET", "http://localhost:8787/", []string{"Origin", "http://evil.example"}, 403},
		{"a page on another port", local, "POST", "http://localhost:8787/", with("Origin", "http://localhost:3000", "Sec-Fetch-Site", "same-site"), 403},
		{"a page without an origin", local, "POST", "http://localhost:8787/", with("Origin", "null"), 403},
		{"a foreign page's image", local, "GET", "http://localhost:8787/", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"a foreign page with the token", deployed, "POST", "http://x.example/", with("Authorization", "Bearer t0ken", "Origin", "http://evil.example"), 403},

		{"plain text", local, "POST", "http://localhost/", []string{"Content-Type", "text/plain"}, 415},
		{"JSON sent as text", local, "POST", "http://localhost/", []string{"Content-Type", "text/plain; charset=application/json"}, 415},
		{"a form", local, "POST", "http://localhost/", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		{"no content type", local, "POST", "http://localhost/", nil, 415},
		{"a delete", local, "DELETE", "http://localhost/", nil, 0},
	}
	for _, tt := range tests {
		body := ""
		if tt.method == "POST" {
			body = "{}"
		}
		r := httptest.NewRequest(tt.method, tt.url, strings.NewReader(body))
		for i := 0; i < len(tt.header); i += 2 {
			r.Header.Add(tt.header[i], tt.header[i+1])
		}
		status := 0
		if refusal := (Guard{Token: "TOKEN"}).check(r, func(name string) string { return tt.vars[name] }); refusal != nil {
			status = refusal.Status
		}
		if status != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, status, tt.want)
		}
	}
}

func TestWrap(t *testing.T) {
	h := Guard{Token: "TOKEN"}.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was served") }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/", nil)) // no Worker, so no variable
	want := `{"error":"a request from another machine needs the secret TOKEN as bearer token","code":"unauthorized",`
	if w.Code != 401 || w.Header().Get("WWW-Authenticate") != "Bearer" || !strings.HasPrefix(w.Body.String(), want) {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Type": "application/json"} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
