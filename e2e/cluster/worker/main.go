// The Worker of the proof across nodes. Each request is one operation on a
// store, a ledger or a sequencer.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/e2e/internal/operation"
)

// answer is the answer to an operation.
type answer struct {
	operation.Answer
	Detail string // reason of an unknown outcome
}

// program is another one in a test of an upgrade.
const program = "older"

func main() {
	dodedupe.RegisterStore("Dedupe")
	dodedupe.RegisterLedger("Ledger", nil)
	durablehttp.Handle(http.HandlerFunc(serve))
	if err := durable.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(w http.ResponseWriter, r *http.Request) {
	var a answer
	w.Header().Set("Program", program)
	err := perform(r.Context(), durablehttp.Env(r), r.URL.Query(), &a.Answer)
	if a.Status = operation.Status(err); a.Status == "unknown" {
		a.Detail = err.Error()
	}
	json.NewEncoder(w).Encode(a)
}

func perform(
	ctx context.Context, env *durable.Env, q url.Values, a *operation.Answer,
) error {
	switch q.Get("op") {
	case "put":
		return operation.Store(ctx, env, q, a)
	case "next":
		return operation.Sequencer(ctx, env, q, a)
	}
	if q.Get("target") == "buckets" {
		return operation.Ledger(ctx, env, dodedupe.Buckets(6), q, a)
	}
	return operation.Ledger(ctx, env, dodedupe.PerKey(), q, a)
}
