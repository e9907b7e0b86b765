package durabletest

import (
	"context"
	"errors"
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
	theWorld.changed.L = &theWorld.mu
	theWorld.inner = jsrt.Install(&theWorld).(program)
	theWorld.inner.CheckMethods(func(pointer any) string {
		return handlers.Check(reflect.TypeOf(pointer).Elem(), [5]reflect.Type{reflect.TypeFor[durable.Fetcher](), reflect.TypeFor[durable.Alarmer](),
			reflect.TypeFor[durable.WebSocketMessager](), reflect.TypeFor[durable.WebSocketCloser](), reflect.TypeFor[durable.WebSocketErrorer]()})
	})
	durable.Register("DurableTestSQLite", newBlank)
	durable.Register("DurableTestKV", newBlank)
	if runtime.GOOS == "js" {
		jsrt.OnTest(theWorld.serve)
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
	CheckMethods(func(pointer any) string)
}

// stateful is what an object's I/O context carries.
type stateful interface{ State() *durable.State }

// world is all that the tests of a program share.
type world struct {
	inner program
	tools *jsrt.Ref // see testing.mjs
	ready chan struct{}

	mu      sync.Mutex
	changed sync.Cond
	owner   string              // the test that has the storage to itself
	users   map[testing.TB]bool // it, and its subtests
	visits  map[string]*visit   // that have not begun
	lastID  int
	alarms  map[string]chan error // object id → where its next alarm's outcome goes
}

var theWorld = world{
	ready: make(chan struct{}), users: map[testing.TB]bool{}, visits: map[string]*visit{}, alarms: map[string]chan error{},
}

// enter waits for the test's turn.
func enter(t testing.TB) *world {
	t.Helper()
	if runtime.GOOS != "js" {
		t.Fatal("package durabletest needs workerd\nhint: run the tests with capdo test, or GOOS=js GOARCH=wasm go test -exec 'capdo exec'")
	}
	w := &theWorld
	<-w.ready
	owner, _, _ := strings.Cut(t.Name(), "/")
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.owner != "" && w.owner != owner {
		w.changed.Wait()
	}
	w.owner = owner
	if !w.users[t] {
		w.users[t] = true
		t.Cleanup(func() { w.leave(t) })
	}
	return w
}

// leave deletes every object when the last user is gone.
func (w *world) leave(t testing.TB) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.users, t)
	if len(w.users) > 0 {
		return
	}
	if _, err := w.tools.Await(context.Background(), "reset"); err != nil {
		t.Errorf("durabletest: the objects of this test cannot be deleted: %v", err)
	}
	w.owner = ""
	w.changed.Broadcast()
}

func (w *world) env(vars map[string]any) (*durable.Env, error) {
	v, err := w.tools.Call("env", vars)
	if err != nil {
		return nil, err
	}
	return w.inner.NewEnv(v.(*jsrt.Ref)), nil
}

func (w *world) worker() (*durable.Stub, error) {
	v, err := w.tools.Get("worker")
	if err != nil {
		return nil, err
	}
	return w.inner.NewStub(v.(*jsrt.Ref)), nil
}

func (w *world) restart(ctx context.Context) error {
	_, err := w.tools.Await(ctx, "restart")
	return err
}

// visit is a stay inside an object.
type visit struct {
	ctx   context.Context
	state *durable.State
	begun chan struct{}
	done  chan struct{}
	over  chan error // of the call that leads there
}

// visit calls an object, and returns once the call has arrived. It stays open until leave.
func (w *world) visit(stub *durable.Stub) (*visit, error) {
	v := &visit{begun: make(chan struct{}), done: make(chan struct{}), over: make(chan error, 1)}
	w.mu.Lock()
	w.lastID++
	id := strconv.Itoa(w.lastID)
	w.visits[id] = v
	w.mu.Unlock()
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

func (v *visit) leave() {
	close(v.done)
	<-v.over // an error is the object's, which has been reset, and fn has met it
}

// hasten sets an object's alarm to now, and returns where the outcome will come from; nil where no alarm is pending.
func (w *world) hasten(v *visit) (chan error, error) {
	id, err := v.state.ID()
	if err != nil {
		return nil, err
	}
	at, err := v.state.Storage().GetAlarm(v.ctx, nil)
	if err != nil || at.IsZero() {
		return nil, err
	}
	outcome := make(chan error, 1)
	w.mu.Lock()
	w.alarms[id.String()] = outcome
	w.mu.Unlock()
	return outcome, v.state.Storage().SetAlarm(v.ctx, time.Now(), nil)
}

// serve handles what testing.mjs asks for: index 0 hands over the tools, and is open as long as the program; index 1 is a visit.
func (w *world) serve(ctx context.Context, i *jsrt.Invocation, args []any) (any, error) {
	if i.Index == 0 {
		w.tools = args[0].(*jsrt.Ref)
		close(w.ready)
		<-ctx.Done()
		return nil, nil
	}
	token, _ := args[0].([]byte)
	w.mu.Lock()
	v := w.visits[string(token)]
	delete(w.visits, string(token))
	w.mu.Unlock()
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
func (w *world) Serve(ctx context.Context, i *jsrt.Invocation, args []any) (out any, err error) {
	if i.Kind == jsrt.Alarm {
		err = errors.New("the alarm handler panicked")
		defer func() { w.rang(i.Context(), err) }()
	}
	out, err = w.inner.Serve(ctx, i, args)
	return out, err
}

func (w *world) rang(c *jsrt.Context, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.alarms) == 0 {
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
	if outcome := w.alarms[id.String()]; outcome != nil {
		delete(w.alarms, id.String())
		outcome <- err
	}
}

// Throw and Describe are package durable's.
func (w *world) Throw(err error) *jsrt.Error { return w.inner.Throw(err) }

// Describe is package durable's.
func (w *world) Describe() map[string]any { return w.inner.Describe() }
