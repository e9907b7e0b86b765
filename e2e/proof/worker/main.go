// The Worker that the proof drives: each request is one operation on a store or a ledger.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

// window outlives every history: no record expires in one.
const window = time.Hour

// answer is what an operation's caller gets.
type answer struct {
	Status   string // "ok", "fenced", "unknown", "overloaded", or else the error
	Inserted bool
	Outcome  string
	Fence    int64
	Result   string
}

func main() {
	dodedupe.Register("Dedupe")
	dodedupe.RegisterLedger("Ledger", nil)
	durable.Register("Racy", newRacy, durable.Method("put", (*racy).put), durable.Method("forget", (*racy).forget))
	durablehttp.Handle(http.HandlerFunc(serve))
	if err := durable.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(w http.ResponseWriter, r *http.Request) {
	var a answer
	err := perform(r.Context(), durablehttp.Env(r), strings.TrimPrefix(r.URL.Path, "/"), r.URL.Query(), &a)
	a.Status = status(err)
	json.NewEncoder(w).Encode(a)
}

func status(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, dedupe.ErrUnknownOutcome):
		return "unknown"
	case errors.Is(err, dedupe.ErrFenced):
		return "fenced"
	case errors.Is(err, dedupe.ErrOverloaded):
		return "overloaded"
	}
	return err.Error()
}

func perform(ctx context.Context, env *durable.Env, target string, q url.Values, a *answer) error {
	switch target {
	case "store":
		s, err := dodedupe.New(env, nil)
		if err != nil {
			return err
		}
		return performStore(ctx, s, q, a)
	case "racy":
		return performRacy(ctx, env, q, a)
	case "ledger":
		return performLedger(ctx, env, &dodedupe.LedgerOptions{}, window, q, a)
	case "leases":
		return performLedger(ctx, env, &dodedupe.LedgerOptions{Scope: "leases"}, 20*time.Millisecond, q, a)
	case "buckets":
		return performLedger(ctx, env, &dodedupe.LedgerOptions{Mapping: dodedupe.Buckets(4)}, window, q, a)
	}
	return fmt.Errorf("no target %q", target)
}

func performStore(ctx context.Context, s dedupe.Store, q url.Values, a *answer) (err error) {
	key := []byte(q.Get("key"))
	switch q.Get("op") {
	case "put":
		a.Inserted, err = s.PutIfAbsent(ctx, key, window)
		return err
	case "forget":
		return s.Forget(ctx, key)
	}
	return fmt.Errorf("no operation %q", q.Get("op"))
}

func performLedger(ctx context.Context, env *durable.Env, opts *dodedupe.LedgerOptions, lease time.Duration, q url.Values, a *answer) error {
	l, err := dodedupe.NewLedger(env, opts)
	if err != nil {
		return err
	}
	key := []byte(q.Get("key"))
	switch q.Get("op") {
	case "claim":
		return claim(ctx, l, key, lease, q.Get("owner"), a)
	case "complete":
		return l.Complete(ctx, claimOf(opts, q), []byte(q.Get("result")))
	case "extend":
		return l.Extend(ctx, claimOf(opts, q), lease)
	case "release":
		return l.Release(ctx, claimOf(opts, q))
	case "forget":
		return l.Forget(ctx, key)
	}
	return fmt.Errorf("no operation %q", q.Get("op"))
}

func claim(ctx context.Context, l dedupe.Ledger, key []byte, lease time.Duration, owner string, a *answer) error {
	c, err := l.Claim(ctx, key, dedupe.ClaimOptions{Owner: owner, Lease: lease, TTL: window})
	if err == nil {
		a.Outcome, a.Fence, a.Result = c.Outcome.String(), c.Fence, string(c.Result)
	}
	return err
}

// claimOf is a claim that another request acquired.
func claimOf(opts *dodedupe.LedgerOptions, q url.Values) dedupe.Claim {
	fence, _ := strconv.ParseInt(q.Get("fence"), 10, 64)
	ledger := "dedupe.durable_objects:LEDGER:" + base64.RawURLEncoding.EncodeToString([]byte(opts.Scope)) + ":" + opts.Mapping.String()
	return dedupe.Claim{Outcome: dedupe.Acquired, Ledger: ledger, Key: []byte(q.Get("key")), Owner: q.Get("owner"), Fence: fence}
}
