package jsrt

import (
	"context"
	"runtime"
	"sync"
)

// Context is an I/O context of workerd: one Durable Object instance, or one
// invocation of the stateless Worker.
type Context struct {
	// Object is what the program attached when the instance was constructed;
	// nil in a stateless context.
	Object any

	id      int32
	host    Ref // see Host
	closed  bool
	ends    bool        // the context ends with its only invocation: it is stateless
	brief   int         // number of references without a cleanup, see maxBrief
	open    *Invocation // invocations that are not over, linked by next
	first   *waiter     // goroutines that need this context to be current
	last    *waiter
	ops     map[pending]*op // promises that goroutines of this context wait for; guarded by mu
	tx      *transaction    // the innermost synchronous transaction, while its function runs
	givenUp *transaction    // abandoned transactions whose goroutine still lives, linked by next
	section criticalSection
	mark    mark // of goroutines that work for the context outside of sections

	objectID  string // set when a call of the object has been waiting for long, see look
	isLooking bool
}

// mu guards the maps that goroutines share. There is one thread and no
// preemption, but an allocation may switch to another goroutine. An export
// never waits for mu: while JavaScript runs, every goroutine waits for an
// event.
var mu sync.Mutex

// waiter is a goroutine that waits until its context is current. The list of
// waiters needs no allocation, hence no lock.
type waiter struct {
	ready chan struct{}
	next  *waiter
}

// op is a promise that a goroutine waits for.
type op struct {
	settled  chan struct{} // buffered, so that settling never waits
	call     *objectCall   // the call that the promise answers, or nil
	received []byte        // the outcome, if it was in the inbox
	size     int32         // upper bound of the outcome's size, in bytes
	buf      []byte        // for the outcome, if it fits
	closed   bool          // the context ended first
	ending   error         // why the waiting invocation was canceled first
	next     *op           // of the same invocation
}

// Ref refers to a value that stays in JavaScript. It works only in its own
// context; operations check that.
type Ref struct {
	c        *Context
	index    int32
	isObject bool // it is a stub, see MarkObject
	cleanup  runtime.Cleanup
}

// IsStateless reports whether the context ends with its only invocation.
func (c *Context) IsStateless() bool { return c != nil && c.ends }

// Host is the object of host.mjs. Its methods call constructors, or combine
// several calls.
func (c *Context) Host() *Ref {
	if c == nil {
		return nil
	}
	c.host.c = c
	return &c.host
}

// Context returns the context that the reference belongs to.
func (r *Ref) Context() *Context {
	if r == nil {
		return nil
	}
	return r.c
}

// Get reads a property.
func (r *Ref) Get(name string) (any, error) {
	v, err := r.call(name, true, nil)
	return orNil(v), err
}

// Property reads a property. ok is false if it is undefined; null is a value.
func (r *Ref) Property(name string) (v any, ok bool, err error) {
	return found(r.call(name, true, nil))
}

// Call calls a synchronous method. It panics if the method returns a promise,
// because the promise's outcome would be lost; see [Ref.Await].
func (r *Ref) Call(name string, args ...any) (any, error) {
	v, err := r.call(name, false, args)
	if _, ok := v.(pending); ok {
		panic("jsrt: " + name + " returns a promise; use Await")
	}
	return orNil(v), err
}

// Lookup is Call for a method that returns undefined if there is no value; then
// ok is false. null is a value.
func (r *Ref) Lookup(name string, args ...any) (v any, ok bool, err error) {
	return found(r.call(name, false, args))
}

// AwaitLookup is [Ref.Lookup] for a method that returns a promise.
func (r *Ref) AwaitLookup(
	ctx context.Context, name string, args ...any,
) (v any, ok bool, err error) {
	v, _, err = r.send(ctx, nil, name, args)
	return found(v, err)
}

func found(v any, err error) (any, bool, error) {
	_, isUndefined := v.(undefined)
	return orNil(v), err == nil && !isUndefined, err
}

func orNil(v any) any {
	if _, ok := v.(undefined); ok {
		return nil
	}
	return v
}

// Await calls a method. If the method returns a promise, Await waits for it. If
// ctx ends first, Await returns the cause of ctx and drops the promise's
// outcome.
func (r *Ref) Await(ctx context.Context, name string, args ...any) (any, error) {
	v, _, err := r.send(ctx, nil, name, args)
	return orNil(v), err
}

// AwaitInto is Await. It reads the outcome into buf if that is large enough;
// byte slices in the outcome then refer to buf.
func (r *Ref) AwaitInto(ctx context.Context, buf []byte, name string, args ...any) (any, error) {
	v, _, err := r.send(ctx, buf, name, args)
	return orNil(v), err
}

// Send is Await. It also reports whether the method was called and did not
// throw synchronously.
func (r *Ref) Send(ctx context.Context, name string, args ...any) (v any, sent bool, err error) {
	v, sent, err = r.send(ctx, nil, name, args)
	return orNil(v), sent, err
}

func (r *Ref) send(
	ctx context.Context, buf []byte, name string, args []any,
) (v any, sent bool, err error) {
	if ctx.Err() != nil {
		return nil, false, context.Cause(ctx)
	}
	v, err = r.call(name, false, args)
	if p, ok := v.(pending); ok {
		v, err = r.c.await(ctx, p, r.objectCalled(ctx, name, args), buf)
		return v, true, err
	}
	return v, err == nil, err
}

func (r *Ref) call(name string, get bool, args []any) (any, error) {
	if r == nil { // a native program has only nil references
		return nil, errUnsupported
	}
	if err := r.c.enter(); err != nil {
		return nil, err
	}
	return call(r, name, get, args)
}

// Transact runs fn inside r.transactionSync. If fn returns nil, its writes are
// kept; if fn returns an error or panics, they are rolled back. Other
// goroutines do no I/O in this context while fn runs. If fn waits, Transact
// rolls back and fails with [ErrTransactionParked]; later operations of fn's
// goroutine in this context fail with the same error.
func (r *Ref) Transact(fn func() error) error {
	if r == nil {
		return errUnsupported
	}
	if err := r.c.enter(); err != nil {
		return err
	}
	return transact(r, fn)
}

// Release lets JavaScript's garbage collector free the value. Without Release,
// that happens when Go's garbage collector frees the reference.
func (r *Ref) Release() {
	if r == nil || r.index <= 0 {
		return
	}
	r.cleanup.Stop()
	release(r.c, r.index)
	r.index = released
}

// released is the index of a released reference: JavaScript refuses it.
const released = -1

// maxBrief is the number of references of a stateless context that get no
// cleanup. They live as long as the context. Most contexts end soon, and a
// cleanup takes time.
const maxBrief = 16

func newRef(c *Context, index int32) *Ref {
	r := &Ref{c: c, index: index}
	if c.IsStateless() && c.brief < maxBrief {
		c.brief++
		return r
	}
	r.cleanup = runtime.AddCleanup(r, func(index int32) { release(c, index) }, index)
	return r
}

// enter returns when c is current. Usually that is at once; otherwise it waits
// until JavaScript has entered c. A later allocation may switch to another
// goroutine, which may be in a transaction or run in another context's turn. So
// callers call enter again right before they call into JavaScript.
func (c *Context) enter() error {
	for {
		switch {
		case c.closed:
			return ErrContextClosed
		case c.section.holdsBack():
			c.section.wait()
		case c != current:
			c.park()
		case c.tx != nil || c.givenUp != nil:
			if wait, err := c.checkTransaction(); err != nil || !wait {
				return err
			}
			c.park()
		default:
			return nil
		}
	}
}

// current is the context whose code JavaScript is running. It is nil in
// callbacks of package syscall/js. Exports set it.
var current *Context

// contexts holds all contexts that are not closed.
var contexts = map[int32]*Context{}

func (c *Context) park() {
	w := &waiter{ready: make(chan struct{}, 1)}
	if c.first == nil {
		c.first = w
	} else {
		c.last.next = w
	}
	if c.last = w; c.first == w {
		wake(c)
	}
	<-w.ready
}

// ready wakes the goroutines that wait for this context.
func (c *Context) ready() {
	w := c.first
	c.first, c.last = nil, nil
	for ; w != nil; w = w.next {
		w.ready <- struct{}{}
	}
}

func (c *Context) await(
	ctx context.Context, p pending, call *objectCall, buf []byte,
) (any, error) {
	o := &op{settled: make(chan struct{}, 1), call: call, buf: buf}
	if call != nil {
		call.number = p
	}
	c.addOp(p, o)
	if i, ok := ctx.(*Invocation); ok {
		return c.awaitInvocation(i, p, o)
	}
	select {
	case <-o.settled:
	case <-ctx.Done():
		if c.removeOp(p) == nil { // it has settled, too; nobody takes the value
			discard(c, p)
		}
		return nil, context.Cause(ctx)
	}
	if o.closed {
		return nil, ErrContextClosed
	}
	return o.take(c, p)
}

// awaitInvocation does not create the invocation's inner context. Creating one
// and a select take longer than everything else.
func (c *Context) awaitInvocation(i *Invocation, p pending, o *op) (any, error) {
	if i.ending != nil { // it was canceled after the call
		o.cancel(i.ending)
	}
	i.addWait(o)
	<-o.settled
	i.removeWait(o)
	switch {
	case o.closed:
		return nil, ErrContextClosed
	case o.ending == nil:
		return o.take(c, p)
	case c.removeOp(p) == nil: // it has settled, too; nobody takes the value
		discard(c, p)
	}
	return nil, o.ending
}

// cancel wakes the goroutine that waits for the promise, unless the promise has
// settled.
func (o *op) cancel(cause error) {
	select {
	case o.settled <- struct{}{}:
		o.ending = cause
	default:
	}
}

// settle wakes the goroutine that waits for the promise, unless a cancellation
// has already done so.
func (o *op) settle() {
	select {
	case o.settled <- struct{}{}:
	default:
	}
}

func (c *Context) addOp(p pending, o *op) {
	mu.Lock()
	defer mu.Unlock()
	if c.ops == nil {
		c.ops = map[pending]*op{}
	}
	c.ops[p] = o
}

func (c *Context) removeOp(p pending) *op {
	mu.Lock()
	defer mu.Unlock()
	o := c.ops[p]
	delete(c.ops, p)
	return o
}

// settle is called when a promise has settled. It reports whether a goroutine
// still waits for it.
func (c *Context) settle(p pending, size int32) bool {
	o := c.removeOp(p)
	if p == c.section.beginning {
		c.section.beginning, c.section.hasBegun = 0, true
	}
	if o != nil {
		o.size, o.received = size, received(size)
		o.settle()
	}
	return o != nil
}

// close ends the context. Nothing waits for it any longer, and its handlers'
// contexts end. (Goroutines that waited for their turn were woken before, and
// find the context closed.)
func (c *Context) close() {
	if c.closed {
		return
	}
	c.closed = true
	c.Object = nil
	delete(contexts, c.id)
	if objects[c.objectID] == c {
		delete(objects, c.objectID)
	}
	for _, o := range c.ops {
		o.closed = true
		o.settle()
	}
	c.ops = nil
	c.section.release()
	for i := c.open; i != nil; i = i.next {
		i.cancel(ErrContextClosed)
		i.endTasks(ErrContextClosed)
	}
}
