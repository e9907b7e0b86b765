package jsrt

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"
)

// Imports, from runtime.mjs. Only transact calls back into Go.

//go:wasmimport capdo intern
func jsIntern(name string) int32

//go:wasmimport capdo call
func jsCall(context, ref, name, get int32, buf unsafe.Pointer, size, capacity int32) int32

//go:wasmimport capdo transact
func jsTransact(context, ref int32, buf unsafe.Pointer, capacity int32) int32

//go:wasmimport capdo size
func jsSize(context, value int32) int32

//go:wasmimport capdo take
func jsTake(context, value int32, buf unsafe.Pointer, size int32) int32

//go:wasmimport capdo discard
func jsDiscard(context, value int32)

//go:wasmimport capdo reply
func jsReply(context, invocation int32, buf unsafe.Pointer, size, phase int32)

//go:wasmimport capdo proceed
func jsProceed(context, invocation, phase int32)

//go:wasmimport capdo wake
func jsWake(context int32)

//go:wasmimport capdo free
func jsFree(context, ref int32)

// Exports. Each only records the event. Then JavaScript calls the Go runtime's
// own resume, which runs the goroutines.

// inbox is where JavaScript writes a small value that it passes to an export,
// which then gets the value's size negated.
var inbox [bufferSize]byte

//go:wasmexport capdo_inbox
func exportInbox() int32 { return int32(uintptr(unsafe.Pointer(&inbox))) }

// received returns the value in the inbox, in a scratch buffer, or nil if the
// size says that JavaScript has kept it.
func received(size int32) []byte {
	if size >= 0 {
		return nil
	}
	b := takeBuffer()
	return b[:copy(b, inbox[:-size])]
}

// decodeReceived decodes what received has returned, and frees its buffer.
func decodeReceived(d *decoder, b []byte) (any, error) {
	d.b = b
	v, err := outcome(d)
	giveBuffer(b[:cap(b)])
	return v, err
}

//go:wasmexport capdo_invoke
func exportInvoke(context, id, size, kind, index int32) {
	pin()
	i := &Invocation{c: enterContext(context), id: id, size: size, Kind: Kind(kind &^ stateless),
		Index: int(index), tasks: 1}
	i.args = received(size)
	i.c.ends = kind&stateless != 0
	i.c.addInvocation(i)
	start(i)
}

// stateless is added to an invocation's kind if its context ends with it. It
// must match context.mjs.
const stateless = 1 << 8

//go:wasmexport capdo_settle
func exportSettle(context, value, size int32) {
	pin()
	if !enterContext(context).settle(pending(value), size) {
		jsDiscard(context, value)
	}
}

//go:wasmexport capdo_tick
func exportTick(context int32) {
	pin()
	enterContext(context)
}

//go:wasmexport capdo_cancel
func exportCancel(context, id int32) {
	pin()
	if i := enterContext(context).invocation(id); i != nil {
		i.cancel(ErrCallerGone)
	}
}

//go:wasmexport capdo_look
func exportLook(context, patience int32) {
	pin()
	if c := enterContext(context); !c.isLooking {
		c.isLooking = true
		go c.look(time.Duration(patience) * time.Millisecond)
	}
}

//go:wasmexport capdo_time_up
func exportTimeUp(context, id int32) {
	pin()
	if i := enterContext(context).invocation(id); i != nil {
		i.timeUp()
	}
}

//go:wasmexport capdo_outside
func exportOutside(int32) {
	pin()
	current = nil
}

//go:wasmexport capdo_deadlock
func exportDeadlock(context, id int32) {
	pin()
	if i := enterContext(context).invocation(id); i != nil {
		go i.deadlocked()
	}
}

//go:wasmexport capdo_close
func exportClose(context int32) {
	pin()
	enterContext(context).close()
}

//go:wasmexport capdo_begin
func exportBegin() {
	pin()
	transacting.begin()
}

//go:wasmexport capdo_end
func exportEnd(context int32) int32 { return flag(contexts[context].tx.end()) }

//go:wasmexport capdo_describe
func exportDescribe() {
	if !serving {
		return // main waits before it calls Run; the caller gets no answer
	}
	b, err := encode(nil, nil, program.Describe())
	if err != nil {
		panic(err)
	}
	jsReply(0, 0, unsafe.Pointer(&b[0]), int32(len(b)), phaseOver)
}

// enterContext makes a context current, and wakes the goroutines that wait for
// it.
func enterContext(id int32) *Context {
	c := contexts[id]
	if c == nil {
		c = &Context{id: id}
		contexts[id] = c
	}
	current = c
	c.ready()
	return c
}

// names are the method and property names to which JavaScript has given a
// number. A caller can choose a method's name, so their number is limited.
var names = map[string]int32{}

const maxNames = 512

// nameOf returns a name's number, or false if it has none. A name that is not
// UTF-8 has no number: it is sent as a value and refused.
func nameOf(s string) (number int32, ok bool) {
	mu.Lock()
	defer mu.Unlock()
	n, ok := names[s]
	if !ok && len(names) < maxNames && utf8.ValidString(s) {
		n, ok = jsIntern(s), true
		names[s] = n
	}
	return n, ok
}

// buffers are scratch space for arguments and results. Each goroutine takes a
// buffer of its own, because an allocation may switch to another goroutine.
var buffers struct {
	free [16][]byte
	n    int
}

const bufferSize = 4096

func takeBuffer() []byte {
	if buffers.n == 0 {
		return make([]byte, bufferSize)
	}
	buffers.n--
	return buffers.free[buffers.n]
}

func giveBuffer(b []byte) {
	if len(b) == bufferSize && buffers.n < len(buffers.free) {
		buffers.free[buffers.n] = b
		buffers.n++
	}
}

func call(r *Ref, name string, get bool, args []any) (any, error) {
	number, ok := nameOf(name)
	if !ok {
		number, args = -1, append([]any{name}, args...)
	}
	b := takeBuffer()
	size := 0
	if !get || !ok {
		enc, err := encodeInPlace(b[:0], r.c, args)
		if err != nil {
			giveBuffer(b)
			return nil, err
		}
		size = len(enc)
		if size > len(b) {
			giveBuffer(b)
			b = enc[:cap(enc)]
		}
	}
	if err := r.c.enter(); err != nil {
		giveBuffer(b)
		return nil, err
	}
	n := jsCall(r.c.id, r.index, number, flag(get), unsafe.Pointer(&b[0]),
		int32(size), int32(len(b)))
	v, err := unpack(r.c, b, n)
	giveBuffer(b)
	// Once r and args are collected, their numbers can mean other values.
	runtime.KeepAlive(r)
	runtime.KeepAlive(args)
	return v, err
}

func transact(r *Ref, fn func() error) error {
	b := takeBuffer()
	defer giveBuffer(b)
	t := &transaction{c: r.c, fn: fn, mark: marked()}
	if err := r.c.enter(); err != nil {
		return err
	}
	transacting = t
	n := jsTransact(r.c.id, r.index, unsafe.Pointer(&b[0]), int32(len(b)))
	runtime.KeepAlive(r)
	if _, err := unpack(r.c, b, n); err != nil && t.result() == nil {
		return err
	}
	return t.result()
}

// transacting is the transaction whose function JavaScript is about to call
// back.
var transacting *transaction

// unpack reads an outcome. If n is negative, JavaScript keeps the value under
// the number -n; otherwise it is the first n bytes of b.
func unpack(c *Context, b []byte, n int32) (any, error) {
	if n < 0 {
		return take(c, -n, jsSize(c.id, -n), nil)
	}
	return outcome(&decoder{b: b[:n], c: c})
}

// take returns the outcome of a promise that has settled.
func (o *op) take(c *Context, p pending) (any, error) {
	if o.received != nil {
		return decodeReceived(&decoder{c: c}, o.received)
	}
	return take(c, int32(p), o.size, o.buf)
}

// take fetches a value that JavaScript keeps, into buf, or into new memory if
// buf is too small. Byte slices in the value alias that memory.
func take(c *Context, value, size int32, buf []byte) (any, error) {
	return takeInto(&decoder{c: c, b: buf}, value, size)
}

func takeInto(d *decoder, value, size int32) (any, error) {
	c, b := d.c, d.b
	if len(b) < max(int(size), 1) {
		b, d.fresh = make([]byte, max(size, 1)), true
	}
	switch jsTake(c.id, value, unsafe.Pointer(&b[0]), size) {
	case 0:
		return nil, errMalformed
	case -1:
		return nil, errChanged
	}
	d.b, d.alias = b[:size], true
	return outcome(d)
}

func release(c *Context, index int32) {
	if !c.closed {
		jsFree(c.id, index)
	}
}

func wake(c *Context) { jsWake(c.id) }

func discard(c *Context, p pending) { jsDiscard(c.id, int32(p)) }

func goroutine() uintptr

func (i *Invocation) work() {
	setMark(&i.c.mark)
	defer i.done()
	defer i.Reply(nil, errGoexit) // unless it was answered
	v, err := i.run()
	i.Reply(v, err)
}

var errNotRunning = errors.New("the Go program waits for something before it calls durable.Run")

var errNoTests = errors.New(
	"durable.Run was called in a test program that does not import durable/durabletest; " +
		"a test program needs that package")

var errGoexit = errors.New("the handler ended its goroutine with runtime.Goexit")

// run calls the program. It turns a panic into an error for the caller, and the
// object continues to work.
func (i *Invocation) run() (v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError(p)
		}
	}()
	args, err := i.takeArgs()
	if err != nil {
		return nil, err
	}
	if !serving {
		return nil, errNotRunning
	}
	switch {
	case i.Kind == Test && onTest == nil:
		return nil, errNoTests
	case i.Kind == Test:
		return onTest(i, i, args.([]any))
	}
	return program.Serve(i, i, args.([]any))
}

func (i *Invocation) takeArgs() (any, error) {
	d := &decoder{c: i.c, brief: i.c.ends}
	if i.args == nil {
		return takeInto(d, i.id, i.size)
	}
	b := i.args
	i.args = nil
	return decodeReceived(d, b)
}

// The phases of an invocation; they must match context.mjs.
const (
	phaseTasks int32 = iota // goroutines, after the client has its whole answer
	phaseOver
	phaseBody // the answer's body is being sent
)

// phase returns the invocation's phase after one of its goroutines has ended.
func (i *Invocation) phase() int32 {
	switch {
	case i.tasks <= 1:
		return phaseOver
	case i.bodies > 0:
		return phaseBody
	}
	return phaseTasks
}

func (i *Invocation) reply(v any, err error) {
	b := takeBuffer()
	if err != nil {
		v = program.Throw(err)
	}
	enc, encErr := encodeInPlace(b[:0], i.c, v)
	if encErr != nil {
		enc, _ = encode(b[:0], i.c, &Error{Name: "Error", Message: encErr.Error()})
	}
	phase := i.phase()
	i.isOver = phase == phaseOver // only its handler still works for it
	jsReply(i.c.id, i.id, unsafe.Pointer(&enc[0]), int32(len(enc)), phase)
	runtime.KeepAlive(v)
	giveBuffer(b)
}

func (i *Invocation) done() {
	phase := i.phase()
	i.tasks--
	if i.tasks > 0 {
		if i.answered {
			jsProceed(i.c.id, i.id, phase)
		}
		return
	}
	i.cancel(context.Canceled)
	i.endTasks(context.Canceled)
	i.c.removeInvocation(i)
	if !i.isOver {
		jsProceed(i.c.id, i.id, phaseOver)
	}
	if i.c.ends {
		i.c.close()
	}
}

func flag(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

func (i *Invocation) deadlocked() {
	print("capdo: " + ErrDeadlock.Error() + "\n" + stack(true) + "\n")
	i.Reply(nil, ErrDeadlock)
	i.cancel(ErrDeadlock)
	i.tasks = 1
	i.done()
}

func panicError(p any) error {
	msg := "panic: " + panicText(p)
	// one write, one entry in the log
	print(msg + " [recovered by capdo; the caller gets it as an error]\n" + stack(false) + "\n")
	return errors.New(msg)
}

func stack(all bool) string {
	b := make([]byte, 64<<10)
	return strings.TrimSuffix(string(b[:runtime.Stack(b, all)]), "\n")
}

func panicText(p any) string {
	switch p := p.(type) {
	case error:
		return p.Error()
	case string:
		return p
	case interface{ String() string }:
		return p.String()
	}
	return "(a value that is neither an error nor a string)"
}

// Run serves JavaScript's events. It does not return, except in a test program.
func Run() error {
	if onTest != nil {
		return nil
	}
	serving = true
	select {}
}
