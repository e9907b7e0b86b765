package durable

import (
	"context"
	"errors"
	"strconv"
	"time"

	"flow.internal/capdo/internal/jsname"
	"flow.internal/capdo/internal/jsrt"
	"flow.internal/capdo/internal/section"
)

// Register declares a Durable Object class under its name in the wrangler
// config. construct runs once per instance, and again after an eviction. It
// runs before any event is delivered; events are held back while it waits. If
// it returns an error, the object is reset and the waiting calls fail.
//
// The class receives the events for which T has a handler: [Fetcher],
// [Alarmer], [WebSocketMessager], [WebSocketCloser], [WebSocketErrorHandler].
// methods are its RPC methods.
//
// Register panics if the name or a method's name is taken, is not an
// identifier, or has another meaning for workerd or JavaScript. It also panics
// if T has a method with a handler's name and another signature, or if only *T
// has handlers.
func Register[T any](
	name string,
	construct func(ctx context.Context, state *State, env *Env) (T, error),
	methods ...RPCMethod[T],
) {
	var zero T
	checkHandlers(name, zero, &zero)
	handled := handlersOf(zero)
	c := &class{name: name, events: eventsOf(handled),
		hasSocketHandlers: hasSocketHandlers(handled)}
	c.construct = func(ctx context.Context, state *State, env *Env) (any, error) {
		return construct(ctx, state, env)
	}
	for _, m := range methods {
		c.addMethod(m.name, m.retryable,
			func(object any, ctx context.Context, args []any) (any, error) {
				return m.fn(object.(T), ctx, args)
			})
	}
	program.addClass(c)
}

// RPCMethod is a method of T that Go and JavaScript Workers can call; see
// [Method] and [Func].
type RPCMethod[T any] struct {
	name      string
	fn        func(object T, ctx context.Context, args []any) (any, error)
	retryable bool
}

// Retryable marks the method as safe to run more than once. workerd may then
// repeat a call whose connection was lost after the method had begun. Without
// the mark it repeats only calls that were not delivered.
//
// https://developers.cloudflare.com/durable-objects/best-practices/error-handling/
func (m RPCMethod[T]) Retryable() RPCMethod[T] {
	m.retryable = true
	return m
}

// Method exports fn, usually a method expression such as (*Counter).Increment,
// as an RPC method. It takes the bytes that a caller passes to [Stub.Call], and
// returns bytes, up to 32 MiB each. An error reaches the caller with its
// message; fields of an [*Error] are kept.
//
// https://developers.cloudflare.com/workers/runtime-apis/rpc/
func Method[T any](
	name string,
	fn func(object T, ctx context.Context, args []byte) ([]byte, error),
) RPCMethod[T] {
	return RPCMethod[T]{name: name, fn: func(
		object T, ctx context.Context, args []any,
	) (any, error) {
		in, err := bytesArgument(args)
		if err != nil {
			return nil, err
		}
		out, err := fn(object, ctx, in)
		return out, err
	}}
}

// Fetcher is implemented by objects that serve fetch.
type Fetcher interface {
	Fetch(ctx context.Context, r *Request) (*Response, error)
}

// Alarmer is implemented by objects that set alarms. An alarm is delivered at
// least once: after an error it is retried up to 6 times, after 2 s and then
// twice as long each time.
//
// https://developers.cloudflare.com/durable-objects/api/alarms/
type Alarmer interface {
	Alarm(ctx context.Context, info AlarmInfo) error
}

// AlarmInfo says which delivery of an alarm this is.
type AlarmInfo struct {
	ScheduledTime time.Time // when it was due, in ms
	RetryCount    int       // how many deliveries failed before
	IsRetry       bool
}

// Events that a class handles.
const (
	onFetch = 1 << iota
	onAlarm
	onMessage
	onClose
	onError
)

var eventNames = [...]string{"fetch", "alarm", "webSocketMessage", "webSocketClose",
	"webSocketError"}

func handlersOf(object any) (events uint8) {
	if _, ok := object.(Fetcher); ok {
		events |= onFetch
	}
	if _, ok := object.(Alarmer); ok {
		events |= onAlarm
	}
	if _, ok := object.(WebSocketMessager); ok {
		events |= onMessage
	}
	if _, ok := object.(WebSocketCloser); ok {
		events |= onClose
	}
	if _, ok := object.(WebSocketErrorHandler); ok {
		events |= onError
	}
	return events
}

func hasSocketHandlers(events uint8) bool { return events >= onMessage }

// eventsOf returns the names of events. A class that handles any event of
// WebSockets always gets closes and errors as well, to answer the close and to
// remove the socket.
func eventsOf(events uint8) (names []any) {
	if hasSocketHandlers(events) {
		events |= onClose | onError
	}
	for i, name := range eventNames {
		if events&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// HandleFetch makes fn serve the stateless Worker's fetch events. It panics if
// it is called twice.
func HandleFetch(
	fn func(ctx context.Context, env *Env, r *Request) (*Response, error),
) {
	if program.fetch != nil {
		panic("durable: HandleFetch called twice")
	}
	program.fetch = fn
}

// Run serves until the isolate ends. Without workerd it returns an error that
// wraps [errors.ErrUnsupported]. In a test program that uses package
// durabletest it returns nil at once, so that TestMain can call main to
// register everything.
func Run() error { return jsrt.Run() }

// WaitUntil runs fn in a goroutine. The invocation that ctx belongs to stays
// open until fn returns, even after its response: fn may do I/O, and its ctx is
// not canceled when the caller disconnects. WaitUntil panics if ctx does not
// come from a handler.
//
// In a stateless Worker, fn has about 28 s after the client has received the
// whole response or has disconnected, because Cloudflare ends such work after
// 30 s. After 24 s its ctx ends with [ErrTimeUp]. After 28 s its I/O fails with
// [ErrContextClosed]. Do longer work in an object or an alarm. [HandleScheduled]
// and [HandleQueue] say how long their events take.
//
// https://developers.cloudflare.com/workers/runtime-apis/context/#waituntil
func WaitUntil(ctx context.Context, fn func(ctx context.Context)) {
	i := jsrt.FromContext(ctx)
	if i == nil {
		panic("durable: WaitUntil needs the context of a handler")
	}
	i.Go(fn)
}

// class is a registered Durable Object class.
type class struct {
	name              string
	construct         func(context.Context, *State, *Env) (any, error)
	events            []any
	hasSocketHandlers bool
	methods           []string
	retryable         []any // those of the methods that are
	calls             []func(object any, ctx context.Context, args []any) (any, error)
}

func (c *class) addMethod(
	name string, retryable bool, call func(any, context.Context, []any) (any, error),
) {
	if why := unfitForMethod(name); why != "" {
		panic("durable: class " + c.name + ": " + strconv.Quote(name) +
			" cannot be the name of an RPC method: " + why)
	}
	for _, m := range c.methods {
		if m == name {
			panic("durable: class " + c.name + " has two methods " + name)
		}
	}
	c.methods = append(c.methods, name)
	if retryable {
		c.retryable = append(c.retryable, name)
	}
	c.calls = append(c.calls, call)
}

// worker is the whole program, as the runtime sees it.
type worker struct {
	classes []*class
	fetch   func(context.Context, *Env, *Request) (*Response, error)

	// nil unless the program handles these events. They are functions so that
	// the linker leaves out the code of those that it does not handle.
	scheduled, queue func(ctx context.Context, args []any) error
}

var program worker

func init() { jsrt.Install(&program) }

func (w *worker) addClass(c *class) {
	if !jsname.IsIdentifier(c.name) || jsname.IsReserved(c.name) {
		panic("durable: " + strconv.Quote(c.name) +
			" cannot be the name of a class (letters and digits, beginning with a letter, " +
			"and no reserved word of JavaScript)")
	}
	for _, other := range w.classes {
		if other.name == c.name {
			panic("durable: class " + c.name + " is registered twice")
		}
	}
	w.classes = append(w.classes, c)
}

// instance is the value of a Durable Object's I/O context. Package durabletest
// gets the state from it.
type instance struct {
	class  *class
	object any
	state  *State
}

func (it *instance) State() *State { return it.state }

// Class, State and Name are for package jsrt's messages.
func (w *worker) Class(c *jsrt.Context) string {
	if it, ok := c.Object.(*instance); ok {
		return it.class.name
	}
	return "the Worker"
}

func (w *worker) State(c *jsrt.Context) *jsrt.Ref {
	if it, ok := c.Object.(*instance); ok {
		return it.state.ref
	}
	return nil
}

func (w *worker) Name(i *jsrt.Invocation) string {
	it, _ := i.Context().Object.(*instance)
	switch {
	case i.Kind == jsrt.Method && it != nil:
		return it.class.methods[i.Index]
	case int(i.Kind) < len(kindNames):
		return kindNames[i.Kind]
	}
	return "a test"
}

// kindNames has a name for each [jsrt.Kind].
var kindNames = [...]string{"constructor", "fetch", "alarm", "method", "a test", "webSocketMessage",
	"webSocketClose", "webSocketError", "scheduled", "queue"}

// NewEnv and NewStub are for package durabletest.
func (w *worker) NewEnv(ref *jsrt.Ref) *Env   { return &Env{ref: ref} }
func (w *worker) NewStub(ref *jsrt.Ref) *Stub { return &Stub{ref: ref} }

func (w *worker) Serve(ctx context.Context, i *jsrt.Invocation, args []any) (any, error) {
	c := i.Context()
	if i.Kind == jsrt.Construct {
		class := w.classes[i.Index]
		state, err := newState(args[0].(*jsrt.Ref))
		if err != nil {
			return nil, err
		}
		state.hasSocketHandlers = class.hasSocketHandlers
		it := &instance{class: class, state: state}
		c.Object = it
		it.object, err = class.construct(ctx, state, &Env{ref: args[1].(*jsrt.Ref)})
		return nil, err
	}
	it, _ := c.Object.(*instance)
	switch i.Kind {
	case jsrt.Method:
		return it.class.calls[i.Index](it.object, ctx, args)
	case jsrt.Alarm:
		info := newAlarmInfo(args)
		return nil, it.object.(Alarmer).Alarm(section.WithScheduled(ctx, info.ScheduledTime), info)
	case jsrt.Fetch:
		serve := w.fetch
		if it != nil {
			serve = func(ctx context.Context, _ *Env, r *Request) (*Response, error) {
				return it.object.(Fetcher).Fetch(ctx, r)
			}
		}
		return serveFetch(ctx, i, args, serve)
	case jsrt.Message, jsrt.Close, jsrt.Err:
		return nil, it.serveWebSocket(ctx, i.Kind, args)
	case jsrt.Scheduled:
		return nil, w.scheduled(ctx, args)
	case jsrt.Queue:
		return nil, w.queue(ctx, args)
	}
	return nil, errors.New("durable: unknown kind of invocation")
}

func bytesArgument(args []any) ([]byte, error) {
	if len(args) == 0 || args[0] == nil {
		return nil, nil
	}
	b, ok := args[0].([]byte)
	if !ok || len(args) > 1 {
		return nil, errors.New("this RPC method takes one argument, a Uint8Array or ArrayBuffer")
	}
	return b, nil
}

func newAlarmInfo(args []any) AlarmInfo {
	var info AlarmInfo
	switch at := args[0].(type) {
	case time.Time:
		info.ScheduledTime = at
	case float64:
		info.ScheduledTime = time.UnixMilli(int64(at))
	}
	if n, ok := args[1].(float64); ok {
		info.RetryCount = int(n)
	}
	info.IsRetry, _ = args[2].(bool)
	return info
}

func (w *worker) Throw(err error) *jsrt.Error { return throw(err) }

func (w *worker) Describe() map[string]any {
	classes := make([]any, len(w.classes))
	for i, c := range w.classes {
		methods := make([]any, len(c.methods))
		for j, m := range c.methods {
			methods[j] = m
		}
		classes[i] = map[string]any{"name": c.name, "events": c.events, "methods": methods,
			"retryable": c.retryable}
	}
	return map[string]any{"classes": classes, "fetch": w.fetch != nil,
		"scheduled": w.scheduled != nil, "queue": w.queue != nil}
}
