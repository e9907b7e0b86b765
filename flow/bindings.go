package flow

import (
	"context"
	"fmt"
	"slices"

	"flow.internal/capdo/dedupe"
)

// Capabilities whose type is known. Others may have any name and type.
const (
	Dedupe    = "dedupe"    // a [dedupe.Ledger]
	Sequencer = "sequencer" // a [dedupe.Sequencer]
	Runs      = "runs"      // a [dedupe.Ledger] of runs under way, for [Recovery]
	Keys      = "keys"      // a [Sealer] for their inputs, and for outputs of nodes
)

// Bindings are the capabilities of one invocation, by name. In a Worker they
// belong to the request's env.
type Bindings map[string]any

// Add binds what a constructor returned. With an error the capability stays
// unbound, and [Program.Preflight] says why, if the flow requires it.
func (b Bindings) Add(capability string, resource any, err error) {
	if err != nil {
		resource = err
	}
	b[capability] = resource
}

// Preflight returns, as an [*InvalidError], all that the flow requires and
// bindings have not: [CodeNotBound] and [CodeWrongType]. [Program.Run] calls it
// before any work. Keys that are bound to an error count as required.
func (p *Program) Preflight(b Bindings) error {
	var v validator
	for _, s := range p.steps {
		for _, name := range s.node.Requires {
			b.check(&v, s.node.Name, name)
		}
	}
	if p.recovery != nil {
		b.check(&v, "", Runs)
	}
	if _, meant := b[Keys]; meant || p.recovery != nil {
		b.check(&v, "", Keys) // without them outputs would be stored in clear
	}
	return invalid(p.name, v.findings)
}

// check adds what is wrong with what is bound as a capability.
func (b Bindings) check(v *validator, node, name string) {
	bound := b[name]
	if err, failed := bound.(error); failed {
		v.add(CodeNotBound, node, nil, "the required capability %q is not bound: %v", name, err)
	} else if bound == nil {
		v.add(CodeNotBound, node, nil, "the required capability %q is not bound", name)
	} else if !fits(name, bound) {
		v.add(CodeWrongType, node, nil, "the capability %q is bound to a %T", name, bound)
	}
}

func fits(name string, bound any) (ok bool) {
	switch name {
	case Dedupe, Runs:
		_, ok = bound.(dedupe.Ledger)
	case Sequencer:
		_, ok = bound.(dedupe.Sequencer)
	case Keys:
		_, ok = bound.(Sealer)
	default:
		ok = true
	}
	return ok
}

// Claim is what a handler runs under when its node is delivered to exactly once
// or at most once.
type Claim struct {
	// Key stands for the piece of work: pass it on to whatever takes an
	// idempotency key. It has the sender's key in it, so it is no text for a
	// log.
	Key []byte
	// Fence grows with each claim of the key. The system that the node changes
	// has to reject a fence that is smaller than one it has seen.
	Fence int64
	// Attempt counts the claims of the key, from 1.
	Attempt int
	// TakenOver: the lease of the holder before ran out, so the work may have
	// been done already, in part or whole. Look before acting again.
	TakenOver bool
}

// invocation is what a handler's context carries.
type invocation struct {
	node     *Node
	bindings Bindings
	claim    Claim
}

type invocationKey struct{}

// ClaimOf returns the claim that a handler runs under, in its context; ok is
// false where its node is delivered to at least once.
func ClaimOf(ctx context.Context) (claim Claim, ok bool) {
	i, _ := ctx.Value(invocationKey{}).(*invocation)
	if i == nil || i.claim.Key == nil {
		return Claim{}, false
	}
	return i.claim, true
}

// Resource returns what is bound as a capability, in a handler's context. It
// fails with [ErrResource] when the handler's node does not require the
// capability, and when something of another type is bound.
func Resource[T any](ctx context.Context, capability string) (resource T, err error) {
	i, _ := ctx.Value(invocationKey{}).(*invocation)
	if i == nil || !slices.Contains(i.node.Requires, capability) {
		return resource, fmt.Errorf("%w: %q is not required\nhint: add it to what the node requires",
			ErrResource, short(capability))
	}
	resource, ok := i.bindings[capability].(T)
	if !ok {
		return resource, fmt.Errorf("%w: %q is bound to a %T", ErrResource, capability, i.bindings[capability])
	}
	return resource, nil
}
