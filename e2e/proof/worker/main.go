// The Worker that the proof drives. Each request is one operation on a store, a
// ledger or a sequencer.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/e2e/internal/operation"
)

func main() {
	dodedupe.RegisterStore("Dedupe")
	registerLedger("Ledger", "ledger")
	durable.Register("Account", newAccount, durable.Method("perform", (*account).perform))
	durable.Register("Racy", newRacy, durable.Method("put", (*racy).put),
		durable.Method("forget", (*racy).forget))
	durablehttp.Handle(http.HandlerFunc(serve))
	if err := durable.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func registerLedger(class, target string) {
	dodedupe.RegisterLedger(class, &dodedupe.LedgerClassOptions{OnExpired: func(
		ctx context.Context, env *durable.Env, e dodedupe.Expired,
	) error {
		return expired(ctx, env, target, e)
	}})
}

func serve(w http.ResponseWriter, r *http.Request) {
	var a operation.Answer
	err := perform(r.Context(), durablehttp.Env(r), strings.TrimPrefix(r.URL.Path, "/"),
		r.URL.Query(), &a)
	if err != nil || a.Status == "" {
		a.Status = operation.Status(err)
	}
	json.NewEncoder(w).Encode(a)
}

func perform(
	ctx context.Context, env *durable.Env, target string, q url.Values, a *operation.Answer,
) error {
	switch target {
	case "store":
		return operation.Store(ctx, env, q, a)
	case "racy":
		return performRacy(ctx, env, q, a)
	case "ledger":
		return operation.Ledger(ctx, env, dodedupe.PerKey(), q, a)
	case "buckets":
		return operation.Ledger(ctx, env, dodedupe.Buckets(4), q, a)
	case "embedded":
		return performEmbedded(ctx, env, q, a)
	case "sequence":
		return operation.Sequencer(ctx, env, q, a)
	case "do":
		return performDo(ctx, env, q, a)
	case "crash":
		os.Exit(3)
	}
	return fmt.Errorf("no target %q", target)
}
