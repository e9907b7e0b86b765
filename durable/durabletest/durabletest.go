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

// Names of bindings that every test has. Their objects have no code: [New] makes one, and [Run] works inside it.
const (
	SQLite = "DURABLETEST_SQLITE" // objects with SQLite storage
	KV     = "DURABLETEST_KV"     // objects with key-value storage, as older accounts have
)

// Options change what [Env] returns; nil means none.
type Options struct {
	// Vars are variables besides those of the wrangler config, or in place of them. Objects do not see these.
	Vars map[string]string
}

// Env returns the environment of the test's wrangler config.
func Env(t testing.TB, o *Options) *durable.Env {
	t.Helper()
	h := enter(t)
	vars := map[string]any{}
	if o != nil {
		for k, v := range o.Vars {
			vars[k] = v
		}
	}
	env, err := h.env(vars)
	if err != nil {
		t.Fatalf("durabletest.Env: %v", err)
	}
	return env
}

// Worker returns the Worker that the program is, as registered with durable.HandleFetch. Only its Fetch is of use.
func Worker(t testing.TB) *durable.Stub {
	t.Helper()
	stub, err := enter(t).worker()
	if err != nil {
		t.Fatalf("durabletest.Worker: %v", err)
	}
	return stub
}

// New returns a fresh object of the namespace that is bound under the name.
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

// Run runs fn inside an object: with its state, while an invocation of it is open, which ctx belongs to. fn runs on the caller's
// goroutine, so it may end the test.
func Run(t testing.TB, stub *durable.Stub, fn func(ctx context.Context, state *durable.State)) {
	t.Helper()
	v, err := enter(t).callInside(stub)
	if err != nil {
		t.Fatalf("durabletest.Run: %v", err)
	}
	defer v.leave()
	fn(v.ctx, v.state)
}

// RunAlarm has an object's pending alarm delivered now, waits until its handler has returned, and returns the handler's error. ran
// reports whether an alarm was pending. The handler sees the present as the alarm's time. After an error workerd delivers it again by itself.
func RunAlarm(t testing.TB, stub *durable.Stub) (ran bool, err error) {
	t.Helper()
	h := enter(t)
	v, err := h.callInside(stub)
	if err != nil {
		t.Fatalf("durabletest.RunAlarm: %v", err)
	}
	delivered, err := h.deliverAlarm(v)
	v.leave()
	if err != nil {
		t.Fatalf("durabletest.RunAlarm: %v", err)
	}
	if delivered == nil {
		return false, nil
	}
	select {
	case err = <-delivered:
		return true, err
	case <-t.Context().Done():
		return false, context.Cause(t.Context())
	}
}

// List returns the ids of a namespace's objects that have been called, in order.
func List(t testing.TB, binding string) []string {
	t.Helper()
	v, err := enter(t).tools.Await(t.Context(), "list", binding)
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

// Evict takes an object out of memory, as workerd does with one that is idle. Its next event finds it built anew.
func Evict(t testing.TB, stub *durable.Stub) {
	t.Helper()
	h := enter(t)
	name, err := stub.Call(t.Context(), "capdoTestID", nil)
	if err != nil {
		t.Fatalf("durabletest.Evict: %v", err)
	}
	class, id, _ := strings.Cut(string(name), "/")
	if _, err := h.tools.Await(t.Context(), "evict", class, id); err != nil {
		t.Fatalf("durabletest.Evict: %v", err)
	}
}

// Abort resets an object: calls to it that are open fail with durable.ErrObjectReset, writes that nobody was told of are gone, and stub
// is dead: take a new one.
func Abort(t testing.TB, stub *durable.Stub) {
	t.Helper()
	enter(t)
	if _, err := stub.Call(t.Context(), "capdoTestAbort", nil); !errors.Is(err, durable.ErrObjectReset) {
		t.Fatalf("durabletest.Abort: %v", err)
	}
}

// Restart kills workerd with SIGKILL and starts it again on the same disk, while the test goes on: its own variables keep their values.
// Objects are gone from memory, calls to them that were open fail with durable.ErrDisconnected, and every handle that was taken before
// (Env, Namespace, Stub, State) is dead.
func Restart(t testing.TB) {
	t.Helper()
	h := enter(t)
	ctx, stop := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer stop()
	if err := h.restart(ctx); err != nil {
		t.Fatalf("durabletest.Restart: %v", err)
	}
}
