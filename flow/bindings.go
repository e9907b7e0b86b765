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
	Runs      = "runs"      // a [dedupe.Ledger] of runs, for [Recovery]
	Keys      = "keys"      // a [Sealer] for stored inputs and outputs
)

// Bindings are the capabilities of one invocation, by name. In a Worker they
// belong to the request's env.
type Bindings map[string]any

// Add binds the result of a constructor. If err is not nil the capability stays
// unbound, and [Program.Preflight] reports err if the flow requires it.
func (b Bindings) Add(capability string, resource any, err error) {
	if err != nil {
		resource = err
	}
	b[capability] = resource
}

// Preflight returns an [*InvalidError] that lists everything the flow requires
// and the bindings lack: [CodeNotBound] and [CodeWrongType]. [Program.Run]
// calls it before any work. Keys that are bound to an error count as required.
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

// check adds a finding if the binding of a capability is missing or wrong.
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

// Claim is a handler's claim, if its node is delivered exactly once or at most
// once.
type Claim struct {
	// Key identifies the piece of work: pass it to systems that take an
	// idempotency key. It contains the sender's key, so do not log it.
	Key []byte
	// Fence grows with each claim of the key. The system that the node
	// changes must reject a fence smaller than one it has seen.
	Fence int64
	// Attempt counts the claims of the key, from 1.
	Attempt int
	// TakenOver: the lease of the previous holder ran out, so the work may
	// have been done already, in part or in full. Check before you act
	// again.
	TakenOver bool
}

// invocation is what a handler's context carries.
type invocation struct {
	node     *Node
	bindings Bindings
	claim    Claim
}

type invocationKey struct{}

// ClaimOf returns the claim that a handler runs under, from its context. ok is
// false if its node is delivered at least once.
func ClaimOf(ctx context.Context) (claim Claim, ok bool) {
	i, _ := ctx.Value(invocationKey{}).(*invocation)
	if i == nil || i.claim.Key == nil {
		return Claim{}, false
	}
	return i.claim, true
}

// Resource returns the binding of a capability, from a handler's context. It
// fails with [ErrResource] if the handler's node does not require the
// capability, or if the binding has another type.
func Resource[T any](
	ctx context.Context, capability string,
) (resource T, err error) {
	i, _ := ctx.Value(invocationKey{}).(*invocation)
	if i == nil || !slices.Contains(i.node.Requires, capability) {
		return resource, fmt.Errorf("%w: %q is not required"+
			"\nhint: add it to requires of the node",
			ErrResource, short(capability))
	}
	resource, ok := i.bindings[capability].(T)
	if !ok {
		return resource, fmt.Errorf("%w: %q is bound to a %T",
			ErrResource, capability, i.bindings[capability])
	}
	return resource, nil
}
