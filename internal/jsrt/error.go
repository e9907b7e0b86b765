package jsrt

import "errors"

// Error is a value that JavaScript threw or rejected with. Only newError
// creates it; package durable classifies it.
type Error struct {
	Name    string // "Error", "TypeError", …; empty if the thrown value was not an Error
	Message string
	// Props are the error's other own primitive properties. workerd sets
	// retryable, overloaded, remote and durableObjectReset. It copies the
	// properties of an error that a remote method threw.
	Props map[string]any
}

func (e *Error) Error() string { return e.Message }

// Flag reports a boolean property.
func (e *Error) Flag(name string) bool {
	b, _ := e.Props[name].(bool)
	return b
}

func newError(fields map[string]any) *Error {
	e := &Error{Props: fields}
	e.Name, _ = fields["name"].(string)
	e.Message, _ = fields["message"].(string)
	delete(fields, "name")
	delete(fields, "message")
	return e
}

func (e *Error) fields() map[string]any {
	m := make(map[string]any, len(e.Props)+2)
	for k, v := range e.Props {
		m[k] = v
	}
	m["name"], m["message"] = e.Name, e.Message
	return m
}

// In a native program, every operation returns an unsupported error, which
// wraps errors.ErrUnsupported.
type unsupported struct{}

func (unsupported) Error() string { return "capdo runs inside workerd only (GOOS=js GOARCH=wasm)" }
func (unsupported) Unwrap() error { return errors.ErrUnsupported }

var errUnsupported error = unsupported{}

// Errors of the boundary itself.
var (
	// ErrContextClosed: the stateless invocation has ended, or the object's
	// instance was evicted. It can do no more I/O.
	ErrContextClosed = errors.New("I/O context is closed: its invocation has ended")
	// ErrDeadlock: a stateless invocation waits, and nothing in flight can wake
	// one of its goroutines.
	ErrDeadlock = errors.New(
		"deadlock: the request's goroutine waits and nothing is in flight that could wake it")
	// ErrForeignHandle: a handle was used in an I/O context that it does not
	// belong to.
	ErrForeignHandle = errors.New("the handle belongs to another object, or another request")
	// ErrNestedSection: the goroutine, or the one that started it, is already
	// in a critical section of the object.
	ErrNestedSection = errors.New(
		"this goroutine is already in a transaction, or already blocks concurrency")
	// ErrTransactionParked: the callback of a synchronous transaction waited
	// for something.
	ErrTransactionParked = errors.New(
		"the transaction's function waited (for I/O, a channel, a lock, a timer); " +
			"it must not wait, so the transaction was rolled back")
)
