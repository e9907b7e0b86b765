package durabletest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/durable"
)

// Names of bindings that every test has. Their objects have no code: [New]
// makes such an object, and [Run] runs a function inside it.
const (
	SQLite = "DURABLETEST_SQLITE" // objects with SQLite storage
	KV     = "DURABLETEST_KV"     // objects with key-value storage
)

// Options change what [Env] returns; nil means none.
type Options struct {
	// Vars are additional variables, or replace those of the wrangler
	// config and .dev.vars: strings, and values that durable.Encode
	// converts. The Worker sees them, and so do objects that are
	// constructed from now on, until the test ends.
	Vars map[string]any
}

// Env returns the environment of the test's wrangler config.
func Env(t testing.TB, o *Options) *durable.Env {
	t.Helper()
	h := enter(t)
	if o != nil && len(o.Vars) > 0 {
		if err := h.setVars(t, o.Vars); err != nil {
			t.Fatalf("durabletest.Env: %v", err)
		}
	}
	env, err := h.env()
	if err != nil {
		t.Fatalf("durabletest.Env: %v", err)
	}
	return env
}

// Worker returns the program's own Worker, as registered with
// durable.HandleFetch. Use only its Fetch.
func Worker(t testing.TB) *durable.Stub {
	t.Helper()
	stub, err := enter(t).worker()
	if err != nil {
		t.Fatalf("durabletest.Worker: %v", err)
	}
	return stub
}

// New returns a new object of the namespace that is bound under the name.
func New(t testing.TB, binding string) *durable.Stub {
	t.Helper()
	ns, err := Env(t, nil).Namespace(binding)
	if err != nil {
		t.Fatalf("durabletest.New: %v", err)
	}
	id, err := ns.NewUniqueID(nil)
	if err != nil {
		t.Fatalf("durabletest.New: %v", err)
	}
	stub, err := ns.Get(id, nil)
	if err != nil {
		t.Fatalf("durabletest.New: %v", err)
	}
	return stub
}

// Run runs fn inside an object, with its state. ctx belongs to an invocation of
// the object that stays open while fn runs. fn runs on the caller's goroutine,
// so it may end the test.
func Run(
	t testing.TB, stub *durable.Stub,
	fn func(ctx context.Context, state *durable.State),
) {
	t.Helper()
	v, err := enter(t).callInside(stub)
	if err != nil {
		t.Fatalf("durabletest.Run: %v", err)
	}
	defer v.leave()
	fn(v.ctx, v.state)
}

// RunAlarm delivers an object's pending alarm now, waits until its handler has
// returned, and returns the handler's error. ran reports whether an alarm was
// pending. The handler sees the present as the alarm's time; see [RunAlarmAt].
// After an error workerd delivers the alarm again by itself.
func RunAlarm(t testing.TB, stub *durable.Stub) (ran bool, err error) {
	t.Helper()
	return runAlarm(t, stub, time.Time{})
}

// RunAlarmAt is RunAlarm with a time for the handler: at is the ScheduledTime
// that it sees. The clock, time.Now, stays as it is.
func RunAlarmAt(
	t testing.TB, stub *durable.Stub, at time.Time,
) (ran bool, err error) {
	t.Helper()
	return runAlarm(t, stub, at)
}

func runAlarm(t testing.TB, stub *durable.Stub, at time.Time) (ran bool, err error) {
	t.Helper()
	h := enter(t)
	v, err := h.callInside(stub)
	if err != nil {
		t.Fatalf("durabletest.RunAlarm: %v", err)
	}
	delivered, err := h.deliverAlarm(v, at)
	v.leave()
	if err != nil {
		t.Fatalf("durabletest.RunAlarm: %v", err)
	}
	if delivered == nil {
		return false, nil
	}
	ctx := uncanceled(t)
	select {
	case err = <-delivered:
		return true, err
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
}

// uncanceled returns the test's context, or in t.Cleanup, where it has ended,
// one that does not end.
func uncanceled(t testing.TB) context.Context {
	if ctx := t.Context(); ctx.Err() == nil {
		return ctx
	}
	return context.WithoutCancel(t.Context())
}

// List returns the ids of a namespace's objects that have been called, sorted.
func List(t testing.TB, binding string) []string {
	t.Helper()
	v, err := enter(t).tools.Await(uncanceled(t), "list", binding)
	if err != nil {
		t.Fatalf("durabletest.List: %v", err)
	}
	var ids []string
	for _, id := range v.([]any) {
		ids = append(ids, id.(string))
	}
	slices.Sort(ids)
	return ids
}

// Evict removes an object from memory, as workerd does with an idle one. The
// next event constructs it again. An object with an open event is never idle:
// inside [Run] of the same object Evict fails the test.
func Evict(t testing.TB, stub *durable.Stub) {
	t.Helper()
	h := enter(t)
	name, err := stub.Call(uncanceled(t), "capdoTestID", nil)
	if err != nil {
		t.Fatalf("durabletest.Evict: %v", err)
	}
	class, id, _ := strings.Cut(string(name), "/")
	if h.isInside(id) {
		t.Fatal("durabletest.Evict: the function of durabletest.Run is inside the object" +
			"\nhint: evict it after Run has returned")
	}
	if _, err := h.tools.Await(uncanceled(t), "evict", class, id); err != nil {
		t.Fatalf("durabletest.Evict: %v", err)
	}
}

// Abort resets an object. Its open calls fail with durable.ErrObjectReset, and
// writes that were not yet confirmed to a caller are lost. stub no longer
// works: get a new one.
func Abort(t testing.TB, stub *durable.Stub) {
	t.Helper()
	enter(t)
	if _, err := stub.Call(uncanceled(t), "capdoTestAbort", nil); !errors.Is(err,
		durable.ErrObjectReset) {
		t.Fatalf("durabletest.Abort: %v", err)
	}
}

// Restart kills workerd with SIGKILL and starts it again on the same disk. The
// test continues, and its variables keep their values. Objects lose their
// memory, and their open calls fail with durable.ErrDisconnected. Handles from
// before the restart (Env, Namespace, Stub, State) no longer work.
func Restart(t testing.TB) {
	t.Helper()
	h := enter(t)
	ctx, stop := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer stop()
	if err := h.restart(ctx); err != nil {
		t.Fatalf("durabletest.Restart: %v", err)
	}
}
