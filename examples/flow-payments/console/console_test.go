//go:build !js

package console

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(opts *Options, path string, header map[string]string) *http.Response {
	mux := http.NewServeMux()
	New(opts).Mount(mux)
	r := httptest.NewRequest("GET", path, nil)
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPageBringsAllItNeedsAndAllowsNothingElse(t *testing.T) {
	r := get(&Options{Payments: `/pay?"<x>`}, "http://console.example/console", nil)
	page := body(t, r)
	for k, want := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
	} {
		if got := r.Header.Get(k); got != want {
			t.Errorf("%s: %s", k, got)
		}
	}
	policy := r.Header.Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("the policy is %s", policy)
	}
	if inline := regexp.MustCompile(`<style|<script>| style=| on[a-z]+="`).FindString(page); inline != "" {
		t.Errorf("the page has %s, which its policy forbids", inline)
	}
	if !strings.Contains(page, `data-payments="/pay?&#34;&lt;x&gt;"`) || !strings.Contains(page, `data-demo="false"`) {
		t.Error("the page's settings are missing or not escaped")
	}
	links := regexp.MustCompile(`(?:href|src)="(/console/static/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(links) != 3 {
		t.Errorf("%d links to files", len(links))
	}
	for _, l := range links {
		r := get(nil, l[1], nil)
		if cache := r.Header.Get("Cache-Control"); r.StatusCode != 200 || cache != "public, max-age=31536000, immutable" || len(body(t, r)) == 0 {
			t.Errorf("%s: %s %s", l[1], r.Status, cache)
		}
	}
}

func TestStaticFiles(t *testing.T) {
	for path, want := range map[string]string{
		"/console/static/console.js":           "200 no-cache text/javascript; charset=utf-8",
		"/console/static/console.js?v=another": "200 no-cache text/javascript; charset=utf-8",
		"/console/static/console.css":          "200 no-cache text/css; charset=utf-8",
		"/console/static/icon.svg":             "200 no-cache image/svg+xml",
		"/console/static/page.html":            "404  text/plain; charset=utf-8",
		"/console/static/..%2fconsole.go":      "404  text/plain; charset=utf-8",
		"/console/static/":                     "404  text/plain; charset=utf-8",
	} {
		r := get(nil, path, nil)
		if got := strings.Join([]string{r.Status[:3], r.Header.Get("Cache-Control"), r.Header.Get("Content-Type")}, " "); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

// In TestFiguresAreForTheAuthorized an authorized request gets 502, because
// there is no object outside a Worker.
func TestFiguresAreForTheAuthorized(t *testing.T) {
	hasToken := &Options{Authorized: func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer süß, or not" }}
	protocol := "capdo.console, capdo.token." + base64.RawURLEncoding.EncodeToString([]byte("süß, or not"))
	all := &Options{Authorized: func(*http.Request) bool { return true }}
	const away, here = "http://console.example", "http://127.0.0.1:8787"
	for _, test := range []struct {
		name   string
		opts   *Options
		url    string
		header map[string]string
		want   int
	}{
		{"by default no other machine is let in", nil, away + "/console/state", nil, 401},
		{"nor is this one, if no header says so", nil, here + "/console/state", nil, 401},
		{"a token does not help then", nil, away + "/console/state", map[string]string{"Authorization": "Bearer x"}, 401},
		{"the token lets in", hasToken, away + "/console/state", map[string]string{"Authorization": "Bearer süß, or not"}, 502},
		{"no token", hasToken, here + "/console/state", nil, 401},
		{"no token for the WebSocket", hasToken, here + "/console/live", nil, 401},
		{"a token as subprotocol", hasToken, away + "/console/live", map[string]string{"Sec-WebSocket-Protocol": protocol}, 502},
		{"a subprotocol is for the WebSocket", hasToken, away + "/console/state", map[string]string{"Sec-WebSocket-Protocol": protocol}, 401},
		{"a subprotocol that is not base64url", hasToken, away + "/console/live", map[string]string{"Sec-WebSocket-Protocol": "capdo.token.!"}, 401},
		{"a token in the URL", hasToken, away + "/console/live?token=s%C3%BC%C3%9F,+or+not", nil, 401},
		{"a page of the same origin", all, here + "/console/live", map[string]string{"Origin": here, "Sec-Fetch-Site": "same-origin"}, 502},
		{"a page of another that looks", all, here + "/console/state", map[string]string{"Origin": "http://evil.example"}, 403},
		{"an image on a page of another", all, here + "/console/state", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"a page of another", all, here + "/console/live", map[string]string{"Origin": "http://evil.example"}, 403},
		{"a page of another port", all, here + "/console/live", map[string]string{"Origin": "http://127.0.0.1:80"}, 403},
		{"a page without origin", all, here + "/console/live", map[string]string{"Origin": "null"}, 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.header == nil {
				test.header = map[string]string{}
			}
			test.header["Upgrade"] = "WebSocket"
			r := get(test.opts, test.url, test.header)
			text := body(t, r)
			if r.StatusCode != test.want || !strings.HasPrefix(text, `{"error":"`) || r.Header.Get("Cache-Control") != "no-store" ||
				r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("Sec-WebSocket-Protocol") == protocol {
				t.Errorf("%d, want %d: %s", r.StatusCode, test.want, text)
			}
			if asks := r.Header.Get("WWW-Authenticate") == "Bearer"; asks != (test.want == 401) {
				t.Errorf("WWW-Authenticate: %v", asks)
			}
			if strings.Contains(text, "süß") {
				t.Error("the answer contains the token")
			}
		})
	}
}

// TestLiveIsForWebSockets: other requests get a hint.
func TestLiveIsForWebSockets(t *testing.T) {
	all := &Options{Authorized: func(*http.Request) bool { return true }}
	for _, upgrade := range []string{"", "h2c"} {
		r := get(all, "http://127.0.0.1:8787/console/live", map[string]string{"Upgrade": upgrade, "Sec-WebSocket-Protocol": "capdo.console"})
		if text := body(t, r); r.StatusCode != 426 || r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Sec-WebSocket-Protocol") != "" {
			t.Errorf("%d %s %v", r.StatusCode, text, r.Header)
		}
	}
}
