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
	inside  map[string]int    // object id → how many visits are inside
	alarms  map[string]*alarm // object id → its next one
	vars    map[string]any    // that the test has set
}

// alarm is one that a test has delivered.
type alarm struct {
	outcome chan error
	at      time.Time // that the handler is to see; zero for the present
}

var theWorld = world{
	ready: make(chan struct{}), users: map[testing.TB]bool{}, visits: map[string]*visit{}, alarms: map[string]*alarm{}, inside: map[string]int{},
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
	clear(w.alarms) // another test's object may have the same id
	w.owner = ""
	w.changed.Broadcast()
}

func (w *world) env() (*durable.Env, error) {
	v, err := w.tools.Call("env")
	if err != nil {
		return nil, err
	}
	return w.inner.NewEnv(v.(*jsrt.Ref)), nil
}

// setVars adds variables until the test is over.
func (w *world) setVars(t testing.TB, vars map[string]any) error {
	before := w.vars
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
	t.Cleanup(func() { w.tellVars(before) })
	return w.tellVars(all)
}

func (w *world) tellVars(vars map[string]any) error {
	w.vars = vars
	_, err := w.tools.Call("vars", vars)
	return err
}

func (w *world) worker() (*durable.Stub, error) {
	v, err := w.tools.Get("worker")
	if err != nil {
		return nil, err
	}
	return w.inner.NewStub(v.(*jsrt.Ref)), nil
}

func (w *world) restart(ctx context.Context) error {
	if _, err := w.tools.Await(ctx, "restart"); err != nil {
		return err
	}
	return w.tellVars(w.vars)
}

// visit is a stay inside an object.
type visit struct {
	ctx   context.Context
	state *durable.State
	id    string // the object's
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
		id, err := v.state.ID()
		if err != nil {
			v.leave()
			return nil, err
		}
		v.id = id.String()
		w.count(v, 1)
		return v, nil
	case err := <-v.over:
		return nil, err
	}
}

// count notes that a visit is inside, or no longer.
func (w *world) count(v *visit, n int) {
	if v.id == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.inside[v.id] += n; w.inside[v.id] == 0 {
		delete(w.inside, v.id)
	}
}

func (w *world) isVisited(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inside[id] > 0
}

func (v *visit) leave() {
	theWorld.count(v, -1)
	close(v.done)
	<-v.over // an error is the object's, which has been reset, and fn has met it
}

// hasten sets an object's alarm to now, and returns where the outcome will come from; nil where no alarm is pending.
func (w *world) hasten(v *visit, at time.Time) (chan error, error) {
	pending, err := v.state.Storage().GetAlarm(v.ctx, nil)
	if err != nil || pending.IsZero() {
		return nil, err
	}
	a := &alarm{make(chan error, 1), at}
	w.mu.Lock()
	w.alarms[v.id] = a
	w.mu.Unlock()
	return a.outcome, v.state.Storage().SetAlarm(v.ctx, time.Now(), nil)
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
	if i.Kind != jsrt.Alarm {
		return w.inner.Serve(ctx, i, args)
	}
	a := w.takeAlarm(i.Context())
	if a == nil {
		return w.inner.Serve(ctx, i, args)
	}
	err = errors.New("the alarm handler panicked")
	defer func() { a.outcome <- err }()
	if !a.at.IsZero() {
		args = append([]any{a.at}, args[1:]...)
	}
	out, err = w.inner.Serve(ctx, i, args)
	return out, err
}

// takeAlarm returns the alarm that a test waits for, if it is this object's.
func (w *world) takeAlarm(c *jsrt.Context) *alarm {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.alarms) == 0 {
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
	a := w.alarms[id.String()]
	delete(w.alarms, id.String())
	return a
}

// Throw and Describe are package durable's.
func (w *world) Throw(err error) *jsrt.Error { return w.inner.Throw(err) }

// Describe is package durable's.
func (w *world) Describe() map[string]any { return w.inner.Describe() }

// Class is package durable's.
func (w *world) Class(c *jsrt.Context) string { return w.inner.Class(c) }

// State is package durable's.
func (w *world) State(c *jsrt.Context) *jsrt.Ref { return w.inner.State(c) }

// Name is package durable's.
func (w *world) Name(i *jsrt.Invocation) string { return w.inner.Name(i) }
