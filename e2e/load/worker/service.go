package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupehttp"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/dedupe/ledgerapi"
	"flow.internal/capdo/durable/durablehttp"
)

// tokens are the tokens of some tenants. The tests know them.
var tokens = func() string {
	var b strings.Builder
	for _, tenant := range []string{"greedy", "greedy1", "greedy2", "greedy3", "greedy4",
		"greedy5", "modest"} {
		b.WriteString(tenant + ":" + tenant + "-0123456789abcdef0123456789abcdef\n")
	}
	return b.String()
}()

// mountService serves the HTTP API at /v1/, and a handler behind the middleware
// at /charges.
func mountService() {
	http.Handle("/v1/", ledgerapi.NewHandler(ledgerapi.API{
		Tokens: func(*http.Request) (*ledgerapi.Tokens, error) {
			return ledgerapi.ParseTokens(tokens)
		},
		Ledger: func(r *http.Request, tenant string) (dedupe.Ledger, error) {
			return dodedupe.NewLedger(durablehttp.Env(r), &dodedupe.LedgerOptions{Scope: tenant})
		},
	}))
	ledger := func(r *http.Request) (dedupe.Ledger, error) {
		return dodedupe.NewLedger(durablehttp.Env(r),
			&dodedupe.LedgerOptions{Scope: "http:" + r.Header.Get("Tenant")})
	}
	scope := func(r *http.Request) (string, error) { return r.Header.Get("Tenant"), nil }
	http.Handle("/charges", dedupehttp.Idempotent(ledger, scope,
		&dedupehttp.Options{Wait: dedupe.MaxWait})(http.HandlerFunc(charge)))
}

// charge takes the given ms, and answers with the given number of bytes.
func charge(w http.ResponseWriter, r *http.Request) {
	number := func(name string) int {
		n, _ := strconv.Atoi(r.Header.Get(name))
		return n
	}
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	time.Sleep(time.Duration(number("Takes")) * time.Millisecond)
	fmt.Fprintf(w, "charged for %d bytes ", n)
	io.Copy(w, io.LimitReader(zeros{}, int64(number("Size"))))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
