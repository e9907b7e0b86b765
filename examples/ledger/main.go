// Ledger is a Worker that serves the idempotency ledger, the sequencer and the
// dedupe store over HTTP. Its secret LEDGER_TOKENS contains the tokens of its
// tenants. Package ledgerapi has the API and its client; README.md explains how
// to run it.
package main

import (
	"fmt"
	"net/http"
	"os"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/dedupe/ledgerapi"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

func main() {
	register(tokens)
	if err := durable.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func register(tokens func(r *http.Request) (*ledgerapi.Tokens, error)) {
	dodedupe.RegisterStore("Dedupe")
	dodedupe.RegisterLedger("Ledger", nil)
	durablehttp.Handle(ledgerapi.NewHandler(ledgerapi.API{
		Tokens:    tokens,
		Ledger:    ledger,
		Sequencer: sequencer,
		Store:     store,
	}))
}

// tokens reads the secret again for each request: a Worker's environment
// belongs to the request.
func tokens(r *http.Request) (*ledgerapi.Tokens, error) {
	secret, _, err := durablehttp.Env(r).Var("LEDGER_TOKENS")
	if err != nil {
		return nil, err
	}
	tokens, err := ledgerapi.ParseTokens(secret)
	if err != nil {
		return nil, fmt.Errorf("the secret LEDGER_TOKENS: %w", err)
	}
	return tokens, nil
}

// scope separates the tenants. If you change it, all stored keys are forgotten.
func scope(tenant string) string { return "tenant:" + tenant }

func ledger(r *http.Request, tenant string) (dedupe.Ledger, error) {
	return dodedupe.NewLedger(durablehttp.Env(r), &dodedupe.LedgerOptions{Scope: scope(tenant)})
}

func sequencer(r *http.Request, tenant string) (dedupe.Sequencer, error) {
	return dodedupe.NewSequencer(durablehttp.Env(r), &dodedupe.LedgerOptions{Scope: scope(tenant)})
}

func store(r *http.Request, tenant string) (dedupe.Store, error) {
	return dodedupe.NewStore(durablehttp.Env(r), &dodedupe.StoreOptions{Scope: scope(tenant)})
}
