package main

import (
	"context"
	"net/url"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/e2e/internal/operation"
)

// racy is an incorrect store: it waits between its read and its write, so that
// other callers interfere. The checker must find that.
type racy struct{ state *durable.State }

func newRacy(_ context.Context, state *durable.State, _ *durable.Env) (*racy, error) {
	return &racy{state}, nil
}

func (r *racy) put(_ context.Context, _ []byte) ([]byte, error) {
	kv := r.state.Storage().KV()
	if _, ok, err := kv.Get("seen"); ok || err != nil {
		return []byte{0}, err
	}
	time.Sleep(5 * time.Millisecond)
	return []byte{1}, kv.Put("seen", true)
}

func (r *racy) forget(_ context.Context, _ []byte) ([]byte, error) {
	_, err := r.state.Storage().KV().Delete("seen")
	return nil, err
}

func performRacy(ctx context.Context, env *durable.Env, q url.Values, a *operation.Answer) error {
	stub := env.Object("RACY", q.Get("key"))
	defer stub.Release()
	b, err := stub.Call(ctx, q.Get("op"), nil)
	if err != nil {
		return dedupe.ErrUnknownOutcome
	}
	a.Inserted = len(b) == 1 && b[0] == 1
	return nil
}
