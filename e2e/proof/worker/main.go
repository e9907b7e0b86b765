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
		s, err := dodedupe.NewStore(env, nil)
		if err != nil {
			return err
		}
		return operation.OnStore(ctx, s, q, a)
	case "racy":
		return performRacy(ctx, env, q, a)
	case "ledger":
		return performLedger(ctx, env, &dodedupe.LedgerOptions{}, q, a)
	case "buckets":
		return performLedger(ctx, env, &dodedupe.LedgerOptions{Mapping: dodedupe.Buckets(4)}, q, a)
	case "embedded":
		return performEmbedded(ctx, env, q, a)
	case "sequence":
		return performNext(ctx, env, q, a)
	case "do":
		return performDo(ctx, env, q, a)
	case "crash":
		os.Exit(3)
	}
	return fmt.Errorf("no target %q", target)
}

func performLedger(
	ctx context.Context, env *durable.Env, opts *dodedupe.LedgerOptions, q url.Values,
	a *operation.Answer,
) error {
	l, err := dodedupe.NewLedger(env, opts)
	if err != nil {
		return err
	}
	return operation.OnLedger(ctx, l, operation.Identity(opts), q, a)
}

func performNext(ctx context.Context, env *durable.Env, q url.Values, a *operation.Answer) error {
	s, err := dodedupe.NewSequencer(env, nil)
	if err != nil {
		return err
	}
	return operation.OnSequencer(ctx, s, q, a)
}
