package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/internal/jsontext"
)

// ErrSealed: the stored value is sealed, and no [Keys] are bound. With keys
// that cannot open it the error is the [Sealer]'s own.
var ErrSealed = errors.New("the stored text is sealed\n" +
	"hint: bind the keys that sealed it")

// What a key's result begins with.
const (
	markOutput = '=' // then the output
	markSealed = '*' // then the output, sealed
	markKept   = '-' // then one of the two, with what is kept in place of it
	markBegun  = '~' // at-most-once: there is none
	markLost   = '!' // the node has run, and its output cannot be kept
)

// outputs stores a node's output as the result of a key, and reads it.
type outputs struct {
	*step
	bindings Bindings
	sealer   Sealer // nil: in clear
	key      []byte
}

func newOutputs(s *step, b Bindings, key []byte) *outputs {
	sealer, _ := b[Keys].(Sealer) // Preflight has looked
	if _, clear := sealer.(Unsealed); clear {
		sealer = nil
	}
	return &outputs{s, b, sealer, key}
}

// about is what a sealed output is about: its key, and whether something is
// kept in place of it.
func (o *outputs) about(kept bool) []byte {
	if kept {
		return append([]byte{markKept}, o.key...)
	}
	return o.key
}

// encode returns what is stored of an output. It fails with [ErrOutput]: the
// node has run.
func (o *outputs) encode(out json.RawMessage) ([]byte, error) {
	var result []byte
	kept := o.handler.Keep != nil
	if kept {
		var err error
		if out, err = o.handler.Keep(out); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrOutput, err)
		}
		result = append(result, markKept)
	}
	mark, text := byte(markOutput), []byte(out)
	if o.sealer != nil {
		var err error
		mark = markSealed
		if text, err = o.sealer.Seal(out, o.about(kept)); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrOutput, err)
		}
	}
	if len(result)+1+len(text) > dedupe.MaxResultSize {
		return nil, ErrOutput
	}
	return append(append(result, mark), text...), nil
}

// decode returns the output of a result that was stored before.
func (o *outputs) decode(ctx context.Context, result []byte) (json.RawMessage, error) {
	rest, kept := bytes.CutPrefix(result, []byte{markKept})
	if len(rest) == 0 {
		return nil, ErrOutput
	}
	mark, out := rest[0], json.RawMessage(rest[1:])
	switch {
	case mark == markBegun:
		return nil, ErrBegun
	case mark == markSealed && o.sealer == nil:
		return nil, ErrSealed
	case mark == markSealed:
		var err error
		if out, err = o.sealer.Open(out, o.about(kept)); err != nil {
			return nil, err
		}
	case mark != markOutput:
		return nil, ErrOutput
	}
	if !kept {
		return out, nil
	}
	return o.restore(ctx, out)
}

// restore makes the output of what was kept in place of it.
func (o *outputs) restore(ctx context.Context, kept json.RawMessage) (json.RawMessage, error) {
	if o.handler.Restore == nil {
		return nil, fmt.Errorf("%w: the handler has no Restore for the stored value of Keep", ErrOutput)
	}
	ctx = context.WithValue(ctx, invocationKey{}, &invocation{o.node, o.bindings, Claim{}})
	out, err := o.handler.Restore(ctx, kept)
	if err == nil && !jsontext.Valid(out) {
		err = ErrOutput
	}
	return out, err
}
