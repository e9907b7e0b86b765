//go:build !js

package ledgerapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/ledgerapi"
	"flow.internal/capdo/dedupe/memdedupe"
)

// A handler serves a ledger to the tenants whose tokens are in a secret. Work
// is done once for all callers. In a Worker use a dodedupe.Ledger with the
// tenant in its scope; see examples/ledger.
func ExampleNewHandler() {
	const token = "0123456789abcdef0123456789abcdef" // openssl rand -hex 32
	ledgers := map[string]dedupe.Ledger{"shop": memdedupe.NewLedger(nil)}
	server := httptest.NewServer(ledgerapi.NewHandler(ledgerapi.API{
		Tokens: func(*http.Request) (*ledgerapi.Tokens, error) { return ledgerapi.ParseTokens("shop:" + token) },
		Ledger: func(_ *http.Request, tenant string) (dedupe.Ledger, error) { return ledgers[tenant], nil },
	}))
	defer server.Close()

	ledger, err := ledgerapi.NewClient(server.URL, token, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	opts := dedupe.DoOptions{ClaimOptions: dedupe.ClaimOptions{Lease: time.Minute, Wait: 10 * time.Second}}
	for range 2 {
		receipt, err := dedupe.Do(context.Background(), ledger, []byte("order 7"), opts, func(context.Context, dedupe.Claim) ([]byte, error) {
			fmt.Println("charged")
			return []byte("receipt 1"), nil
		})
		fmt.Println(string(receipt), err)
	}
	// Output:
	// charged
	// receipt 1 <nil>
	// receipt 1 <nil>
}
