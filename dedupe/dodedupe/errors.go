package dodedupe

import (
	"errors"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
)

// Errors of this provider, besides those of packages dedupe and durable.
var (
	// ErrCorrupt: the key's stored value is not a record. The call has not
	// changed it; Forget removes it.
	ErrCorrupt = codec.ErrCorrupt
	// ErrVersion: a newer program wrote the record or the message, in a
	// version that this program does not know. The call has not changed the
	// record.
	ErrVersion = codec.ErrVersion
	// ErrMalformed: a message between caller and object cannot be decoded.
	ErrMalformed = codec.ErrMalformed
	// ErrNeedsSQLite: the binding's class has key-value storage, where only
	// a [Store] with an object per key works. It matches
	// [durable.ErrNoSQL]. Declare another class, in new_sqlite_classes.
	ErrNeedsSQLite = wire.ErrNeedsSQLite
)

// fail returns the error of an operation for its caller.
func fail(op string, err error) error {
	e := &dedupe.Error{Op: op, Err: err}
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		e.Kind = dedupe.RuntimeUnavailable
	case errors.Is(err, dedupe.ErrUnknownOutcome):
		e.Retryable = op != opPut
	case errors.Is(err, dedupe.ErrInProgress), errors.Is(err, dedupe.ErrOverloaded):
		e.Retryable = true
	case effect.Overloaded(err):
		e.Err, e.Retryable = effect.Chain(dedupe.ErrOverloaded, err), true
	}
	return e
}
