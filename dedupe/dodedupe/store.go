package dodedupe

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
)

// Options configures a [Store]. Nil means the defaults.
type Options struct {
	// Binding is the Durable Object binding of the class that [Register] declared; "DEDUPE" when empty.
	Binding string
	// Scope keeps the keys of several users of one class apart: any bytes, none by default. Another scope is another, empty store.
	Scope string
	// DefaultTTL is what a TTL of 0 means; [dedupe.DefaultTTL] when 0.
	DefaultTTL time.Duration
}

// Store is a [dedupe.Store] on Durable Objects, one object per key. It belongs to the invocation that its env was handed to.
type Store struct {
	call  caller
	scope string
	ttl   time.Duration
}

var _ dedupe.Store = (*Store)(nil)

// caller calls a method of the object with that name, each time through a fresh stub: after a reset the old one is dead.
type caller func(ctx context.Context, object, method string, msg []byte) ([]byte, error)

// Names of operations, for errors.
const (
	opNew    = "New"
	opPut    = "PutIfAbsent"
	opForget = "Forget"
)

// New returns the store that a binding leads to. It fails with [durable.ErrNoBinding] and [dedupe.ErrInvalidTTL], and natively with an error of
// kind [dedupe.RuntimeUnavailable]. It sends nothing.
func New(env *durable.Env, opts *Options) (*Store, error) {
	if runtime.GOOS != "js" {
		return nil, fail(opNew, errors.ErrUnsupported)
	}
	binding := "DEDUPE"
	if opts != nil && opts.Binding != "" {
		binding = opts.Binding
	}
	namespace, err := env.Namespace(binding)
	if err != nil {
		return nil, fail(opNew, err)
	}
	return newStore(namespaceCaller(namespace), opts)
}

func newStore(call caller, opts *Options) (*Store, error) {
	if opts == nil {
		opts = &Options{}
	}
	if _, err := dedupe.TTLMillis(0, opts.DefaultTTL); err != nil {
		return nil, fail(opNew, err)
	}
	return &Store{call: call, scope: opts.Scope, ttl: opts.DefaultTTL}, nil
}

func namespaceCaller(n *durable.Namespace) caller {
	return func(ctx context.Context, object, method string, msg []byte) ([]byte, error) {
		stub, err := n.GetByName(object, nil)
		if err != nil {
			return nil, undone{err}
		}
		defer stub.Release()
		return stub.Call(ctx, method, msg)
	}
}

// Name returns "dedupe.durable_objects".
func (s *Store) Name() string { return "dedupe.durable_objects" }

// PutIfAbsent reserves a key; see [dedupe.Store]. When the answer is lost it repeats the call once, with the same owner token: the winner is
// told true again. A false then means that another call holds the key.
func (s *Store) PutIfAbsent(ctx context.Context, key []byte, ttl time.Duration) (inserted bool, err error) {
	ms, err := dedupe.TTLMillis(ttl, s.ttl)
	if err != nil {
		return false, fail(opPut, err)
	}
	body, err := s.send(ctx, key, methodPut, encodePut(newOwner(), ms))
	if err != nil {
		return false, fail(opPut, err)
	}
	inserted, _, err = cutBool(body)
	if err != nil {
		return false, fail(opPut, unknown(err))
	}
	return inserted, nil
}

// Forget removes a key's record; see [dedupe.Store]. It takes two calls, where there is one to remove: it looks at the record and then removes just
// that one, so that a repetition or a late arrival of the second cannot remove a successor's.
func (s *Store) Forget(ctx context.Context, key []byte) error {
	body, err := s.send(ctx, key, methodLook, encodeLook())
	if err != nil {
		return fail(opForget, err)
	}
	ok, seen, err := cutBool(body)
	if err != nil {
		return fail(opForget, err)
	}
	if !ok {
		return nil
	}
	if _, err = s.send(ctx, key, methodForget, encodeForget(seen)); err != nil {
		return fail(opForget, err)
	}
	return nil
}

// send delivers a message to a key's object.
func (s *Store) send(ctx context.Context, key []byte, method string, msg []byte) (body []byte, err error) {
	if err := dedupe.CheckKey(key); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return s.call.deliver(ctx, objectName(s.scope, key), method, msg)
}

// deliver delivers a message that is safe to repeat, and repeats it once when its outcome is unknown.
func (call caller) deliver(ctx context.Context, object, method string, msg []byte) (body []byte, err error) {
	body, err = call.attempt(ctx, object, method, msg)
	if err == nil || definite(err) {
		return body, err
	}
	causes := []error{err}
	if ctx.Err() == nil {
		if body, err = call.attempt(ctx, object, method, msg); err == nil {
			return body, nil
		}
		causes = append(causes, err) // even if it is definite: the first attempt may have taken effect
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		causes = append(causes, cause)
	}
	return nil, unknown(causes...)
}

func (call caller) attempt(ctx context.Context, object, method string, msg []byte) ([]byte, error) {
	b, err := call(ctx, object, method, msg)
	if err != nil {
		return nil, err
	}
	return decodeReply(b)
}

func newOwner() (o owner) {
	binary.LittleEndian.PutUint64(o[:8], rand.Uint64())
	binary.LittleEndian.PutUint64(o[8:], rand.Uint64())
	return o
}
