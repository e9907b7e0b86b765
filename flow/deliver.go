package flow

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"time"

	"flow.internal/capdo/dedupe"
)

// deliver runs a node as its edges say. sent is the flow's input, in its one
// form.
func (p *Program) deliver(
	ctx context.Context, s *step, b Bindings, sent, in json.RawMessage, ran *attempt,
) (out json.RawMessage, err error) {
	defer recovered(&err)
	if s.delivery == AtLeastOnce {
		return s.call(ctx, b, in, Claim{}, ran)
	}
	key, err := p.key(s.node, in)
	if err != nil {
		return nil, err
	}
	fingerprint, err := s.node.fingerprint(sent, in)
	if err != nil {
		return nil, err
	}
	opts := p.claim
	opts.Fingerprint, opts.TTL = fingerprint, time.Duration(s.node.Idempotency.TTL)*time.Millisecond
	ledger := b[Dedupe].(dedupe.Ledger) // Preflight has looked
	run := func(ctx context.Context, c dedupe.Claim) (json.RawMessage, error) {
		claim := Claim{Key: key, Fence: c.Fence, Attempt: c.Attempt, TakenOver: c.TakenOver}
		return s.call(ctx, b, in, claim, ran)
	}
	stored := newOutputs(s, b, key)
	if s.delivery == AtMostOnce {
		return atMostOnce(ctx, ledger, key, opts, stored, run)
	}
	return exactlyOnce(ctx, ledger, key, opts, stored, run)
}

// key is what stands for a piece of work: scope, node and what the node's
// pointer leads to, as a JSON array, so that no two are the same text. A number
// and a string of the same digits are not the same.
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

// fingerprint stands for the payload: the members of the node's input that the
// node names, or else all that was sent. It does not depend on what the nodes
// in between make of that, since these change with the program, and a sender
// that repeats itself must not be told that it sends something else.
func (n *Node) fingerprint(sent, in json.RawMessage) ([]byte, error) {
	text := []byte(sent)
	if pointers := n.Idempotency.Fingerprint; len(pointers) > 0 {
		value, err := decode(in)
		if err != nil {
			return nil, err
		}
		members := map[string]any{} // what is absent differs from null
		for _, pointer := range pointers {
			if v, ok := lookup(value, pointer); ok {
				members[pointer] = v
			}
		}
		if text, err = json.Marshal(members); err != nil {
			return nil, err
		}
	}
	sum := sha256.Sum256(text)
	return sum[:], nil
}

// onFailure releases the claim if the work cannot have had an effect: the node
// changes nothing, its input was refused, or the error says so. Any other
// failure of an effectful node may have had its effect.
func (n *Node) onFailure(err error) dedupe.Disposition {
	var rejection *Rejection
	switch {
	case errors.Is(err, ErrOutput):
		return dedupe.StoreResult
	case n.Effects != Effectful,
		errors.Is(err, ErrInput), errors.Is(err, ErrResource), errors.As(err, &rejection):
		return dedupe.ReleaseClaim
	}
	return dedupe.DefaultDisposition(err)
}

type work func(ctx context.Context, claim dedupe.Claim) (json.RawMessage, error)

// exactlyOnce runs work until it has succeeded once, and replays its output. If
// the output cannot be kept, the work has been done nevertheless, and that is
// the key's final result.
func exactlyOnce(
	ctx context.Context, ledger dedupe.Ledger, key []byte, opts dedupe.ClaimOptions,
	stored *outputs, run work,
) (json.RawMessage, error) {
	do := dedupe.DoOptions{ClaimOptions: opts, OnFailure: stored.node.onFailure}
	ran := false
	var out json.RawMessage
	marked := func(ctx context.Context, claim dedupe.Claim) (result []byte, err error) {
		ran = true
		if out, err = run(ctx, claim); err == nil {
			result, err = stored.encode(out)
		}
		if err != nil {
			return []byte{markLost}, err
		}
		return result, nil
	}
	result, err := dedupe.Do(ctx, ledger, key, do, marked)
	switch {
	case err != nil:
		return nil, err
	case ran:
		return out, nil
	}
	return stored.decode(ctx, result)
}

// atMostOnce records in the ledger that work has begun, and only then begins
// it. The work does not run under the lease, because nobody ever takes it over.
func atMostOnce(
	ctx context.Context, ledger dedupe.Ledger, key []byte, opts dedupe.ClaimOptions,
	stored *outputs, run work,
) (json.RawMessage, error) {
	var mine dedupe.Claim
	begin := func(_ context.Context, claim dedupe.Claim) ([]byte, error) {
		mine = claim
		return []byte{markBegun}, nil
	}
	result, err := dedupe.Do(ctx, ledger, key, dedupe.DoOptions{ClaimOptions: opts}, begin)
	switch {
	case err != nil:
		return nil, err
	case mine.Outcome != dedupe.Acquired:
		return stored.decode(ctx, result)
	}
	return run(ctx, mine)
}
