package flow

import (
	"errors"
	"fmt"
)

// Errors to test for with [errors.Is], besides those of package dedupe and the
// causes of contexts.
var (
	// ErrInput: the input is not JSON, or does not fit the node.
	ErrInput = errors.New("the input is not valid for the node")
	// ErrNoKey: the input has no idempotency key: at the node's pointer
	// there is no string or number, or an empty string.
	ErrNoKey = errors.New("the input has no idempotency key")
	// ErrBegun: the node is delivered at most once, and has already begun
	// with this key. Its output is not kept.
	ErrBegun = errors.New("the work has begun before")
	// ErrOutput: the node has run, and its output is not JSON, is larger
	// than [dedupe.MaxResultSize], or cannot be sealed. If the node runs
	// exactly once, this is final.
	ErrOutput = errors.New("the output cannot be kept")
	// ErrResource: the handler's node does not require the capability, or
	// the capability is bound to another type.
	ErrResource = errors.New("the node cannot use the capability")

	errNotJSON = errors.New("not JSON")
)

// NodeError is the error of [Program.Run] if a node fails. Its text contains
// the node's name and the cause's text, which may contain what the handler's
// errors contain.
type NodeError struct {
	Node string
	Err  error
	// Unknown: the node is effectful and has run, but it is unknown whether
	// it has had its effect, or whether that is recorded. Ask the system
	// that it changes, by the sender's key and the fence.
	Unknown bool
	Fence   int64 // of the claim that it ran under; 0 if none
}

// Error names the node and the cause.
func (e *NodeError) Error() string { return fmt.Sprintf("flow: node %q: %v", e.Node, e.Err) }

// Unwrap returns the cause.
func (e *NodeError) Unwrap() error { return e.Err }

// Rejection is a handler's error for an input that it will never accept, such
// as a negative amount. Both texts are sent to the sender; they should not
// repeat the input.
type Rejection struct {
	Detail string // what is wrong
	Hint   string // what to do
}

// Error says what is wrong.
func (r *Rejection) Error() string { return r.Detail }

// PanicError is the error of a handler that panicked. Its text contains neither
// the value nor the stack, because they may contain a payload.
type PanicError struct {
	Value any
	Stack []byte
}

// Error says that the handler panicked.
func (e *PanicError) Error() string { return "the handler panicked" }
