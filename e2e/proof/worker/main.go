// The Worker that the proof drives. Each request is one operation on a store, a
// ledger or a sequencer.
package main

import (
	"bytes"
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

// answer is the answer to an operation.
type answer struct {
	Status    string // see status; "rolled back" and "nothing done" are of a transaction
	Inserted  bool
	Outcome   string
	Fence     int64
	TakenOver bool
	Result    string
	Number    int64
}

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
	var a answer
	err := perform(r.Context(), durablehttp.Env(r), strings.TrimPrefix(r.URL.Path, "/"),
		r.URL.Query(), &a)
	if err != nil || a.Status == "" {
		a.Status = status(err)
	}
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
	case errors.Is(err, dedupe.ErrMismatch):
		return "mismatch"
	case errors.Is(err, dedupe.ErrResultTooLarge):
		return "too large"
	case errors.Is(err, dodedupe.ErrVersion):
		return "newer"
	case errors.Is(err, errWork):
		return "nothing done"
	case errors.Is(err, context.DeadlineExceeded):
		return "gone"
	case errors.Is(err, dedupe.ErrOverloaded):
		return "overloaded"
	}
	return err.Error()
}

func perform(ctx context.Context, env *durable.Env, target string, q url.Values, a *answer) error {
	switch target {
	case "store":
		s, err := dodedupe.NewStore(env, nil)
		if err != nil {
			return err
		}
		return performStore(ctx, s, q, a)
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

// milliseconds returns a duration from the query.
func milliseconds(q url.Values, name string) time.Duration {
	n, _ := strconv.ParseInt(q.Get(name), 10, 64)
	return time.Duration(n) * time.Millisecond
}

func performStore(ctx context.Context, s dedupe.Store, q url.Values, a *answer) (err error) {
	key := []byte(q.Get("key"))
	switch q.Get("op") {
	case "put":
		a.Inserted, err = s.PutIfAbsent(ctx, key, milliseconds(q, "ttl"))
		return err
	case "forget":
		return s.Forget(ctx, key)
	}
	return fmt.Errorf("no operation %q", q.Get("op"))
}

func performLedger(
	ctx context.Context, env *durable.Env, opts *dodedupe.LedgerOptions, q url.Values, a *answer,
) error {
	l, err := dodedupe.NewLedger(env, opts)
	if err != nil {
		return err
	}
	return performOn(ctx, l, ledgerName(opts), q, a)
}

// performOn performs an operation on a ledger. Its claims carry the ledger's
// identity.
func performOn(
	ctx context.Context, l dedupe.Ledger, identity string, q url.Values, a *answer,
) error {
	key := []byte(q.Get("key"))
	switch q.Get("op") {
	case "claim":
		return claim(ctx, l, key, q, a)
	case "complete":
		return l.Complete(ctx, claimOf(identity, q), resultOf(q))
	case "extend":
		return l.Extend(ctx, claimOf(identity, q), milliseconds(q, "lease"))
	case "release":
		return l.Release(ctx, claimOf(identity, q))
	case "forget":
		return l.Forget(ctx, key)
	}
	return fmt.Errorf("no operation %q", q.Get("op"))
}

// claim claims a key for a caller that may leave before the end of the wait.
func claim(ctx context.Context, l dedupe.Ledger, key []byte, q url.Values, a *answer) error {
	if patience := milliseconds(q, "patience"); patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	c, err := l.Claim(ctx, key, dedupe.ClaimOptions{
		Owner: q.Get("owner"), Fingerprint: []byte(q.Get("fingerprint")),
		Lease: milliseconds(q, "lease"), TTL: milliseconds(q, "ttl"), Wait: milliseconds(q, "wait"),
	})
	if err == nil {
		a.Outcome, a.Fence, a.TakenOver, a.Result = c.Outcome.String(), c.Fence,
			c.TakenOver, shown(c.Result)
	}
	return err
}

func performNext(ctx context.Context, env *durable.Env, q url.Values, a *answer) error {
	s, err := dodedupe.NewSequencer(env, nil)
	if err != nil {
		return err
	}
	n, err := s.Next(ctx, []byte(q.Get("key")), []byte(q.Get("entry")),
		[]byte(q.Get("fingerprint")), milliseconds(q, "ttl"))
	a.Number, a.Inserted = n.N, n.Inserted
	return err
}

// claimOf returns a claim that another request acquired.
func claimOf(identity string, q url.Values) dedupe.Claim {
	fence, _ := strconv.ParseInt(q.Get("fence"), 10, 64)
	return dedupe.Claim{Outcome: dedupe.Acquired, Ledger: identity, Key: []byte(q.Get("key")),
		Owner: q.Get("owner"), Fence: fence}
}

func ledgerName(opts *dodedupe.LedgerOptions) string {
	binding := opts.Binding
	if binding == "" {
		binding = "LEDGER"
	}
	return "dedupe.durable_objects:" + binding + ":" +
		base64.RawURLEncoding.EncodeToString([]byte(opts.Scope)) + ":" + opts.Mapping.String()
}

// resultOf returns the query's result, extended to the query's size. shown is
// the form that the test gets.
func resultOf(q url.Values) []byte {
	size, _ := strconv.Atoi(q.Get("size"))
	result := []byte(q.Get("result"))
	return append(result, bytes.Repeat([]byte("."), max(0, size-len(result)))...)
}

func shown(result []byte) string {
	if len(result) < 1000 {
		return string(result)
	}
	return string(bytes.TrimRight(result, ".")) + "/" + strconv.Itoa(len(result))
}
