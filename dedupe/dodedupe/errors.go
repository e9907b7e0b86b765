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
	// ErrCorrupt: what is stored for the key is not a record. It is left as it
	// is; Forget removes it.
	ErrCorrupt = codec.ErrCorrupt
	// ErrVersion: a record or a message is of a version that this program does
	// not know; a newer one wrote it. A record is left as it is.
	ErrVersion = codec.ErrVersion
	// ErrMalformed: a message that caller and object exchange cannot be
	// decoded.
	ErrMalformed = codec.ErrMalformed
	// ErrNeedsSQLite: the class that the binding leads to has key-value
	// storage, where only a [Store] with an object per key works. It matches
	// [durable.ErrNoSQL]. Declare another class, in new_sqlite_classes.
	ErrNeedsSQLite = wire.ErrNeedsSQLite
)

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
	case effect.Overloaded(err):
		e.Err, e.Retryable = effect.Chain(dedupe.ErrOverloaded, err), true
	}
	return e
}
