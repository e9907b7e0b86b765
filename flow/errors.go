package flow

import (
	"errors"
	"fmt"
)

// Errors to test for with [errors.Is], besides those of package dedupe and the
// causes of contexts.
var (
	// ErrInput: the input is not JSON, or not what the node takes.
	ErrInput = errors.New("the input is not what the node takes")
	// ErrNoKey: where the node's idempotency key points to, the input has no
	// string or number, or an empty string.
	ErrNoKey = errors.New("the input has no idempotency key")
	// ErrBegun: the node, delivered to at most once, has begun before with this
	// key. Its output is not kept.
	ErrBegun = errors.New("the work has begun before")
	// ErrOutput: the node has run and what it put out is not JSON, is larger
	// than [dedupe.MaxResultSize], or cannot be sealed. Where it runs exactly
	// once this is final.
	ErrOutput = errors.New("the output cannot be kept")
	// ErrResource: a handler asked for a capability that its node does not
	// require, or for another type than is bound.
	ErrResource = errors.New("the capability is not the node's")

	errNotJSON = errors.New("not JSON")
)

// NodeError is what [Program.Run] fails with when a node does. Its text has the
// node and the cause; it is as discreet as the handler's errors.
type NodeError struct {
	Node string
	Err  error
	// Unknown: the node is effectful, it has run, and nobody knows whether it
	// has had its effect, or whether that is recorded. Ask the system that it
	// changes, by the sender's key and the fence.
	Unknown bool
	Fence   int64 // of the claim that it ran under; 0 if none
}

// Error names the node and the cause.
func (e *NodeError) Error() string { return fmt.Sprintf("flow: node %q: %v", e.Node, e.Err) }

// Unwrap returns the cause.
func (e *NodeError) Unwrap() error { return e.Err }

// Rejection is the error of a handler that refuses its input for good, such as
// an amount that is negative. Both texts are for the sender; they should not
// repeat the input.
type Rejection struct {
	Detail string // what is wrong
	Hint   string // what to do
}

// Error says what is wrong.
func (r *Rejection) Error() string { return r.Detail }

// PanicError is the error of a handler that panicked. Its text has neither the
// value nor the stack, in which there may be a payload.
type PanicError struct {
	Value any
	Stack []byte
}

// Error says that the handler panicked.
func (e *PanicError) Error() string { return "the handler panicked" }
