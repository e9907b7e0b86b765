package engine

import (
	"context"

	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
)

// nameName is the name under which the object's name is stored, if it is longer
// than an object can know: version 1, the name. Callers send it in their
// claims.
const (
	nameName    = "_capdo_name"
	nameVersion = 1
)

// Name is the object's name, which notices of holders that died need.
type Name struct{ *core }

// Name returns the name of the object.
func (e *Engine) Name() Name { return Name{e.core} }

// Store stores the name if there is a Notify function. It ignores an empty
// name.
func (n Name) Store(ctx context.Context, name string) error {
	if n.Notify == nil || name == "" {
		return nil
	}
	return n.step(ctx, func(context.Context) error {
		if n.nameStored {
			return nil
		}
		v, err := n.Backend.Noted(nameName)
		if err == nil && v == nil {
			err = n.Backend.Note(nameName, append([]byte{nameVersion}, name...))
		}
		if err != nil {
			return effect.None(err) // nothing has been claimed
		}
		n.nameStored = true
		return nil
	})
}

// Stored returns the stored name, or "" if there is none.
func (n Name) Stored() (string, error) {
	v, err := n.Backend.Noted(nameName)
	if err != nil || v == nil {
		return "", err
	}
	r, err := codec.Versioned(v, nameVersion)
	if err != nil {
		return "", err
	}
	return string(r.Rest), nil
}
