// Package operation performs operations on a store, a ledger or a sequencer, in
// a Worker. Each request of a test is one operation: its query says which one,
// and the answer goes back as JSON.
package operation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
)

// Answer is the answer to an operation.
type Answer struct {
	Status    string // see Status
	Inserted  bool
	Outcome   string
	Fence     int64
	TakenOver bool
	Result    string
	Number    int64
}

// ErrWork is the error of work that failed and had no effect.
var ErrWork = errors.New("the work failed")

// Status returns the status of an operation that returned err.
func Status(err error) string {
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
	case errors.Is(err, ErrWork):
		return "nothing done"
	case errors.Is(err, context.DeadlineExceeded):
		return "gone"
	case errors.Is(err, dedupe.ErrOverloaded):
		return "overloaded"
	}
	return err.Error()
}

// Milliseconds returns a duration from the query.
func Milliseconds(q url.Values, name string) time.Duration {
	n, _ := strconv.ParseInt(q.Get(name), 10, 64)
	return time.Duration(n) * time.Millisecond
}

// Store performs an operation on the store with the default options.
func Store(ctx context.Context, env *durable.Env, q url.Values, a *Answer) error {
	s, err := dodedupe.NewStore(env, nil)
	if err != nil {
		return err
	}
	key := []byte(q.Get("key"))
	switch q.Get("op") {
	case "put":
		a.Inserted, err = s.PutIfAbsent(ctx, key, Milliseconds(q, "ttl"))
		return err
	case "forget":
		return s.Forget(ctx, key)
	}
	return fmt.Errorf("no operation %q", q.Get("op"))
}

// Sequencer appends an entry to a stream.
func Sequencer(ctx context.Context, env *durable.Env, q url.Values, a *Answer) error {
	s, err := dodedupe.NewSequencer(env, nil)
	if err != nil {
		return err
	}
	n, err := s.Next(ctx, []byte(q.Get("key")), []byte(q.Get("entry")),
		[]byte(q.Get("fingerprint")), Milliseconds(q, "ttl"))
	a.Number, a.Inserted = n.N, n.Inserted
	return err
}

// Ledger performs an operation on the ledger with this mapping and otherwise
// the default options.
func Ledger(
	ctx context.Context, env *durable.Env, m dodedupe.Mapping, q url.Values, a *Answer,
) error {
	l, err := dodedupe.NewLedger(env, &dodedupe.LedgerOptions{Mapping: m})
	if err != nil {
		return err
	}
	return OnLedger(ctx, l, "dedupe.durable_objects:LEDGER::"+m.String(), q, a)
}

// OnLedger performs an operation on a ledger. Its claims carry the ledger's
// identity.
func OnLedger(
	ctx context.Context, l dedupe.Ledger, identity string, q url.Values, a *Answer,
) error {
	key := []byte(q.Get("key"))
	switch q.Get("op") {
	case "claim":
		return claim(ctx, l, key, q, a)
	case "complete":
		return l.Complete(ctx, claimOf(identity, q), Result(q))
	case "extend":
		return l.Extend(ctx, claimOf(identity, q), Milliseconds(q, "lease"))
	case "release":
		return l.Release(ctx, claimOf(identity, q))
	case "forget":
		return l.Forget(ctx, key)
	}
	return fmt.Errorf("no operation %q", q.Get("op"))
}

// claim claims a key for a caller that may leave before the end of the wait.
func claim(ctx context.Context, l dedupe.Ledger, key []byte, q url.Values, a *Answer) error {
	if patience := Milliseconds(q, "patience"); patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	c, err := l.Claim(ctx, key, dedupe.ClaimOptions{
		Owner: q.Get("owner"), Fingerprint: []byte(q.Get("fingerprint")),
		Lease: Milliseconds(q, "lease"), TTL: Milliseconds(q, "ttl"), Wait: Milliseconds(q, "wait"),
	})
	if err == nil {
		a.Outcome, a.Fence, a.TakenOver, a.Result = c.Outcome.String(), c.Fence,
			c.TakenOver, Shown(c.Result)
	}
	return err
}

// claimOf returns a claim that another request acquired.
func claimOf(identity string, q url.Values) dedupe.Claim {
	fence, _ := strconv.ParseInt(q.Get("fence"), 10, 64)
	return dedupe.Claim{Outcome: dedupe.Acquired, Ledger: identity, Key: []byte(q.Get("key")),
		Owner: q.Get("owner"), Fence: fence}
}

// Result returns the query's result, extended to the query's size.
func Result(q url.Values) []byte {
	size, _ := strconv.Atoi(q.Get("size"))
	return Extended(q.Get("result"), size)
}

// Extended returns a result of at least that size.
func Extended(result string, size int) []byte {
	return append([]byte(result), bytes.Repeat([]byte("."), max(0, size-len(result)))...)
}

// Shown returns the form of an extended result that the test gets.
func Shown(result []byte) string {
	if len(result) < 1000 {
		return string(result)
	}
	return string(bytes.TrimRight(result, ".")) + "/" + strconv.Itoa(len(result))
}
