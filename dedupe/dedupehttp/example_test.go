//go:build !js

package dedupehttp_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupehttp"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/dedupe/memdedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

// A server that charges once for each key of a tenant.
func ExampleIdempotent() {
	// In production, use a ledger that outlives the process.
	ledger := memdedupe.NewLedger(nil)
	tenant := func(r *http.Request) (string, error) { return r.Header.Get("X-Tenant"), nil }
	idempotent := dedupehttp.Idempotent(dedupehttp.Fixed(ledger), tenant, &dedupehttp.Options{Required: true})

	charges := 0
	mux := http.NewServeMux()
	mux.Handle("POST /charges", idempotent(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		charges++
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, "charge %d", charges)
	})))
	server := httptest.NewServer(mux)
	defer server.Close()

	charge := func(key, body string) {
		r, err := http.NewRequest("POST", server.URL+"/charges", strings.NewReader(body))
		if err != nil {
			panic(err)
		}
		r.Header.Set("X-Tenant", "acme")
		if key != "" {
			r.Header.Set("Idempotency-Key", key)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			panic(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			panic(err)
		}
		if resp.StatusCode >= 400 {
			text = []byte("a problem document")
		}
		fmt.Printf("%d %s, replayed: %q\n", resp.StatusCode, text, resp.Header.Get("Idempotent-Replayed"))
	}
	charge(`"8e03978e"`, "amount=1")
	charge(`"8e03978e"`, "amount=1")
	charge(`"8e03978e"`, "amount=2")
	charge("", "amount=1")
	// Output:
	// 201 charge 1, replayed: ""
	// 201 charge 1, replayed: "true"
	// 422 a problem document, replayed: ""
	// 400 a problem document, replayed: ""
}

// A Worker makes its ledger from each request's environment.
func ExampleLedgerFunc() {
	dodedupe.RegisterLedger("Ledger", nil)
	ledger := func(r *http.Request) (dedupe.Ledger, error) {
		return dodedupe.NewLedger(durablehttp.Env(r), &dodedupe.LedgerOptions{Scope: "http"})
	}
	tenant := func(*http.Request) (string, error) { return "the only one", nil }
	charge := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusCreated) })

	durablehttp.Handle(dedupehttp.Idempotent(ledger, tenant, nil)(charge))
	err := durable.Run()
	fmt.Println("natively:", err != nil)
	// Output: natively: true
}

// The resource that a handler writes to must reject stale fences.
func ExampleFence() {
	// In production, these are a row of a database, changed in one transaction.
	balance, newest := 0, int64(0)
	credit := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fence, _ := dedupehttp.Fence(r.Context())
		if fence < newest {
			http.Error(w, "a newer attempt has taken over", http.StatusServiceUnavailable)
			return
		}
		balance, newest = balance+1, fence
	})
	ledger := dedupehttp.Fixed(memdedupe.NewLedger(nil))
	h := dedupehttp.Idempotent(ledger, func(*http.Request) (string, error) { return "acme", nil }, nil)(credit)

	r := httptest.NewRequest("POST", "/credits", nil)
	r.Header.Set("Idempotency-Key", "7f2c")
	h.ServeHTTP(httptest.NewRecorder(), r)
	fmt.Println(balance, newest > 0)
	// Output: 1 true
}
