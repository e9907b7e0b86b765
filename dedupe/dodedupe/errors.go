package dodedupe

import (
	"errors"
	"strings"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
)

// Errors of this provider, besides those of packages dedupe and durable.
var (
	// ErrCorrupt: what is stored for the key is not a record. It is left as it is; Forget removes it.
	ErrCorrupt = errors.New("the stored record is corrupt")
	// ErrVersion: a record or a message is of a version that this program does not know; a newer one wrote it. A record is left as it is.
	ErrVersion = errors.New("a record or message of an unknown version")
	// ErrMalformed: a message that caller and object exchange cannot be decoded.
	ErrMalformed = errors.New("a malformed message")
)

// isUnreadable reports that a record is there and cannot be read.
func isUnreadable(err error) bool { return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrVersion) }

// undone is the error of an attempt that definitely changed nothing.
type undone struct{ error }

func (u undone) Unwrap() error { return u.error }

// written is the error of an attempt that failed after it had stored something:
// whatever its cause is, the attempt did not change nothing.
type written struct{ error }

func (w written) Unwrap() error { return w.error }

func afterWrite(err error) error {
	if err == nil {
		return nil
	}
	return written{err}
}

// isUndone reports that an attempt changed nothing, as the object says.
func isUndone(err error) bool {
	var u undone
	var w written
	return errors.As(err, &u) && !errors.As(err, &w)
}

// chain is an error that matches all of several.
type chain struct{ errs []error }

func (c *chain) Error() string {
	texts := make([]string, len(c.errs))
	for i, err := range c.errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, ": ")
}

func (c *chain) Unwrap() []error { return c.errs }

func unknown(causes ...error) error {
	return &chain{append([]error{dedupe.ErrUnknownOutcome}, causes...)}
}

// definite reports whether the attempt that failed so changed nothing. What is not known to be harmless counts as unknown: a lost
// connection, a reset, an error or panic of the object's code half-way, a reply that makes no sense, the end of the caller's context.
func definite(err error) bool {
	var w written
	return !errors.As(err, &w) && (isUndone(err) || overloaded(err) || errors.Is(err, durable.ErrLimit) || errors.Is(err, errors.ErrUnsupported))
}

// overloaded reports that the call was turned away. An object that is reset for its use of memory is overloaded, too, but it may have
// run the call before (workerd, src/workerd/io/actor-cache.c++, "broken.exceededMemory").
func overloaded(err error) bool {
	if !errors.Is(err, durable.ErrOverloaded) {
		return false
	}
	var e *durable.Error
	return !errors.As(err, &e) || e.Props["durableObjectReset"] != true
}

// fail makes the error that the caller of a method gets.
func fail(op string, err error) error {
	e := &dedupe.Error{Op: op, Err: err}
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		e.Kind = dedupe.RuntimeUnavailable
	case errors.Is(err, dedupe.ErrUnknownOutcome):
		e.Retryable = op != opPut
	case errors.Is(err, dedupe.ErrInProgress), errors.Is(err, dedupe.ErrOverloaded):
		e.Retryable = true
	case overloaded(err):
		e.Err, e.Retryable = &chain{[]error{dedupe.ErrOverloaded, err}}, true
	}
	return e
}
