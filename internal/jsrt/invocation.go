package jsrt

import (
	"context"
	"errors"
)

// Kind says what an invocation is for; must match shim.mjs.
type Kind int32

// Kinds of invocation, with what their arguments are.
const (
	Construct Kind = iota // state, env; Index is the class
	Fetch                 // method, url, headers, body or nil; in the stateless Worker also env
	Alarm                 // scheduled time in ms, retry count, is retry
	Method                // the caller's arguments; Index is the method
)

// Program is what workerd's events are served by.
type Program interface {
	// Serve handles an invocation in a goroutine of its own; what it returns is what JavaScript gets.
	Serve(ctx context.Context, i *Invocation, args []any) (any, error)
	// Throw turns an error into what JavaScript gets thrown.
	Throw(error) *Error
	// Describe says what entry module the program needs.
	Describe() map[string]any
}

var program Program

// Invocation is one call from workerd into Go.
type Invocation struct {
	Kind  Kind
	Index int

	c        *Context
	id       int32
	ctx      context.Context
	cancel   context.CancelCauseFunc
	tasks    int // goroutines that work for it
	answered bool
}

// ErrCallerGone is the cause of a context whose caller has disconnected.
var ErrCallerGone = errors.New("the caller has disconnected")

type invocationKey struct{}

// FromContext returns the invocation that ctx belongs to, or nil.
func FromContext(ctx context.Context) *Invocation {
	i, _ := ctx.Value(invocationKey{}).(*Invocation)
	return i
}

// Context returns the I/O context that the invocation runs in.
func (i *Invocation) Context() *Context { return i.c }

// Reply answers the invocation; only the first answer counts.
func (i *Invocation) Reply(v any, err error) {
	if !i.answered {
		i.answered = true
		i.reply(v, err)
	}
}

// Go runs fn in a goroutine that keeps the invocation open, and its I/O context alive, after it was answered. Its ctx is not cancelled
// when the caller goes away. A panic in fn is logged.
func (i *Invocation) Go(fn func(context.Context)) {
	i.tasks++
	go func() {
		defer i.done()
		defer func() {
			if p := recover(); p != nil {
				panicError(p)
			}
		}()
		fn(context.WithoutCancel(i.ctx))
	}()
}
