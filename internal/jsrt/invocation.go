package jsrt

import (
	"context"
	"errors"
	"time"

	"flow.internal/capdo/internal/keepopen"
)

// Kind is the kind of an invocation; it must match the JavaScript half.
type Kind int32

// Kinds of invocation, with their arguments.
const (
	Construct Kind = iota // state, env; Index is the class
	Fetch                 // head (method, URL and headers), body or nil; stateless Worker: also env
	Alarm                 // scheduled time in ms, retry count, is retry
	Method                // the caller's arguments; Index is the method
	Test                  // of package durabletest, see OnTest
	Message               // WebSocket's number, WebSocket, whether it is text, bytes
	Close                 // WebSocket's number, WebSocket, code, reason, whether it was clean
	Err                   // WebSocket's number, WebSocket, the thrown value
	Scheduled             // cron expression, scheduled time in ms, controller, env
	Queue                 // queue's name, messages (id, time, attempts, message), batch, env
)

// Program serves workerd's events.
type Program interface {
	// Serve handles an invocation in its own goroutine and returns the value
	// for JavaScript.
	Serve(ctx context.Context, i *Invocation, args []any) (any, error)
	// Throw converts an error to the one that JavaScript throws.
	Throw(error) *Error
	// Describe returns the description of the entry module.
	Describe() map[string]any
	// Class, Name and State are used in messages. They return the name of an
	// object's class, the name of an invocation's function, and an object's
	// DurableObjectState.
	Class(c *Context) string
	Name(i *Invocation) string
	State(c *Context) *Ref
}

var (
	program Program
	serving bool // Run was called, so the program is complete
)

// Install sets the program that serves events after [Run] is called, and
// returns the previous one.
func Install(p Program) (before Program) {
	before, program = program, p
	return before
}

// OnTest sets the function that serves invocations of kind Test. Only test
// programs get them, and their main function never calls [Run].
func OnTest(serve func(ctx context.Context, i *Invocation, args []any) (any, error)) {
	onTest, serving = serve, true
}

var onTest func(context.Context, *Invocation, []any) (any, error)

// Invocation is one call from workerd into Go. It is the context.Context of its
// handler. It is canceled when the caller disconnects (with the cause
// [ErrCallerGone]) and when the invocation ends.
type Invocation struct {
	Kind  Kind
	Index int

	c        *Context
	id       int32
	size     int32  // upper bound of its arguments' size, in bytes
	args     []byte // its arguments, if they were in the inbox
	tasks    int    // goroutines that work for it
	bodies   int    // the goroutines among them that send the answer's body
	answered bool
	isOver   bool        // it is over, and JavaScript knows it
	next     *Invocation // of the same Context

	// The inner context is created on first use, because short handlers never
	// need it.
	ctx    context.Context
	stop   context.CancelCauseFunc
	ending error // cause of a cancellation before the inner context existed
	waits  *op   // promises that its goroutines wait for, linked by next

	// The context of the goroutines that Go has started; created on first use.
	taskCtx  context.Context
	stopTask context.CancelCauseFunc
}

var _ context.Context = (*Invocation)(nil)

func (c *Context) addInvocation(i *Invocation) { i.next, c.open = c.open, i }

func (c *Context) removeInvocation(i *Invocation) {
	for p := &c.open; *p != nil; p = &(*p).next {
		if *p == i {
			*p = i.next
			return
		}
	}
}

func (c *Context) invocation(id int32) *Invocation {
	for i := c.open; i != nil; i = i.next {
		if i.id == id {
			return i
		}
	}
	return nil
}

func (i *Invocation) context() context.Context {
	if i.ctx == nil {
		i.ctx, i.stop = context.WithCancelCause(context.Background())
		if i.ending != nil {
			i.stop(i.ending)
		}
	}
	return i.ctx
}

func (i *Invocation) cancel(cause error) {
	if i.ending == nil {
		i.ending = cause
	}
	for o := i.waits; o != nil; o = o.next {
		o.cancel(i.ending)
	}
	if i.ctx != nil {
		i.stop(cause)
	}
}

func (i *Invocation) addWait(o *op) { o.next, i.waits = i.waits, o }

func (i *Invocation) removeWait(o *op) {
	for p := &i.waits; *p != nil; p = &(*p).next {
		if *p == o {
			*p = o.next
			return
		}
	}
}

// Deadline reports that there is no deadline.
func (i *Invocation) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done is closed when the invocation is canceled.
func (i *Invocation) Done() <-chan struct{} { return i.context().Done() }

// Err returns nil until the invocation is canceled, then [context.Canceled].
func (i *Invocation) Err() error {
	if i.ending != nil {
		return context.Canceled
	}
	return nil
}

// Value returns the invocation itself for [FromContext].
func (i *Invocation) Value(key any) any {
	if key == (keepopen.Key{}) {
		return i
	}
	return i.context().Value(key)
}

// ErrCallerGone is the cause if the caller has disconnected.
var ErrCallerGone = errors.New("the caller has disconnected")

// FromContext returns the invocation that ctx belongs to, or nil.
func FromContext(ctx context.Context) *Invocation {
	i, _ := ctx.Value(keepopen.Key{}).(*Invocation)
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

// ErrTimeUp is the cause if a stateless invocation has used up the time that
// workerd gives it after its answer.
var ErrTimeUp = errors.New(
	"the time is up: a stateless invocation ends 30 s after its client has the answer, or has left; " +
		"a cron trigger or a batch of messages has 15 minutes")

// Go runs fn in a goroutine. It keeps the invocation and its I/O context open
// after the answer. The ctx of fn is not canceled when the caller disconnects.
// It is canceled with [ErrTimeUp] shortly before workerd ends a stateless
// invocation. If fn panics, the panic is logged.
func (i *Invocation) Go(fn func(context.Context)) {
	if i.taskCtx == nil {
		i.taskCtx, i.stopTask = context.WithCancelCause(context.WithoutCancel(i))
	}
	i.start(func() { fn(i.taskCtx) }, func() {})
}

// SendBody is like Go, for a function that sends the answer's body. The client
// has the whole answer when fn returns.
func (i *Invocation) SendBody(fn func()) {
	i.bodies++
	i.start(fn, func() { i.bodies-- })
}

func (i *Invocation) start(fn, ended func()) {
	i.tasks++
	go func() {
		defer i.done()
		defer ended()
		defer func() {
			if p := recover(); p != nil {
				panicError(p)
			}
		}()
		fn()
	}()
}

// timeUp cancels the contexts of all goroutines that still work for the
// invocation.
func (i *Invocation) timeUp() {
	i.cancel(ErrTimeUp)
	i.endTasks(ErrTimeUp)
}

func (i *Invocation) endTasks(cause error) {
	if i.stopTask != nil {
		i.stopTask(cause)
	}
}
