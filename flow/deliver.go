package flow

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"time"

	"flow.internal/capdo/dedupe"
)

// What a key's result begins with.
const (
	markOutput = '=' // then the output
	markBegun  = '~' // at-most-once: there is none
	markLost   = '!' // the node has run, and its output cannot be kept
)

// deliver runs a node as its edges say.
func (p *Program) deliver(ctx context.Context, s *step, b Bindings, in json.RawMessage) (out json.RawMessage, err error) {
	defer recovered(&err)
	if s.delivery == AtLeastOnce {
		return s.call(ctx, b, in, Claim{})
	}
	key, err := p.key(s.node, in)
	if err != nil {
		return nil, err
	}
	fingerprint := sha256.Sum256(in)
	opts := p.claim
	opts.Fingerprint, opts.TTL = fingerprint[:], time.Duration(s.node.Idempotency.TTL)*time.Millisecond
	ledger := b[Dedupe].(dedupe.Ledger) // Preflight has looked
	work := func(ctx context.Context, fence int64) (json.RawMessage, error) {
		return s.call(ctx, b, in, Claim{key, fence})
	}
	if s.delivery == AtMostOnce {
		return atMostOnce(ctx, ledger, key, opts, work)
	}
	return exactlyOnce(ctx, ledger, key, opts, work)
}

// key is what stands for a piece of work: scope, node and what the node's pointer leads to, as a JSON array, so that no two are the same
// text. A number and a string of the same digits are not the same.
func (p *Program) key(n *Node, in json.RawMessage) ([]byte, error) {
	value, err := decode(in)
	if err != nil {
		return nil, err
	}
	id, ok := lookup(value, n.Idempotency.Key)
	_, isNumber := id.(json.Number)
	if text, isText := id.(string); !ok || !isNumber && !isText || isText && text == "" {
		return nil, ErrNoKey
	}
	scope := n.Idempotency.Scope
	if scope == "" {
		scope = p.name
	}
	return json.Marshal([]any{scope, n.Name, id})
}

type work func(ctx context.Context, fence int64) (json.RawMessage, error)

// exactlyOnce runs work until it has succeeded once, and replays its output. A failure gives the claim back. Work whose output cannot be kept has been
// done all the same: that is its result, for good.
func exactlyOnce(ctx context.Context, ledger dedupe.Ledger, key []byte, opts dedupe.ClaimOptions, run work) (json.RawMessage, error) {
	do := dedupe.DoOptions{ClaimOptions: opts, OnFailure: func(err error) dedupe.Disposition {
		if errors.Is(err, ErrOutput) {
			return dedupe.StoreResult
		}
		return dedupe.ReleaseClaim
	}}
	result, err := dedupe.Do(ctx, ledger, key, do, func(ctx context.Context, fence int64) ([]byte, error) {
		out, err := run(ctx, fence)
		if err == nil && len(out) >= dedupe.MaxResultSize {
			err = ErrOutput
		}
		if err != nil {
			return []byte{markLost}, err
		}
		return append([]byte{markOutput}, out...), nil
	})
	if err != nil {
		return nil, err
	}
	return unmark(result)
}

// atMostOnce has the ledger remember that work has begun, and only then begins.
func atMostOnce(ctx context.Context, ledger dedupe.Ledger, key []byte, opts dedupe.ClaimOptions, run work) (json.RawMessage, error) {
	claim, err := ledger.Claim(ctx, key, opts)
	if err != nil {
		return nil, err
	}
	switch claim.Outcome {
	case dedupe.Replay:
		return unmark(claim.Result)
	case dedupe.InProgress:
		return nil, &dedupe.InProgressError{RetryAfter: claim.RetryAfter, Attempt: claim.Attempt}
	}
	if err := ledger.Complete(ctx, claim, []byte{markBegun}); err != nil {
		return nil, err
	}
	return run(ctx, claim.Fence)
}

func unmark(result []byte) (json.RawMessage, error) {
	if len(result) > 0 {
		switch result[0] {
		case markOutput:
			return result[1:], nil
		case markBegun:
			return nil, ErrBegun
		}
	}
	return nil, ErrOutput
}
