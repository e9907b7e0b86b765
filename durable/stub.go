package durable

import (
	"context"
	"errors"
	"reflect"
	"strconv"
	"strings"

	"flow.internal/capdo/internal/jsrt"
)

// Stub calls one Durable Object. Calls through one stub are delivered in order.
// If a call fails because the object was reset or could not be reached, the
// call returns the error, and the next call opens a new connection.
type Stub struct {
	ref     *jsrt.Ref           // nil before the first call, where Env.Object made it
	isDead  bool                // live has to connect it
	isGone  bool                // released
	replace func() (any, error) // gets a new JavaScript stub; nil for those that do not die
}

func (n *Namespace) newStub(method string, target any, o *StubOptions) (*Stub, error) {
	options, err := o.js()
	if err != nil {
		return nil, err
	}
	args := append([]any{target}, options...)
	s := &Stub{replace: func() (any, error) { return n.ref.Call(method, args...) }}
	return s, s.connect()
}

func (s *Stub) connect() error {
	v, err := s.replace()
	if err != nil {
		return classify(err)
	}
	s.ref, s.isDead = v.(*jsrt.Ref), false
	s.ref.MarkObject()
	return nil
}

// live returns the JavaScript stub, or a new one if the last is dead.
func (s *Stub) live() (*jsrt.Ref, error) {
	if s.isGone {
		return nil, errReleasedStub
	}
	if s.isDead && s.replace != nil {
		if err := s.connect(); err != nil {
			return nil, err
		}
	}
	return s.ref, nil
}

// failed classifies a call's error. If the error ended the stub's connection,
// it marks the stub as dead.
func (s *Stub) failed(err error) error {
	if err == nil {
		return nil
	}
	err = classify(err)
	if errors.Is(err, ErrObjectReset) || errors.Is(err, ErrDisconnected) {
		s.isDead = true
	}
	var e *Error
	if errors.As(err, &e) && strings.HasPrefix(e.Message, noMethod) &&
		strings.HasSuffix(e.Message, `".`) { // else an earlier caller has added it
		e.Message += " A Go class has the methods that were given to Register. Case matters."
	}
	return err
}

// noMethod begins workerd's message for a call of a method that does not exist.
const noMethod = `The RPC receiver does not implement the method "`

// ID returns the object's id.
func (s *Stub) ID() (*ID, error) {
	ref, err := s.live()
	if err != nil {
		return nil, err
	}
	v, err := ref.Get("id")
	return newID(nil, v, err)
}

// Call calls an RPC method with bytes and returns its bytes, up to [MaxRPCSize]
// each way. If ctx ends first, Call returns its cause; the object may still run
// the method.
//
// It fails with [ErrOverloaded] or [ErrLimit] when the call was not delivered,
// with [ErrRemote] when the object's code failed, and with [ErrObjectReset] or
// [ErrDisconnected] when its outcome is unknown. The error is an [*Error].
func (s *Stub) Call(
	ctx context.Context, method string, args []byte,
) ([]byte, error) {
	ref, err := s.live()
	if err != nil {
		return nil, err
	}
	v, err := ref.Await(ctx, method, args)
	if err != nil {
		return nil, s.failed(err)
	}
	b, _ := v.([]byte)
	return b, nil
}

// Call calls an RPC method with values, converted as by [Encode], and returns
// its result, converted as by [Decode]. The object may be written in Go (see
// [Func]) or in JavaScript. Errors are those of [Stub.Call], and [ErrValue] for
// a value that cannot be converted.
func Call[Result any](
	ctx context.Context, s *Stub, method string, args ...any,
) (result Result, err error) {
	if err := codecOf(reflect.TypeFor[Result]()).check(true); err != nil {
		return result, in("result of "+method, err)
	}
	values := make([]any, len(args))
	for i, a := range args {
		if values[i], err = Encode(a); err != nil {
			return result, in("argument "+strconv.Itoa(i+1)+" of "+method, err)
		}
	}
	ref, err := s.live()
	if err != nil {
		return result, err
	}
	v, err := ref.Await(ctx, method, values...)
	if err != nil {
		return result, s.failed(err)
	}
	return result, in("result of "+method, Decode(v, &result))
}

// Release frees the stub before the garbage collector does. Later calls fail.
func (s *Stub) Release() {
	s.isGone = true
	if s.ref != nil {
		s.ref.Release()
	}
}

var errReleasedStub = errors.New(
	"durable: the Stub has been released; hint: get another one from its Namespace")
