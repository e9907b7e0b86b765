package durabletest

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/jsrt"
)

func init() {
	durable.Register("DurableTestSQLite", newBlank)
	durable.Register("DurableTestKV", newBlank)
	theHarness.changed.L = &theHarness.mu
	theHarness.inner = jsrt.Install(&theHarness).(program)
	if runtime.GOOS == "js" {
		jsrt.OnTest(theHarness.serve)
	}
}

// blank is an object without code.
type blank struct{}

func newBlank(context.Context, *durable.State, *durable.Env) (blank, error) { return blank{}, nil }

// Alarm is there so that tests can set one.
func (blank) Alarm(context.Context, durable.AlarmInfo) error { return nil }

// program is what package durable installed, with what it offers to this package.
type program interface {
	jsrt.Program
	NewEnv(*jsrt.Ref) *durable.Env
	NewStub(*jsrt.Ref) *durable.Stub
}

// stateful is what an object's I/O context carries.
type stateful interface{ State() *durable.State }

// harness is all that the tests of a program share.
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
	alarms  map[string]chan error // object id → where its next alarm's outcome goes
}

var theHarness = harness{
	ready: make(chan struct{}), users: map[testing.TB]bool{}, calls: map[string]*insideCall{}, alarms: map[string]chan error{},
}

// enter waits for the test's turn.
func enter(t testing.TB) *harness {
	t.Helper()
	if runtime.GOOS != "js" {
		t.Fatal("package durabletest needs workerd\nhint: run the tests with capdo test, or GOOS=js GOARCH=wasm go test -exec 'capdo exec'")
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
	h.owner = ""
	h.changed.Broadcast()
}

func (h *harness) env(vars map[string]any) (*durable.Env, error) {
	v, err := h.tools.Call("env", vars)
	if err != nil {
		return nil, err
	}
	return h.inner.NewEnv(v.(*jsrt.Ref)), nil
}

func (h *harness) worker() (*durable.Stub, error) {
	v, err := h.tools.Get("worker")
	if err != nil {
		return nil, err
	}
	return h.inner.NewStub(v.(*jsrt.Ref)), nil
}

func (h *harness) restart(ctx context.Context) error {
	_, err := h.tools.Await(ctx, "restart")
	return err
}

// insideCall is a call that keeps an object open for a function of a test.
type insideCall struct {
	ctx   context.Context
	state *durable.State
	begun chan struct{}
	done  chan struct{}
	over  chan error // of the call that leads there
}

// callInside calls an object, and returns once the call has arrived. It stays open until leave.
func (h *harness) callInside(stub *durable.Stub) (*insideCall, error) {
	v := &insideCall{begun: make(chan struct{}), done: make(chan struct{}), over: make(chan error, 1)}
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
		return v, nil
	case err := <-v.over:
		return nil, err
	}
}

func (v *insideCall) leave() {
	close(v.done)
	<-v.over // an error is the object's, which has been reset, and fn has met it
}

// deliverAlarm sets an object's alarm to now, and returns where the outcome will come from; nil where no alarm is pending.
func (h *harness) deliverAlarm(v *insideCall) (chan error, error) {
	id, err := v.state.ID()
	if err != nil {
		return nil, err
	}
	at, err := v.state.Storage().GetAlarm(v.ctx, nil)
	if err != nil || at.IsZero() {
		return nil, err
	}
	outcome := make(chan error, 1)
	h.mu.Lock()
	h.alarms[id.String()] = outcome
	h.mu.Unlock()
	return outcome, v.state.Storage().SetAlarm(v.ctx, time.Now(), nil)
}

// serve handles what testing.mjs asks for: index 0 hands over the tools, and is open as long as the program; index 1 is an inside call.
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

// Serve passes events on to package durable, and tells RunAlarm of alarms.
func (h *harness) Serve(ctx context.Context, i *jsrt.Invocation, args []any) (out any, err error) {
	if i.Kind == jsrt.Alarm {
		err = errors.New("the alarm handler panicked")
		defer func() { h.alarmRang(i.Context(), err) }()
	}
	out, err = h.inner.Serve(ctx, i, args)
	return out, err
}

func (h *harness) alarmRang(c *jsrt.Context, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.alarms) == 0 {
		return
	}
	object, ok := c.Object.(stateful)
	if !ok {
		return
	}
	id, idErr := object.State().ID()
	if idErr != nil {
		return
	}
	if outcome := h.alarms[id.String()]; outcome != nil {
		delete(h.alarms, id.String())
		outcome <- err
	}
}

// Throw and Describe are package durable's.
func (h *harness) Throw(err error) *jsrt.Error { return h.inner.Throw(err) }

// Describe is package durable's.
func (h *harness) Describe() map[string]any { return h.inner.Describe() }
