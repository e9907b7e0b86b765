// The Worker of the proof across nodes. Each request is one operation on a
// store, a ledger or a sequencer.
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
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

// answer is the answer to an operation.
type answer struct {
	Status   string
	Inserted bool
	Outcome  string
	Fence    int64
	Result   string
	Number   int64
	Detail   string // reason of an unknown outcome
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
	ctx := r.Context()
	if ms, err := strconv.Atoi(r.URL.Query().Get("deadline_ms")); err == nil {
		within, cancel := context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
		defer cancel()
		ctx = within
	}
	err := perform(ctx, durablehttp.Env(r), r.URL.Query(), &a)
	if a.Status = status(err); a.Status == "unknown" {
		a.Detail = err.Error()
	}
	json.NewEncoder(w).Encode(a)
}

func status(err error) string {
	for sentinel, name := range map[error]string{
		dedupe.ErrUnknownOutcome: "unknown", dedupe.ErrFenced: "fenced",
		dedupe.ErrMismatch: "mismatch", dedupe.ErrOverloaded: "overloaded",
	} {
		if errors.Is(err, sentinel) {
			return name
		}
	}
	if err != nil {
		return err.Error()
	}
	return "ok"
}

// lasting is longer than the test.
const lasting = time.Hour

func perform(ctx context.Context, env *durable.Env, q url.Values, a *answer) (err error) {
	key := []byte(q.Get("key"))
	switch q.Get("op") {
	case "put":
		s, err := dodedupe.NewStore(env, nil)
		if err != nil {
			return err
		}
		a.Inserted, err = s.PutIfAbsent(ctx, key, lasting)
		return err
	case "next":
		s, err := dodedupe.NewSequencer(env, nil)
		if err != nil {
			return err
		}
		n, err := s.Next(ctx, key, []byte(q.Get("entry")), []byte(q.Get("fingerprint")), lasting)
		a.Number, a.Inserted = n.N, n.Inserted
		return err
	}
	opts := &dodedupe.LedgerOptions{}
	if q.Get("target") == "buckets" {
		opts.Mapping = dodedupe.Buckets(6)
	}
	l, err := dodedupe.NewLedger(env, opts)
	if err != nil {
		return err
	}
	return onLedger(ctx, l, "dedupe.durable_objects:LEDGER:"+
		base64.RawURLEncoding.EncodeToString(nil)+":"+opts.Mapping.String(), q, a)
}

func onLedger(ctx context.Context, l dedupe.Ledger, name string, q url.Values, a *answer) error {
	key := []byte(q.Get("key"))
	fence, _ := strconv.ParseInt(q.Get("fence"), 10, 64)
	held := dedupe.Claim{Outcome: dedupe.Acquired, Ledger: name, Key: key,
		Owner: q.Get("owner"), Fence: fence}
	switch q.Get("op") {
	case "claim":
		wait, _ := strconv.Atoi(q.Get("wait"))
		c, err := l.Claim(ctx, key, dedupe.ClaimOptions{
			Owner: q.Get("owner"), Fingerprint: []byte(q.Get("fingerprint")), Lease: lasting,
			TTL: lasting, Wait: time.Duration(wait) * time.Millisecond,
		})
		a.Outcome, a.Fence, a.Result = c.Outcome.String(), c.Fence, string(c.Result)
		if err != nil {
			*a = answer{}
		}
		return err
	case "complete":
		return l.Complete(ctx, held, []byte(q.Get("result")))
	case "extend":
		return l.Extend(ctx, held, lasting)
	case "release":
		return l.Release(ctx, held)
	}
	return fmt.Errorf("no operation %q", q.Get("op"))
}
