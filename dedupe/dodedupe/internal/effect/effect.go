// Package effect classifies errors by whether the failed step of an object, or
// the failed call to an object, has had an effect.
package effect

import (
	"errors"
	"slices"
	"strings"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
)

// noEffectError is the error of an attempt that definitely changed nothing.
type noEffectError struct{ error }

func (e noEffectError) Unwrap() error { return e.error }

// None returns the error of an attempt that definitely changed nothing.
func None(err error) error { return noEffectError{err} }

// afterWriteError is the error of an attempt that failed after it had stored
// something. So the attempt had an effect, whatever the cause is.
type afterWriteError struct{ error }

func (e afterWriteError) Unwrap() error { return e.error }

// AfterWrite returns the error of an attempt that failed after it had stored
// something; nil for nil.
func AfterWrite(err error) error {
	if err == nil {
		return nil
	}
	return afterWriteError{err}
}

// IsNone reports whether the object says that an attempt changed nothing.
func IsNone(err error) bool {
	var n noEffectError
	return errors.As(err, &n) && !isAfterWrite(err)
}

func isAfterWrite(err error) bool {
	var w afterWriteError
	return errors.As(err, &w)
}

// chain is an error that matches several.
type chain struct{ errs []error }

// Chain returns an error that matches all of errs and has their texts. A text
// that is equal to the one before it is left out.
func Chain(errs ...error) error { return &chain{errs} }

func (c *chain) Error() string {
	var texts []string
	for _, err := range c.errs {
		texts = append(texts, err.Error())
	}
	return strings.Join(slices.Compact(texts), ": ")
}

func (c *chain) Unwrap() []error { return c.errs }

// Unknown returns [dedupe.ErrUnknownOutcome] with its causes.
func Unknown(causes ...error) error {
	return Chain(append([]error{dedupe.ErrUnknownOutcome}, causes...)...)
}

// Definite reports whether an attempt that failed with err certainly changed
// nothing. It reports false for errors that may come after a change: a lost
// connection, a reset, an error or panic in the object's code, an invalid
// reply, the end of the caller's context.
func Definite(err error) bool {
	if isAfterWrite(err) {
		return false
	}
	return IsNone(err) || Overloaded(err) ||
		errors.Is(err, durable.ErrLimit) || errors.Is(err, errors.ErrUnsupported)
}

// Overloaded reports whether the call was refused. An object that is reset
// because of its memory use counts as overloaded, too, but it may have run the
// call before that (workerd, src/workerd/io/actor-cache.c++,
// "broken.exceededMemory").
func Overloaded(err error) bool {
	if !errors.Is(err, durable.ErrOverloaded) {
		return false
	}
	var e *durable.Error
	return !errors.As(err, &e) || e.Props["durableObjectReset"] != true
}
