package durabletest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/internal/handlers"
	"flow.internal/capdo/internal/jsrt"
)

func init() {
	theHarness.changed.L = &theHarness.mu
	theHarness.inner = jsrt.Install(&theHarness).(program)
	theHarness.inner.CheckMethods(func(pointer any) string {
		return handlers.Check(reflect.TypeOf(pointer).Elem(), [5]reflect.Type{
			reflect.TypeFor[durable.Fetcher](),
			reflect.TypeFor[durable.Alarmer](),
			reflect.TypeFor[durable.WebSocketMessager](),
			reflect.TypeFor[durable.WebSocketCloser](),
			reflect.TypeFor[durable.WebSocketErrorHandler](),
		})
	})
	durable.Register("DurableTestSQLite", newBlank)
	durable.Register("DurableTestKV", newBlank)
	if runtime.GOOS == "js" {
		jsrt.OnTest(theHarness.serve)
	}
}

// blank is an object without code.
type blank struct{}

func newBlank(context.Context, *durable.State, *durable.Env) (blank, error) { return blank{}, nil }

// Alarm is there so that tests can set one.
func (blank) Alarm(context.Context, durable.AlarmInfo) error { return nil }

// program is the Program that package durable installed, with its methods for
// this package.
type program interface {
	jsrt.Program
	NewEnv(*jsrt.Ref) *durable.Env
	NewStub(*jsrt.Ref) *durable.Stub
	CheckMethods(func(pointer any) string)
}

// stateful is the value of an object's I/O context.
type stateful interface{ State() *durable.State }

// harness is the state that all tests of a program share.
type harness struct {
	inner program
	tools *jsrt.Ref // see testing.mjs
	ready chan struct{}

	mu      sync.Mutex
	changed sync.Cond
	owner   string                 // the test that has the storage to itself
	users   map[testing.TB]bool    // it, and its subtests
	calls   map[string]*insideCall // that have not begun
	lastID  int
	inside  map[string]int    // object id → how many calls are inside
	alarms  map[string]*alarm // object id → its next one
	vars    map[string]any    // that the test has set
}

// alarm is an alarm that a test has requested.
type alarm struct {
	outcome chan error
	at      time.Time // that the handler is to see; zero for the present
}

var theHarness = harness{
	ready: make(chan struct{}), users: map[testing.TB]bool{}, calls: map[string]*insideCall{},
	alarms: map[string]*alarm{}, inside: map[string]int{},
}

// enter waits for the test's turn.
func enter(t testing.TB) *harness {
	t.Helper()
	if runtime.GOOS != "js" {
		t.Fatal("package durabletest needs workerd" +
			"\nhint: run the tests with capdo test, " +
			"or GOOS=js GOARCH=wasm go test -exec 'capdo exec'")
	}
	h := &theHarness
	<-h.ready
	owner, _, _ := strings.Cut(t.Name(), "/")
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.owner != "" && h.owner != owner {
		h.changed.Wait()
	}
	h.owner = owner
	if !h.users[t] {
		h.users[t] = true
		t.Cleanup(func() { h.leave(t) })
	}
	return h
}

// leave deletes every object when the last user is gone.
func (h *harness) leave(t testing.TB) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.users, t)
	if len(h.users) > 0 {
		return
	}
	if _, err := h.tools.Await(context.Background(), "reset"); err != nil {
		t.Errorf("durabletest: the objects of this test cannot be deleted: %v", err)
	}
	clear(h.alarms) // another test's object may have the same id
	h.owner = ""
	h.changed.Broadcast()
}

func (h *harness) env() (*durable.Env, error) {
	v, err := h.tools.Call("env")
	if err != nil {
		return nil, err
	}
	return h.inner.NewEnv(v.(*jsrt.Ref)), nil
}

// setVars adds variables until the test is over.
func (h *harness) setVars(t testing.TB, vars map[string]any) error {
	before := h.vars
	all := maps.Clone(before)
	if all == nil {
		all = map[string]any{}
	}
	for k, v := range vars {
		encoded, err := durable.Encode(v)
		if err != nil {
			return fmt.Errorf("variable %s: %w", k, err)
		}
		all[k] = encoded
	}
	t.Cleanup(func() { h.tellVars(before) })
	return h.tellVars(all)
}

func (h *harness) tellVars(vars map[string]any) error {
	h.vars = vars
	_, err := h.tools.Call("vars", vars)
	return err
}

func (h *harness) worker() (*durable.Stub, error) {
	v, err := h.tools.Get("worker")
	if err != nil {
		return nil, err
	}
	return h.inner.NewStub(v.(*jsrt.Ref)), nil
}

func (h *harness) restart(ctx context.Context) error {
	if _, err := h.tools.Await(ctx, "restart"); err != nil {
		return err
	}
	return h.tellVars(h.vars)
}

// insideCall is a call inside an object.
type insideCall struct {
	ctx   context.Context
	state *durable.State
	id    string // the object's
	begun chan struct{}
	done  chan struct{}
	over  chan error // of the call that leads there
}

// callInside calls an object, and returns when the call has arrived. The call
// stays open until leave.
func (h *harness) callInside(stub *durable.Stub) (*insideCall, error) {
	v := &insideCall{begun: make(chan struct{}), done: make(chan struct{}),
		over: make(chan error, 1)}
	h.mu.Lock()
	h.lastID++
	id := strconv.Itoa(h.lastID)
	h.calls[id] = v
	h.mu.Unlock()
	go func() {
		_, err := stub.Call(context.Background(), "capdoTest", []byte(id))
		v.over <- err
	}()
	select {
	case <-v.begun:
		id, err := v.state.ID()
		if err != nil {
			v.leave()
			return nil, err
		}
		v.id = id.String()
		h.count(v, 1)
		return v, nil
	case err := <-v.over:
		return nil, err
	}
}

// count records that a call has begun inside an object, or has ended.
func (h *harness) count(v *insideCall, n int) {
	if v.id == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.inside[v.id] += n; h.inside[v.id] == 0 {
		delete(h.inside, v.id)
	}
}

func (h *harness) isInside(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.inside[id] > 0
}

func (v *insideCall) leave() {
	theHarness.count(v, -1)
	close(v.done)
	<-v.over // an error is the object's, which has been reset, and fn has met it
}

// deliverAlarm sets an object's alarm to now, and returns the channel for the
// result, or nil if no alarm is pending.
func (h *harness) deliverAlarm(v *insideCall, at time.Time) (chan error, error) {
	pending, err := v.state.Storage().GetAlarm(v.ctx, nil)
	if err != nil || pending.IsZero() {
		return nil, err
	}
	a := &alarm{make(chan error, 1), at}
	h.mu.Lock()
	h.alarms[v.id] = a
	h.mu.Unlock()
	return a.outcome, v.state.Storage().SetAlarm(v.ctx, time.Now(), nil)
}

// serve handles the calls of testing.mjs. Index 0 passes the tools, and stays
// open as long as the program runs. Index 1 is a call inside an object.
func (h *harness) serve(ctx context.Context, i *jsrt.Invocation, args []any) (any, error) {
	if i.Index == 0 {
		h.tools = args[0].(*jsrt.Ref)
		close(h.ready)
		<-ctx.Done()
		return nil, nil
	}
	token, _ := args[0].([]byte)
	h.mu.Lock()
	v := h.calls[string(token)]
	delete(h.calls, string(token))
	h.mu.Unlock()
	if v == nil {
		return nil, errors.New("durabletest: only durabletest.Run calls this method")
	}
	v.ctx, v.state = ctx, i.Context().Object.(stateful).State()
	close(v.begun)
	select {
	case <-v.done:
	case <-ctx.Done():
	}
	return nil, nil
}

// Serve passes events on to package durable, and reports alarms to RunAlarm.
func (h *harness) Serve(ctx context.Context, i *jsrt.Invocation, args []any) (out any, err error) {
	if i.Kind != jsrt.Alarm {
		return h.inner.Serve(ctx, i, args)
	}
	a := h.takeAlarm(i.Context())
	if a == nil {
		return h.inner.Serve(ctx, i, args)
	}
	err = errors.New("the alarm handler panicked")
	defer func() { a.outcome <- err }()
	if !a.at.IsZero() {
		args = append([]any{a.at}, args[1:]...)
	}
	out, err = h.inner.Serve(ctx, i, args)
	return out, err
}

// takeAlarm returns the alarm that a test waits for, if it is this object's.
func (h *harness) takeAlarm(c *jsrt.Context) *alarm {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.alarms) == 0 {
		return nil
	}
	object, ok := c.Object.(stateful)
	if !ok {
		return nil
	}
	id, err := object.State().ID()
	if err != nil {
		return nil
	}
	a := h.alarms[id.String()]
	delete(h.alarms, id.String())
	return a
}

// Throw and Describe are package durable's.
func (h *harness) Throw(err error) *jsrt.Error { return h.inner.Throw(err) }

// Describe is package durable's.
func (h *harness) Describe() map[string]any { return h.inner.Describe() }

// Class is package durable's.
func (h *harness) Class(c *jsrt.Context) string { return h.inner.Class(c) }

// State is package durable's.
func (h *harness) State(c *jsrt.Context) *jsrt.Ref { return h.inner.State(c) }

// Name is package durable's.
func (h *harness) Name(i *jsrt.Invocation) string { return h.inner.Name(i) }
