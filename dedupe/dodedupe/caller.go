package dodedupe

import (
	"context"
	"errors"

	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/direct"
)

// caller calls a method of the object with that name, each time through a fresh
// stub: after a reset the old one is dead.
type caller func(ctx context.Context, object, method string, msg []byte) ([]byte, error)

func namespaceCaller(n *durable.Namespace) caller {
	return func(ctx context.Context, object, method string, msg []byte) ([]byte, error) {
		b, sent, err := direct.Call(ctx, n, object, method, msg)
		if err != nil && !sent && ctx.Err() == nil {
			err = effect.None(err)
		}
		return b, err
	}
}

// deliver delivers a message that is safe to repeat, and repeats it once when
// its outcome is unknown. Nothing is sent once ctx has ended.
func (call caller) deliver(ctx context.Context, object, method string, msg []byte) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	body, err := call.attempt(ctx, object, method, msg)
	if err == nil || effect.Definite(err) {
		return body, err
	}
	causes := []error{err}
	if ctx.Err() == nil {
		if body, err = call.attempt(ctx, object, method, msg); err == nil {
			return body, nil
		}
		// Even if this error is definite, the first attempt may have had an
		// effect.
		causes = append(causes, err)
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		causes = append(causes, cause)
	}
	return nil, effect.Unknown(causes...)
}

func (call caller) attempt(ctx context.Context, object, method string, msg []byte) ([]byte, error) {
	b, err := call(ctx, object, method, msg)
	if err != nil {
		return nil, err
	}
	return wire.DecodeReply(b)
}

// forgetKey removes the record of an object that keeps one.
func (call caller) forgetKey(ctx context.Context, object, _ string) error {
	body, err := call.deliver(ctx, object, wire.MethodLookKey, wire.EncodeLook())
	if err != nil {
		return err
	}
	ok, seen, err := wire.CutBool(body)
	if err != nil || !ok {
		return err
	}
	_, err = call.deliver(ctx, object, wire.MethodForgetKey, wire.EncodeForget(seen))
	return err
}

// forget removes a key's record from an object of the ledger's class.
func (call caller) forget(ctx context.Context, object, innerKey string) error {
	body, err := call.deliver(ctx, object, wire.MethodLook, wire.Message(innerKey))
	if err != nil {
		return err
	}
	r := codec.Reader{Rest: body}
	what, fence := r.Number(), r.Number()
	if err := r.End(); err != nil || entry.What(what) == entry.Nothing {
		return err
	}
	msg := codec.AppendNumbers(wire.Message(innerKey), what, fence)
	_, err = call.deliver(ctx, object, wire.MethodForget, msg)
	return err
}
