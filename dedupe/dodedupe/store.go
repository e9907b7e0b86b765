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
	"flow.internal/capdo/internal/direct"
)

// Options configures a [Store]. Nil means the defaults.
type Options struct {
	// Binding is the Durable Object binding of the class that [Register] declared; "DEDUPE" when empty. In buckets it is that of the class
	// that [RegisterLedger] declared, and "LEDGER" when empty.
	Binding string
	// Scope keeps the keys of several users of one class apart: any bytes, none by default. Another scope is another, empty store.
	Scope string
	// DefaultTTL is what a TTL of 0 means; [dedupe.DefaultTTL] when 0.
	DefaultTTL time.Duration
	// Mapping says which object keeps a key: [PerKey], the default, or [Buckets]. Another mapping is another, empty store.
	Mapping Mapping
}

// Store is a [dedupe.Store] on Durable Objects. It belongs to the invocation that its env was handed to.
type Store struct {
	call    caller
	scope   string
	ttl     time.Duration
	mapping Mapping
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

// New returns the store that a binding leads to. It fails with [durable.ErrNoBinding], [dedupe.ErrInvalidTTL] and [ErrBuckets], and natively
// with an error of kind [dedupe.RuntimeUnavailable]. It sends nothing.
func New(env *durable.Env, opts *Options) (*Store, error) {
	if runtime.GOOS != "js" {
		return nil, fail(opNew, errors.ErrUnsupported)
	}
	namespace, err := env.Namespace(opts.binding())
	if err != nil {
		return nil, fail(opNew, err)
	}
	return newStore(namespaceCaller(namespace), opts)
}

func (o *Options) binding() string {
	switch {
	case o != nil && o.Binding != "":
		return o.Binding
	case o != nil && o.Mapping.buckets != 0:
		return defaultLedgerBinding
	}
	return "DEDUPE"
}

func newStore(call caller, opts *Options) (*Store, error) {
	if opts == nil {
		opts = &Options{}
	}
	if _, err := dedupe.TTLMillis(0, opts.DefaultTTL); err != nil {
		return nil, fail(opNew, err)
	}
	if opts.Mapping.invalid != 0 {
		return nil, fail(opNew, ErrBuckets)
	}
	return &Store{call, opts.Scope, opts.DefaultTTL, opts.Mapping}, nil
}

func namespaceCaller(n *durable.Namespace) caller {
	return func(ctx context.Context, object, method string, msg []byte) ([]byte, error) {
		b, sent, err := direct.Call(ctx, n, object, method, msg)
		if err != nil && !sent && ctx.Err() == nil {
			err = undone{err}
		}
		return b, err
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
	if err := dedupe.CheckKey(key); err != nil {
		return false, fail(opPut, err)
	}
	object, inside := s.mapping.place(kindStore, s.scope, key)
	method, msg, o := methodPut, []byte(nil), newOwner()
	if inside == "" {
		msg = encodePut(o, ms)
	} else {
		method, msg = methodReserve, appendNumbers(message(inside, string(o[:])), ms)
	}
	body, err := s.call.deliver(ctx, object, method, msg)
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
	err := dedupe.CheckKey(key)
	if err == nil {
		object, inside := s.mapping.place(kindStore, s.scope, key)
		forget := s.call.forget
		if inside != "" {
			forget = s.call.forgetInside
		}
		err = forget(ctx, object, inside)
	}
	if err != nil {
		return fail(opForget, err)
	}
	return nil
}

// forget removes the record of an object that keeps one.
func (call caller) forget(ctx context.Context, object, _ string) error {
	body, err := call.deliver(ctx, object, methodLook, encodeLook())
	if err != nil {
		return err
	}
	ok, seen, err := cutBool(body)
	if err != nil || !ok {
		return err
	}
	_, err = call.deliver(ctx, object, methodForget, encodeForget(seen))
	return err
}

// forgetInside removes a key's record from an object of the ledger's class.
func (call caller) forgetInside(ctx context.Context, object, inside string) error {
	body, err := call.deliver(ctx, object, methodSeek, message(inside))
	if err != nil {
		return err
	}
	r := reader{rest: body}
	what, fence := r.number(), r.number()
	if err := r.end(); err != nil || what == lookNothing {
		return err
	}
	_, err = call.deliver(ctx, object, methodDrop, appendNumbers(message(inside), what, fence))
	return err
}

// deliver delivers a message that is safe to repeat, and repeats it once when its outcome is unknown. Nothing is sent once ctx has ended.
func (call caller) deliver(ctx context.Context, object, method string, msg []byte) (body []byte, err error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
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
