package dodedupe

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/engine"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/direct"
	"flow.internal/capdo/internal/sleep"
)

// caller calls a method of the object with that name. It makes a new stub for
// each call, because a stub is dead after a reset.
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

// deliver delivers a message that is safe to repeat. If the outcome is unknown,
// it repeats the message once. If ctx has a deadline, it then repeats it until
// the deadline, as long as the error may pass, for example because the object
// moves to another node. Without a deadline it does not, because nobody has
// said how long to try. It sends nothing after ctx has ended.
func (call caller) deliver(
	ctx context.Context, object, method string, msg []byte,
) (body []byte, err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var causes []error
	for n := 0; ; n++ {
		body, err = call.bounded(ctx, object, method, msg)
		if err == nil || n == 0 && effect.Definite(err) {
			return body, err
		}
		// The first, and the last even if it is definite: the first may have
		// taken effect.
		causes = append(causes[:min(n, 1)], err)
		if ctx.Err() != nil || n > 0 && !(passes(ctx, err) && pause(ctx, n)) {
			break
		}
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		causes = append(causes, cause)
	}
	return nil, effect.Unknown(causes...)
}

// attemptTime is the time limit for one attempt, if there may be others: its
// machine may be gone without a notice.
const attemptTime = 10 * time.Second

// bounded is attempt with a time limit if ctx has a deadline.
func (call caller) bounded(ctx context.Context, object, method string, msg []byte) ([]byte, error) {
	if _, ok := ctx.Deadline(); ok {
		within, cancel := context.WithTimeout(ctx, attemptTime)
		defer cancel()
		ctx = within
	}
	return call.attempt(ctx, object, method, msg)
}

// passes reports whether ctx has a deadline, and a call that failed with err
// may succeed before it, because the platform lost the call and the object did
// not refuse it. While objects move, workerd also says "internal error".
func passes(ctx context.Context, err error) bool {
	if _, limited := ctx.Deadline(); !limited || durable.Overloaded(err) ||
		effect.Definite(err) || errors.Is(err, durable.ErrRemote) {
		return false
	}
	var platform *durable.Error
	return errors.As(err, &platform) || errors.Is(err, context.DeadlineExceeded)
}

// pause waits before the repetition after the nth: 0.1 s to 2 s, less a random
// part of up to a half. It reports whether there is time for the repetition.
func pause(ctx context.Context, n int) bool {
	d := min(50*time.Millisecond<<min(n, 10), 2*time.Second)
	d -= rand.N(d / 2)
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return false
	}
	return sleep.For(ctx, d)
}

// wait makes an object wait for the time in msg, at most one slice. If there is
// no answer soon after that, the call is lost.
func (call caller) wait(ctx context.Context, object string, msg []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, engine.WaitSlice*time.Millisecond+attemptTime/2)
	defer cancel()
	return call.attempt(ctx, object, wire.MethodAwait, msg)
}

func (call caller) attempt(ctx context.Context, object, method string, msg []byte) ([]byte, error) {
	b, err := call(ctx, object, method, msg)
	if err != nil {
		return nil, err
	}
	return wire.DecodeReply(b)
}

// forgetKey removes the record of an object that keeps a single one.
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
