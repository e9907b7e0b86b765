//go:build !js

// Package ledger tests examples/ledger as a user runs it: through the client,
// under wrangler dev, started by capdo dev.
package ledger

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/dedupe/ledgerapi"
	"flow.internal/capdo/e2e/internal/dev"
	"flow.internal/capdo/e2e/internal/request"
	"flow.internal/capdo/internal/problem"
)

func TestMain(m *testing.M) { dev.Main(m) }

// worker is the running example, with 100 tenants.
type worker struct {
	*dev.Server
	tenants atomic.Int64 // tenants that tests have used
}

func tokenOf(tenant int64) string { return fmt.Sprintf("token-%032d", tenant) }

func start(t *testing.T) *worker {
	t.Helper()
	var tokens []string
	for n := range int64(100) {
		tokens = append(tokens, fmt.Sprintf("tenant-%d:%s", n, tokenOf(n)))
	}
	return &worker{Server: serve(t, strings.Join(tokens, ","))}
}

// serve serves the example with that secret.
func serve(t *testing.T, secret string) *dev.Server {
	t.Helper()
	vars := filepath.Join(t.TempDir(), "vars")
	if err := os.WriteFile(vars, []byte("LEDGER_TOKENS=\""+secret+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dev.Start(t, "../../examples/ledger", "/v1/openapi.yaml", "--env-file", vars)
}

// connect returns a client for the next tenant, who has no records yet.
func (w *worker) connect(t *testing.T) *ledgerapi.Client {
	t.Helper()
	return w.client(t, tokenOf(w.tenants.Add(1)))
}

func (w *worker) client(t *testing.T, token string) *ledgerapi.Client {
	t.Helper()
	c, err := ledgerapi.NewClient(w.URL, token, &ledgerapi.ClientOptions{HTTPClient: httpClient})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var httpClient = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 200}}

func TestWorker(t *testing.T) {
	w := start(t)
	t.Run("at once", func(t *testing.T) {
		t.Run("is a dedupe.Ledger", func(t *testing.T) {
			t.Parallel()
			dedupetest.TestLedger(t, func(t *testing.T) dedupe.Ledger { return w.connect(t) })
		})
		t.Run("is a dedupe.Sequencer", func(t *testing.T) {
			t.Parallel()
			dedupetest.TestSequencer(t, func(t *testing.T) dedupe.Sequencer { return w.connect(t).Sequencer() })
		})
		t.Run("is a dedupe.Store", func(t *testing.T) {
			t.Parallel()
			dedupetest.TestStore(t, func(t *testing.T) dedupe.Store { return w.connect(t).Store() })
			dedupetest.Hammer(t, func(t *testing.T) dedupe.Store { return w.connect(t).Store() })
		})
	})
	t.Run("keeps tenants apart", func(t *testing.T) { w.apart(t) })
	t.Run("refuses hostile requests", func(t *testing.T) { w.refuses(t) })
	t.Run("gives a claim again after SIGKILL", func(t *testing.T) { w.killed(t) }) // this loses the log
	t.Run("callers with a deadline ride over SIGKILL", func(t *testing.T) { w.rides(t) })
	t.Run("callers without a deadline do not", func(t *testing.T) { w.doesNotRide(t) })
}

func (w *worker) apart(t *testing.T) {
	red, blue := w.connect(t), w.connect(t)
	claim, err := red.Claim(t.Context(), []byte("key"), dedupe.ClaimOptions{Owner: "owner", Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{blue.Complete(t.Context(), claim, nil), blue.Extend(t.Context(), claim, time.Hour), blue.Release(t.Context(), claim)} {
		if !errors.Is(err, dedupe.ErrForeignClaim) {
			t.Errorf("another tenant changed a claim: %v", err)
		}
	}
	if err := blue.Forget(t.Context(), []byte("key")); err != nil {
		t.Error(err)
	}
	if err := red.Complete(t.Context(), claim, []byte("result")); err != nil {
		t.Error(err)
	}
	if got, err := blue.Claim(t.Context(), []byte("key"), dedupe.ClaimOptions{Owner: "owner", Lease: time.Minute}); err != nil || got.Outcome != dedupe.Acquired || got.Attempt != 1 {
		t.Errorf("the same key of another tenant: %+v, %v", got, err)
	}
}

// refuses repeats a part of package ledgerapi's table, here behind workerd's
// parsers.
func (w *worker) refuses(t *testing.T) {
	tenant := w.tenants.Add(1)
	key := base64.StdEncoding.EncodeToString([]byte("hostile-key"))
	body := fmt.Sprintf(`{"key":%q,"owner":"b3duZXI=","lease_ms":60000}`, key)
	bearer := http.Header{"Authorization": {"Bearer " + tokenOf(tenant)}, "Content-Type": {"application/json"}}
	with := func(name, value string) http.Header {
		h := bearer.Clone()
		h.Set(name, value)
		return h
	}
	for _, c := range []struct {
		name, method, path, body string
		header                   http.Header
		status                   int
		code                     string
	}{
		{"no token", "POST", "/v1/claims", body, http.Header{"Content-Type": {"application/json"}}, 401, "unauthorized"},
		{"a wrong token", "POST", "/v1/claims", body, with("Authorization", "Bearer "+tokenOf(1000)), 401, "unauthorized"},
		{"another scheme", "POST", "/v1/claims", body, with("Authorization", "Basic "+tokenOf(tenant)), 401, "unauthorized"},
		{"two tokens", "POST", "/v1/claims", body, http.Header{"Authorization": {"Bearer " + tokenOf(tenant), "Bearer " + tokenOf(1)}}, 401, "unauthorized"},
		{"a form", "POST", "/v1/claims", body, with("Content-Type", "text/plain"), 415, "unsupported_media_type"},
		{"a body that is too large", "POST", "/v1/claims", body + strings.Repeat(" ", 20_000), bearer, 413, "request_too_large"},
		{"half of it", "POST", "/v1/claims", body[:20], bearer, 400, "invalid_request"},
		{"a field twice", "POST", "/v1/claims", strings.Replace(body, "{", `{"key":"aw==",`, 1), bearer, 400, "invalid_request"},
		{"an unknown field", "POST", "/v1/claims", strings.Replace(body, "{", `{"x":1,`, 1), bearer, 400, "invalid_request"},
		{"a lease that overflows", "POST", "/v1/claims", strings.Replace(body, "60000", "18446744073710", 1), bearer, 400, "invalid_lease"},
		{"a lease with a fraction", "POST", "/v1/claims", strings.Replace(body, "60000", "0.5", 1), bearer, 400, "invalid_request"},
		{"a query", "POST", "/v1/claims?x", body, bearer, 400, "invalid_request"},
		{"an extra slash", "POST", "/v1//claims", body, bearer, 404, "not_found"},
		{"an escaped slash", "POST", "/v1%2fclaims", body, bearer, 404, "not_found"},
		{"a zero byte", "POST", "/v1/claims%00", body, bearer, 404, "not_found"},
		{"a trailing slash", "POST", "/v1/claims/", body, bearer, 404, "not_found"},
		{"another method", "PUT", "/v1/claims", body, bearer, 405, "method_not_allowed"},
		{"an overridden method", "PUT", "/v1/claims", body, with("X-HTTP-Method-Override", "POST"), 405, "method_not_allowed"},
	} {
		status, code, text := post(t, c.method, w.URL+c.path, c.body, c.header)
		if status != c.status || code != c.code {
			t.Errorf("%s: %d %s, want %d %s", c.name, status, text, c.status, c.code)
		}
		if strings.Contains(text, "token-") || strings.Contains(text, key) || strings.Contains(text, "hostile-key") {
			t.Errorf("%s: the answer contains a secret: %s", c.name, text)
		}
	}
	if status, _, text := post(t, "POST", w.URL+"/v1/claims", strings.Replace(body, "b3duZXI=", "b3RoZXI=", 1), bearer); status != 200 || !strings.Contains(text, `"attempt":1`) {
		t.Errorf("afterwards the key is not free: %d %s", status, text)
	}
}

// post sends a request and returns the status, the problem's code and the whole
// body.
func post(t *testing.T, method, url, body string, header http.Header) (status int, code, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	a, err := request.Do(httpClient, r)
	if err != nil {
		t.Fatal(err)
	}
	var p problem.Problem
	json.Unmarshal([]byte(a.Body), &p)
	return a.Status, p.Code, a.Body
}

// killed kills everything while claims are in flight. Afterwards each caller
// repeats its claim, whether its outcome was known or not, gets it, and
// completes it.
func (w *worker) killed(t *testing.T) {
	c := w.connect(t)
	type attempt struct {
		key   string
		claim dedupe.Claim
		sure  bool
	}
	var mu sync.Mutex
	var attempts []attempt
	sure := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, a := range attempts {
			if a.sure {
				n++
			}
		}
		return n
	}
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				key := fmt.Sprintf("caller %d key %d", caller, n)
				claim, err := c.Claim(ctx, []byte(key), dedupe.ClaimOptions{Lease: time.Hour})
				if err == nil || errors.Is(err, dedupe.ErrUnknownOutcome) {
					mu.Lock()
					attempts = append(attempts, attempt{key, claim, err == nil})
					mu.Unlock()
				}
			}
		})
	}
	for end := time.Now().Add(20 * time.Second); sure() < 24 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	w.Kill()
	cancel()
	callers.Wait()
	log := w.Log.String()
	w.Run()

	unsure := 0
	for _, a := range attempts {
		again, err := c.Claim(t.Context(), []byte(a.key), dedupe.ClaimOptions{Owner: a.claim.Owner, Lease: time.Hour})
		if err != nil || again.Outcome != dedupe.Acquired || again.Attempt != 1 || a.sure && again.Fence != a.claim.Fence {
			t.Fatalf("a claim is %+v, and after the kill %+v, %v", a.claim, again, err)
		}
		if err := c.Complete(t.Context(), again, nil); err != nil {
			t.Errorf("Complete: %v", err)
		}
		if !a.sure {
			unsure++
		}
	}
	if n := sure(); n < 24 {
		t.Errorf("only %d claims were acknowledged", n)
	}
	t.Logf("%d claims, %d of them with an unknown outcome; all were given again", len(attempts), unsure)
	if strings.Contains(log, "token-") || strings.Contains(log, "hostile-key") {
		t.Error("the log contains a token or a key")
	}
}

func TestWithoutTokensNothingIsServed(t *testing.T) {
	const broken = "0123456789-broken" // too short
	for name, secret := range map[string]string{"none": "", "a malformed secret": "tenant:" + broken} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, secret)
			for _, path := range []string{"/v1/claims", "/v1/keys", "/v1/sequences/next", "/"} {
				status, code, text := post(t, "POST", s.URL+path, `{"key":"aw==","owner":"bw==","lease_ms":1}`, http.Header{"Authorization": {"Bearer " + tokenOf(1)}, "Content-Type": {"application/json"}})
				if status != 503 || code != "not_configured" || !strings.Contains(text, `"hint"`) {
					t.Errorf("%s: %d %s", path, status, text)
				}
			}
			c, err := ledgerapi.NewClient(s.URL, tokenOf(1), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Claim(t.Context(), []byte("key"), dedupe.ClaimOptions{Lease: time.Minute}); !errors.Is(err, ledgerapi.ErrNoTokens) {
				t.Errorf("the client returned %v", err)
			}
			const named = "the secret LEDGER_TOKENS: the "
			for end := time.Now().Add(20 * time.Second); !strings.Contains(s.Log.String(), named) && time.Now().Before(end); {
				time.Sleep(10 * time.Millisecond)
			}
			if log := s.Log.String(); !strings.Contains(log, named) || strings.Contains(log, broken) {
				t.Errorf("the log does not name the secret, or contains its value:\n%s", log)
			}
		})
	}
}
