package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/e2e/internal/operation"
)

// account is an object with an embedded ledger. It uses transactions of its
// own, and rolls some of them back.
type account struct {
	storage  *durable.Storage
	ledger   *dodedupe.Embedded
	identity string
}

func newAccount(_ context.Context, state *durable.State, env *durable.Env) (*account, error) {
	id, err := state.ID()
	if err != nil {
		return nil, err
	}
	ledger, err := dodedupe.Embed(state, &dodedupe.EmbedOptions{OnExpired: func(
		ctx context.Context, e dodedupe.Expired,
	) error {
		return expired(ctx, env, "embedded", e)
	}})
	if err != nil {
		return nil, err
	}
	_, err = state.Storage().SQL().Exec("CREATE TABLE IF NOT EXISTS effects (id TEXT)")
	return &account{state.Storage(), ledger, "dedupe.durable_objects:embedded:" + id.String()}, err
}

func (a *account) Alarm(ctx context.Context, _ durable.AlarmInfo) error {
	return a.ledger.Alarm(ctx, nil)
}

// perform performs one operation.
func (a *account) perform(ctx context.Context, query []byte) ([]byte, error) {
	q, err := url.ParseQuery(string(query))
	if err != nil {
		return nil, err
	}
	var out operation.Answer
	out.Status = a.within(ctx, q, &out)
	return json.Marshal(out)
}

var errRolledBack = errors.New("rolled back")

// within performs an operation and an effect in the transaction that the query
// asks for. It returns the status.
func (a *account) within(ctx context.Context, q url.Values, out *operation.Answer) string {
	var inside error // error of the transaction's function
	run := func() error {
		if inside = a.effect(q); inside == nil {
			inside = operation.OnLedger(ctx, a.ledger, a.identity, q, out)
		}
		if inside == nil && q.Has("rollback") {
			inside = errRolledBack
		}
		return inside
	}
	var err error
	switch q.Get("tx") {
	case "transaction":
		err = a.storage.Transaction(ctx, func(*durable.Transaction) error { return run() })
	case "sync":
		err = a.storage.TransactionSync(run)
	default:
		return operation.Status(a.performAlone(ctx, q, out))
	}
	switch s := operation.Status(inside); {
	case err == nil && inside == nil:
		return "ok"
	case inside == nil && !errors.Is(err, durable.ErrTransactionParked):
		return "unknown"
	case err == nil:
		return "a failed transaction was committed"
	case s == "fenced", s == "mismatch", s == "too large", s == "newer":
		return s
	case errors.Is(inside, errRolledBack) && !errors.Is(err, durable.ErrTransactionParked):
		return "rolled back"
	}
	return "nothing done"
}

func (a *account) effect(q url.Values) error {
	_, err := a.storage.SQL().Exec("INSERT INTO effects VALUES (?)", q.Get("id"))
	return err
}

// performAlone performs an operation without a transaction. Once makes its own
// one.
func (a *account) performAlone(ctx context.Context, q url.Values, out *operation.Answer) error {
	if q.Get("op") != "once" {
		return operation.OnLedger(ctx, a.ledger, a.identity, q, out)
	}
	opts := &dodedupe.OnceOptions{Fingerprint: []byte(q.Get("fingerprint")),
		TTL: operation.Milliseconds(q, "ttl")}
	result, replayed, err := a.ledger.Once(ctx, []byte(q.Get("key")), opts, func(
		fence int64,
	) ([]byte, error) {
		out.Fence = fence
		err := a.effect(q)
		if err == nil && q.Has("rollback") {
			err = operation.ErrWork
		}
		return operation.Result(q), err
	})
	switch {
	case errors.Is(err, dedupe.ErrInProgress):
		out.Outcome, err = "in progress", nil
	case err != nil:
		out.Fence = 0
	case replayed:
		out.Outcome, out.Result = "replay", operation.Shown(result)
	default:
		out.Outcome = "acquired"
	}
	return err
}

func performEmbedded(
	ctx context.Context, env *durable.Env, q url.Values, out *operation.Answer,
) error {
	stub := env.Object("ACCOUNT", "account-"+q.Get("key"))
	defer stub.Release()
	b, err := stub.Call(ctx, "perform", []byte(q.Encode()))
	switch {
	case errors.Is(err, durable.ErrOverloaded):
		return dedupe.ErrOverloaded
	case err != nil:
		return dedupe.ErrUnknownOutcome
	}
	return json.Unmarshal(b, out)
}
