package main

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/e2e/internal/operation"
)

// ending is a ledger in which the n-th call ends its caller's context, before
// or after the call.
type ending struct {
	dedupe.Ledger
	end        context.CancelFunc
	at, called int
	after      bool
}

func (l *ending) call() (done func()) {
	l.called++
	switch {
	case l.called != l.at:
	case l.after:
		return l.end
	default:
		l.end()
	}
	return func() {}
}

func (l *ending) Claim(
	ctx context.Context, key []byte, opts dedupe.ClaimOptions,
) (dedupe.Claim, error) {
	defer l.call()()
	return l.Ledger.Claim(ctx, key, opts)
}

func (l *ending) Extend(ctx context.Context, claim dedupe.Claim, lease time.Duration) error {
	defer l.call()()
	return l.Ledger.Extend(ctx, claim, lease)
}

func (l *ending) Complete(ctx context.Context, claim dedupe.Claim, result []byte) error {
	defer l.call()()
	return l.Ledger.Complete(ctx, claim, result)
}

func (l *ending) Release(ctx context.Context, claim dedupe.Claim) error {
	defer l.call()()
	return l.Ledger.Release(ctx, claim)
}

var errLeft = errors.New("the caller left")

// winding is how long work continues after its caller has left, like a call
// that cannot be undone.
const winding = 500 * time.Millisecond

// performDo does a key's work, which is a request to the test. It ends when the
// lease has ended, or some time after the caller has left.
func performDo(ctx context.Context, env *durable.Env, q url.Values, a *operation.Answer) error {
	l, err := dodedupe.NewLedger(env, &dodedupe.LedgerOptions{Scope: "do"})
	if err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	at, _ := strconv.Atoi(q.Get("end"))
	ledger := &ending{Ledger: l, end: func() { end(errLeft) }, at: at,
		after: q.Get("after") == "true"}
	opts := dedupe.DoOptions{ClaimOptions: dedupe.ClaimOptions{
		Lease: operation.Milliseconds(q, "lease"), Wait: operation.Milliseconds(q, "wait"),
	}}
	result, err := dedupe.Do(ctx, ledger, []byte(q.Get("key")), opts, func(
		ctx context.Context, c dedupe.Claim,
	) ([]byte, error) {
		return work(ctx, env, q, &c)
	})
	if err == nil || errors.Is(err, dedupe.ErrResultTooLarge) {
		a.Result = operation.Shown(result)
	}
	switch {
	case errors.Is(err, dedupe.ErrInProgress):
		a.Outcome, err = "in progress", nil
	case errors.Is(err, errLeft):
		a.Status = "left"
	}
	return err
}

func work(ctx context.Context, env *durable.Env, q url.Values, c *dedupe.Claim) ([]byte, error) {
	request, over := context.WithCancel(context.WithoutCancel(ctx))
	defer over()
	stop := context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); errors.Is(cause, dedupe.ErrFenced) ||
			errors.Is(cause, dedupe.ErrLeaseExpired) {
			over()
			return
		}
		time.AfterFunc(winding, over)
	})
	defer stop()
	what, err := report(request, env, "/work", url.Values{
		"key": {q.Get("key")}, "id": {q.Get("id")}, "fence": {strconv.FormatInt(c.Fence, 10)},
		"takenover": {strconv.FormatBool(c.TakenOver)},
	})
	switch {
	case err != nil:
		return nil, err
	case what == "panic":
		panic("the test says so")
	case what == "nothing":
		return nil, dedupe.NoEffect(operation.ErrWork)
	case what == "fails":
		return nil, errors.New("the work fails")
	}
	size, _ := strconv.Atoi(what)
	return operation.Extended(q.Get("id"), size), nil
}
