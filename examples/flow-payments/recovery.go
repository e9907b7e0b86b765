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

// runsScope separates running flows from payments in the ledger.
const runsScope = "payments.runs"

// recovery continues payments that a crash interrupted, even if the sender does
// not repeat them.
func recovery() *flow.Recovery {
	return &flow.Recovery{Attempts: 4, MaxInput: 4 << 10, TTL: window, DeadLetter: giveUp}
}

// resume is called when the lease of a crashed holder has ended.
func resume(program *flow.Program) func(ctx context.Context, env *durable.Env, e dodedupe.Expired) error {
	return func(ctx context.Context, env *durable.Env, e dodedupe.Expired) error {
		if e.Scope != runsScope { // the claim of a node, which its run takes over
			return nil
		}
		return program.Resume(ctx, bindingsOf(ctx, env, crashesAgain(env)), e.Key)
	}
}

// newKeys returns the encryption keys of stored payments, from the secret
// PAYMENTS_KEYS. On the developer's machine the secret is optional.
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

// giveUp reports a payment that could not be continued. This example only
// records it at the processor.
func giveUp(ctx context.Context, b flow.Bindings, d flow.DeadLetter) error {
	slog.Error("a payment is given up", "run", d.Run, "attempts", d.Attempts, "err", d.Err) // no payload
	var p payment
	if err := json.Unmarshal(d.Input, &p); err != nil {
		p.ID = d.Run // without the keys only the run is known
	}
	_, err := durable.Call[int64](ctx, b["processor"].(*durable.Stub), "giveUp", p.ID)
	return err
}

// crashesAgain is for demonstrations of payments that are given up. The
// variable CRASH makes continued payments crash at a point.
func crashesAgain(env *durable.Env) crash {
	point, _, err := env.Var("CRASH")
	if err != nil || !isDemo(env) {
		return ""
	}
	return crash(point)
}
