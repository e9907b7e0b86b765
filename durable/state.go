package durable

import (
	"context"
	"errors"

	"flow.internal/capdo/internal/jsrt"
	"flow.internal/capdo/internal/section"
)

// State is an object's access to itself: its id, its storage, its sockets, and
// methods that reset it or hold back its events.
type State struct {
	ref     *jsrt.Ref
	storage *Storage
	sockets sockets

	hasSocketHandlers bool // of its class
}

func newState(ref *jsrt.Ref) (*State, error) {
	v, err := ref.Get("storage")
	if err != nil {
		return nil, classify(err)
	}
	s := v.(*jsrt.Ref)
	all := &struct { // one allocation for the three
		State
		Storage
		backend
	}{State: State{ref: ref}, backend: backend{storage: s}}
	all.Storage.AsyncKV = AsyncKV{s, &all.backend}
	all.State.storage = &all.Storage
	return &all.State, nil
}

// ID returns the object's id. If the object was called by a name of at most
// 1,024 bytes, the id has the name.
func (s *State) ID() (*ID, error) {
	v, err := s.ref.Get("id")
	return newID(nil, v, err)
}

// Storage returns the object's storage.
func (s *State) Storage() *Storage { return s.storage }

// Props returns the properties that the object's class was instantiated with,
// or an empty map if there are none. Their types are those of [KV]; others are
// refused with [ErrValue].
func (s *State) Props() (any, error) {
	v, err := s.ref.Get("props")
	if err != nil {
		return nil, classify(err)
	}
	return v, checkValue(v)
}

// BlockConcurrencyWhile runs fn while no other event is delivered to the
// object. If fn returns an error or panics, the object is reset. After 30 s
// workerd resets it. fn may wait for I/O that it began itself, and for
// goroutines of other objects, which wake it with a delay of up to 50 ms. It
// must not wait for another event of this object, because that event is held
// back. (A constructor does not need BlockConcurrencyWhile: events are held
// back while it runs.)
func (s *State) BlockConcurrencyWhile(ctx context.Context, fn func() error) error {
	return runExclusive(ctx, s.ref, "blockConcurrencyWhile", func(*jsrt.Ref) error { return fn() })
}

// AbortOptions change Abort; nil means the zero value.
type AbortOptions struct {
	// SkipAlarmRetry: if Abort ends an alarm's handler, the alarm is not
	// delivered again.
	SkipAlarmRetry bool
}

// Abort resets the object. Its open calls fail with [ErrObjectReset] and the
// reason. Writes that were not yet confirmed to a caller are lost, and the next
// event gets a new instance. Abort returns only when the instance is gone, with
// [ErrContextClosed].
func (s *State) Abort(ctx context.Context, reason string, o *AbortOptions) error {
	options := map[string]any{"retryAlarm": o == nil || !o.SkipAlarmRetry} // workerd's default, too
	_, err := s.ref.Context().Host().Await(ctx, "abort", reason, options)
	return classify(err)
}

// enterSection is [section.Enter].
func enterSection(ctx context.Context, storage any) (inside bool, leave func(), err error) {
	c := storage.(*Storage).ref.Context()
	switch err := c.EnterSection(ctx); {
	case errors.Is(err, ErrNested):
		return true, func() {}, nil
	case err != nil:
		return false, nil, err
	}
	return false, c.LeaveSection, nil
}

func init() { section.Enter = enterSection }

// runExclusive runs fn as the callback of target's asynchronous method, and
// passes the callback's argument to fn. An object runs one such section at a
// time; others wait for it.
func runExclusive(
	ctx context.Context, target *jsrt.Ref, method string, fn func(*jsrt.Ref) error,
) error {
	c := target.Context()
	if err := c.EnterSection(ctx); err != nil {
		return err
	}
	defer c.LeaveSection()
	whole := context.WithoutCancel(ctx) // what has begun is ended in order
	v, err := c.BeginSection(whole, "runExclusive", target, method)
	if err != nil {
		return classify(err)
	}
	parts := v.([]any)
	argument, _ := parts[0].(*jsrt.Ref)
	callback := parts[1].(*jsrt.Ref)
	returned := false
	defer func() {
		if !returned { // a panic or runtime.Goexit goes on
			callback.Await(whole, "end", "the function did not return")
		}
	}()
	if err = context.Cause(ctx); err == nil {
		err = fn(argument)
	}
	returned = true
	if err != nil {
		callback.Await(whole, "end", throw(err).Message)
		return err
	}
	_, err = callback.Await(whole, "end", nil)
	return classify(err)
}
