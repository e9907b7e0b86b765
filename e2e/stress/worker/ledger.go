package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
)

func init() {
	dodedupe.RegisterLedger("Ledger", &dodedupe.LedgerClassOptions{
		OnExpired: func(context.Context, *durable.Env, dodedupe.Expired) error { return nil },
	})
}

// What is stored for a key is gone soon after its life.
const ttl, lease, shortLease = 2 * time.Second, 30 * time.Second, time.Second

// errUnexpected is the error of an outcome that only the end of the TTL
// explains.
var errUnexpected = errors.New("unexpected outcome")

// live does with a new key what callers of a ledger and a sequencer do.
func live(ctx context.Context, env *durable.Env, q url.Values) error {
	begin := time.Now()
	err := liveOnce(ctx, env, q)
	if errors.Is(err, errUnexpected) && time.Since(begin) > ttl/2 {
		return nil
	}
	return err
}

func liveOnce(ctx context.Context, env *durable.Env, q url.Values) error {
	opts := &dodedupe.LedgerOptions{Mapping: dodedupe.Buckets(4)}
	if q.Has("perkey") {
		opts.Mapping = dodedupe.PerKey()
	}
	l, err := dodedupe.NewLedger(env, opts)
	if err != nil {
		return err
	}
	key := []byte(q.Get("key"))
	if q.Has("abandon") {
		return abandon(ctx, l, key)
	}
	claim, err := expect(ctx, l, key, dedupe.Acquired, 0)
	if err != nil {
		return err
	}
	if err := finish(ctx, l, claim); err != nil {
		return err
	}
	if q.Has("forget") {
		if err := forget(ctx, l, key); err != nil {
			return err
		}
	}
	return number(ctx, env, []byte(q.Get("stream")), key)
}

// abandon claims some keys and does nothing with them. Their leases end, and
// then their records.
func abandon(ctx context.Context, l dedupe.Ledger, key []byte) error {
	for i := range 20 {
		_, err := l.Claim(ctx, append(key, byte(i)),
			dedupe.ClaimOptions{TTL: ttl, Lease: shortLease})
		if err != nil {
			return err
		}
	}
	return nil
}

// expect claims a key, and expects the outcome.
func expect(
	ctx context.Context, l dedupe.Ledger, key []byte, want dedupe.Outcome, wait time.Duration,
) (dedupe.Claim, error) {
	c, err := l.Claim(ctx, key, dedupe.ClaimOptions{Fingerprint: []byte("same"), TTL: ttl,
		Lease: lease, Wait: wait})
	if err == nil && c.Outcome != want {
		err = fmt.Errorf("%w: a claim is %v, want %v", errUnexpected, c.Outcome, want)
	}
	return c, err
}

// finish completes a claim while another caller waits for it.
func finish(ctx context.Context, l dedupe.Ledger, claim dedupe.Claim) error {
	waited := make(chan error, 1)
	go func() {
		c, err := expect(ctx, l, claim.Key, dedupe.Replay, lease)
		if err == nil && string(c.Result) != "result" {
			err = fmt.Errorf("the result is %q", c.Result)
		}
		waited <- err
	}()
	time.Sleep(2 * time.Millisecond)
	err := errors.Join(l.Extend(ctx, claim, lease), l.Complete(ctx, claim, []byte("result")))
	return errors.Join(err, <-waited)
}

// forget removes a record, after which the key can be claimed again.
func forget(ctx context.Context, l dedupe.Ledger, key []byte) error {
	if err := l.Forget(ctx, key); err != nil {
		return err
	}
	claim, err := expect(ctx, l, key, dedupe.Acquired, 0)
	if err != nil {
		return err
	}
	return l.Release(ctx, claim)
}

// number gets an entry's number twice.
func number(ctx context.Context, env *durable.Env, stream, key []byte) error {
	s, err := dodedupe.NewSequencer(env, nil)
	if err != nil {
		return err
	}
	first, err := s.Next(ctx, stream, key, nil, ttl)
	if err != nil {
		return err
	}
	again, err := s.Next(ctx, stream, key, nil, ttl)
	if err == nil && (!first.Inserted || again.Inserted || again.N != first.N) {
		err = fmt.Errorf("%w: the number is first %+v, then %+v", errUnexpected, first, again)
	}
	return err
}
