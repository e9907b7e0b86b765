package main

import (
	"context"
	"encoding/json"
	"log/slog"

	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/examples/internal/guard"
	"flow.internal/capdo/flow"
	"flow.internal/capdo/flow/flowseal"
)

// runsScope keeps runs under way apart from payments.
const runsScope = "payments.runs"

// recovery has a payment whose program ended in the middle taken up again, though
// its sender does not come back.
func recovery() *flow.Recovery {
	return &flow.Recovery{Attempts: 4, MaxInput: 4 << 10, TTL: window, DeadLetter: giveUp}
}

// resume is what the ledger does about a holder that died.
func resume(program *flow.Program) func(ctx context.Context, env *durable.Env, e dodedupe.Expired) error {
	return func(ctx context.Context, env *durable.Env, e dodedupe.Expired) error {
		if e.Scope != runsScope { // the claim of a node, which its run takes over
			return nil
		}
		return program.Resume(ctx, bindingsOf(ctx, env, crashesAgain(env)), e.Key)
	}
}

// newKeys returns the keys for what is stored of payments: those of the secret
// PAYMENTS_KEYS. On its developer's machine the Worker does without.
func newKeys(env *durable.Env) (flow.Sealer, error) {
	text, ok, err := env.Var("PAYMENTS_KEYS")
	if err != nil {
		return nil, err
	}
	if local, _, err := env.Var(guard.Local); !ok && err == nil && local == "true" {
		return flow.Unsealed{}, nil
	}
	return flowseal.ParseKeys(text)
}

// giveUp has people look at a payment that could not be taken up. Here the
// processor notes it.
func giveUp(ctx context.Context, b flow.Bindings, d flow.DeadLetter) error {
	slog.Error("a payment is given up", "run", d.Run, "attempts", d.Attempts, "err", d.Err) // no payload
	var p payment
	if err := json.Unmarshal(d.Input, &p); err != nil {
		p.ID = d.Run // without the keys nobody knows more
	}
	_, err := durable.Call[int64](ctx, b["processor"].(*durable.Stub), "giveUp", p.ID)
	return err
}

// crashesAgain is for demonstrations of what is given up, too: the variable CRASH
// is where payments that are taken up end the program.
func crashesAgain(env *durable.Env) crash {
	point, _, err := env.Var("CRASH")
	if err != nil || !isDemo(env) {
		return ""
	}
	return crash(point)
}
