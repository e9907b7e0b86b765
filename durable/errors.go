package durable

import (
	"errors"
	"strconv"
	"strings"

	"flow.internal/capdo/internal/jsrt"
)

// Errors to test for with [errors.Is]. Act on these, never on messages.
var (
	// ErrNoBinding: the environment has no Durable Object namespace under that name.
	ErrNoBinding = errors.New("no such Durable Object binding")
	// ErrInvalidID: not an id, or an id of another namespace.
	ErrInvalidID = errors.New("invalid Durable Object id")
	// ErrLimit: a documented limit would be exceeded; the error is a [*LimitError].
	ErrLimit = errors.New("limit exceeded")
	// ErrOverloaded: the object has too many requests queued. The call was not delivered; retrying at once makes it worse.
	ErrOverloaded = errors.New("the Durable Object is overloaded")
	// ErrObjectReset: the object was reset (an abort, a crash, new code) while the call was open. Whether the call took effect is unknown,
	// and the stub is dead: take a new one.
	ErrObjectReset = errors.New("the Durable Object was reset")
	// ErrDisconnected: the connection to the object was lost. Whether the call took effect is unknown.
	ErrDisconnected = errors.New("the connection to the Durable Object was lost")
	// ErrRemote: the object's own code returned an error, or threw one.
	ErrRemote = errors.New("the Durable Object's code failed")
	// ErrValue: a value has no equivalent on the other side of the boundary between Go and JavaScript, or would change.
	ErrValue = errors.New("the value cannot be converted unchanged")
	// ErrJurisdiction: the jurisdiction is not known, or there are none, as in local workerd.
	ErrJurisdiction = errors.New("no such jurisdiction")
	// ErrNoAlarmHandler: the class has no Alarm method, so it cannot set alarms.
	ErrNoAlarmHandler = errors.New("the class has no alarm handler")
	// ErrNoSQL: the class is not backed by SQLite.
	ErrNoSQL = errors.New("SQL is not enabled for this class")
	// ErrContextClosed: the invocation that a handle belongs to has ended, or its object was evicted.
	ErrContextClosed = jsrt.ErrContextClosed
	// ErrTransactionParked: the function of a synchronous transaction waited for something. It was rolled back.
	ErrTransactionParked = jsrt.ErrTransactionParked
	// ErrDeadlock: nothing is in flight that could wake the request's goroutine.
	ErrDeadlock = jsrt.ErrDeadlock
)

// Error is a failure that workerd, or code on the other side of a call, reported.
type Error struct {
	Name    string // JavaScript's name for it: "Error", "TypeError", …
	Message string
	// Retryable: workerd says that the same call may succeed when repeated. It does not say that the call did not take effect.
	Retryable bool
	// Props are further primitive properties of the error: those that the remote code set.
	Props map[string]any

	kind error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the sentinel that says what kind of failure it is, or nil.
func (e *Error) Unwrap() error { return e.kind }

// wrapped is an error with a text of its own.
type wrapped struct {
	text string
	kind error
}

func (w *wrapped) Error() string { return w.text }
func (w *wrapped) Unwrap() error { return w.kind }

// LimitError says which limit a call would exceed. It matches [ErrLimit].
type LimitError struct {
	Limit       string // what is limited, in words
	Max, Actual int    // bytes or counts
}

// Error names the limit, the maximum and the actual figure.
func (e *LimitError) Error() string {
	return e.Limit + ": " + strconv.Itoa(e.Actual) + " exceeds the maximum of " + strconv.Itoa(e.Max)
}

// Unwrap returns [ErrLimit].
func (e *LimitError) Unwrap() error { return ErrLimit }

// messages is the classifier: what workerd says, where no property of the error says it. Texts as of workerd 2026-11-17.
var messages = []struct {
	contains string
	kind     error
}{
	{"Durable Object is overloaded", ErrOverloaded},
	{"Network connection lost", ErrDisconnected},
	{"reset because its code was updated", ErrObjectReset},
	{"Invalid Durable Object ID", ErrInvalidID},
	{"Durable Object ID is not valid for this namespace", ErrInvalidID},
	{"must have an alarm() handler", ErrNoAlarmHandler},
	{"Jurisdiction restrictions are not implemented", ErrJurisdiction},
	{"SQL is not enabled", ErrNoSQL},
	{"only available for SQLite-backed Durable Objects", ErrNoSQL},
}

// classify gives an error from JavaScript its meaning; others pass unchanged.
func classify(err error) error {
	js, ok := err.(*jsrt.Error)
	if !ok {
		return err
	}
	e := &Error{Name: js.Name, Message: js.Message, Retryable: js.Flag("retryable"), Props: js.Props}
	switch {
	case js.Flag("durableObjectReset"): // also with overloaded: an object that ran out of memory is both
		e.kind = ErrObjectReset
	case js.Flag("remote"): // what an object's code says of a call of its own is not what happened to this one
		e.kind = ErrRemote
	case js.Flag("overloaded"):
		e.kind = ErrOverloaded
	}
	for _, m := range messages {
		if e.kind == nil && strings.Contains(js.Message, m.contains) {
			e.kind = m.kind
		}
	}
	return e
}

// throw is classify's inverse: what a handler's error is to the caller.
func throw(err error) *jsrt.Error {
	js := &jsrt.Error{Name: "Error", Message: strings.ToValidUTF8(err.Error(), "\uFFFD")}
	var e *Error
	if errors.As(err, &e) {
		js.Name = e.Name
		js.Props = map[string]any{}
		for k, v := range e.Props {
			switch k {
			case "remote", "retryable", "overloaded", "durableObjectReset": // they speak of the call that failed, not of this one
			default:
				js.Props[k] = v
			}
		}
	}
	return js
}
