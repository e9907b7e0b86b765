package durabletest_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// Counter counts calls and alarms.
type Counter struct {
	state *durable.State
	env   *durable.Env
	calls int       // since the instance was built
	rang  time.Time // the last alarm, as its handler saw it
}

func NewCounter(_ context.Context, state *durable.State, env *durable.Env) (*Counter, error) {
	return &Counter{state: state, env: env}, nil
}

func (c *Counter) add(key string) (float64, error) {
	kv := c.state.Storage().KV()
	n, _, err := durable.Get[float64](kv, key)
	if err != nil {
		return 0, err
	}
	return n + 1, kv.Put(key, n+1)
}

func (c *Counter) Increment(context.Context, []byte) ([]byte, error) {
	c.calls++
	n, err := c.add("n")
	return strconv.AppendInt(nil, int64(n), 10), err
}

func (c *Counter) Calls(context.Context, []byte) ([]byte, error) {
	return strconv.AppendInt(nil, int64(c.calls), 10), nil
}

func (c *Counter) Greeting(context.Context, []byte) ([]byte, error) {
	s, _, err := c.env.Var("GREETING")
	return []byte(s), err
}

// ended receives the errors with which waiting handlers ended.
var ended = make(chan error, 10)

func (c *Counter) Wait(ctx context.Context, _ []byte) ([]byte, error) {
	<-ctx.Done()
	ended <- context.Cause(ctx)
	return nil, ctx.Err()
}

func (c *Counter) Alarm(_ context.Context, info durable.AlarmInfo) error {
	c.rang = info.ScheduledTime
	n, err := c.add("alarms")
	if err == nil && n == 1 {
		err = errors.New("not at first")
	}
	return err
}

func main() {
	durable.Register("Counter", NewCounter, durable.Method("increment", (*Counter).Increment), durable.Method("calls", (*Counter).Calls),
		durable.Method("greeting", (*Counter).Greeting), durable.Method("wait", (*Counter).Wait), durable.Method("leave", (*Counter).Leave), durable.Method("seen", (*Counter).Seen), durable.Method("rang", (*Counter).Rang),
		durable.Method("queue", (*Counter).Calls), durable.Method("scheduled", (*Counter).Calls))
	durable.HandleFetch(func(_ context.Context, env *durable.Env, r *durable.Request) (*durable.Response, error) {
		if strings.HasSuffix(r.URL, "/vars") {
			all, err := seen(env)
			return &durable.Response{Status: 200, Body: strings.NewReader(all)}, err
		}
		greeting, _, err := env.Var("GREETING")
		return &durable.Response{Status: 200, Body: strings.NewReader(greeting + " " + r.Method + " " + r.URL)}, err
	})
	durable.HandleScheduled(scheduled)
	durable.HandleQueue(consume)
	durable.Run()
}

func TestMain(m *testing.M) {
	main()
	m.Run()
}

func call(t *testing.T, stub *durable.Stub, method string) string {
	t.Helper()
	out, err := stub.Call(t.Context(), method, nil)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	return string(out)
}

func TestNewObjectsAreFresh(t *testing.T) {
	a, b := durabletest.New(t, "COUNTER"), durabletest.New(t, "COUNTER")
	call(t, a, "increment")
	if got := call(t, a, "increment") + call(t, b, "increment"); got != "21" {
		t.Errorf("counted %s", got)
	}
}

func TestEnvHasTheConfigsBindingsAndVariables(t *testing.T) {
	env := durabletest.Env(t, nil)
	if v, ok, err := env.Var("GREETING"); v != `hëllo "there"` || !ok || err != nil {
		t.Errorf("GREETING is %q, %v, %v", v, ok, err)
	}
	if got := call(t, durabletest.New(t, "COUNTER"), "greeting"); got != `hëllo "there"` {
		t.Errorf("the object sees %q", got)
	}
	_, err := env.Namespace("NOPE")
	if !errors.Is(err, durable.ErrNoBinding) || !strings.Contains(err.Error(), "COUNTER, DURABLETEST_KV, DURABLETEST_SQLITE, GREETING, JOBS, LIST, SECRET)") {
		t.Errorf("an unknown binding: %v", err)
	}
	env = durabletest.Env(t, &durabletest.Options{Vars: map[string]any{"GREETING": "other", "MORE": "m"}})
	if v, _, _ := env.Var("GREETING"); v != "other" {
		t.Errorf("GREETING is %q", v)
	}
	if v, _, _ := env.Var("MORE"); v != "m" {
		t.Errorf("MORE is %q", v)
	}
}

func TestWorkerAnswers(t *testing.T) {
	resp, err := durabletest.Worker(t).Fetch(t.Context(), &durable.Request{Method: "PUT", URL: "http://worker/path"})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); string(b) != `hëllo "there" PUT http://worker/path` || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

func TestRunWorksInsideTheObject(t *testing.T) {
	stub := durabletest.New(t, "COUNTER")
	call(t, stub, "increment")
	durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
		if n, _, err := state.Storage().KV().Get("n"); n != 1.0 || err != nil {
			t.Errorf("n is %v, %v", n, err)
		}
		if err := state.Storage().KV().Put("n", 41.0); err != nil {
			t.Error(err)
		}
		if got := call(t, stub, "increment"); got != "42" { // from inside, during the call
			t.Errorf("counted %s", got)
		}
		if ctx.Err() != nil {
			t.Error("ctx has ended")
		}
	})
}

func TestRunLetsItsFunctionEndTheTest(t *testing.T) {
	stub := durabletest.New(t, "COUNTER")
	t.Run("inner", func(t *testing.T) {
		durabletest.Run(t, stub, func(context.Context, *durable.State) { t.SkipNow() })
		t.Error("the test continued")
	})
	if got := call(t, stub, "increment"); got != "1" {
		t.Errorf("counted %s", got)
	}
}

func TestObjectsWithoutCodeHaveStorage(t *testing.T) {
	durabletest.Run(t, durabletest.New(t, durabletest.SQLite), func(ctx context.Context, state *durable.State) {
		if _, err := state.Storage().SQL().Exec("create table t (x)"); err != nil {
			t.Error(err)
		}
	})
	durabletest.Run(t, durabletest.New(t, durabletest.KV), func(ctx context.Context, state *durable.State) {
		if _, err := state.Storage().SQL().Exec("create table t (x)"); !errors.Is(err, durable.ErrNoSQL) {
			t.Errorf("SQL in a key-value backed object: %v", err)
		}
	})
}

func TestRunAlarmDeliversAPendingAlarmNow(t *testing.T) {
	stub := durabletest.New(t, "COUNTER")
	if ran, err := durabletest.RunAlarm(t, stub); ran || err != nil {
		t.Errorf("without an alarm: %v, %v", ran, err)
	}
	durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
		if err := state.Storage().SetAlarm(ctx, time.Now().Add(time.Hour), nil); err != nil {
			t.Error(err)
		}
	})
	if ran, err := durabletest.RunAlarm(t, stub); !ran || err == nil || err.Error() != "not at first" {
		t.Errorf("first delivery: %v, %v", ran, err)
	}
	durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
		if n, _, err := state.Storage().KV().Get("alarms"); n != 1.0 || err != nil {
			t.Errorf("%v alarms, %v", n, err)
		}
	})
	if ran, err := durabletest.RunAlarm(t, stub); !ran || err != nil {
		t.Errorf("second delivery: %v, %v", ran, err)
	}
	if ran, err := durabletest.RunAlarm(t, stub); ran || err != nil {
		t.Errorf("afterwards: %v, %v", ran, err)
	}
}

func TestListNamesTheObjectsThatWereCalled(t *testing.T) {
	if ids := durabletest.List(t, "COUNTER"); len(ids) != 0 {
		t.Errorf("at first: %v", ids)
	}
	ns, err := durabletest.Env(t, nil).Namespace("COUNTER")
	if err != nil {
		t.Fatal(err)
	}
	id, err := ns.IDFromName("a")
	if err != nil {
		t.Fatal(err)
	}
	stub, err := ns.Get(id, nil)
	if err != nil {
		t.Fatal(err)
	}
	call(t, stub, "increment")
	if ids := durabletest.List(t, "COUNTER"); len(ids) != 1 || ids[0] != id.String() {
		t.Errorf("then: %v, want %v", ids, id)
	}
}

func TestEvictBuildsTheObjectAnew(t *testing.T) {
	stub := durabletest.New(t, "COUNTER")
	call(t, stub, "increment")
	if got := call(t, stub, "calls"); got != "1" {
		t.Errorf("%s calls before", got)
	}
	durabletest.Evict(t, stub)
	if got := call(t, stub, "calls"); got != "0" {
		t.Errorf("%s calls after", got)
	}
	if got := call(t, stub, "increment"); got != "2" {
		t.Errorf("counted %s", got)
	}
}

func TestAbortFailsOpenCalls(t *testing.T) {
	stub := durabletest.Env(t, nil).Object("COUNTER", "a")
	call(t, stub, "increment")
	open := make(chan error)
	go func() {
		_, err := stub.Call(context.Background(), "wait", nil)
		open <- err
	}()
	time.Sleep(50 * time.Millisecond) // let the call arrive
	durabletest.Abort(t, stub)
	if err := <-open; !errors.Is(err, durable.ErrObjectReset) {
		t.Errorf("the open call: %v", err)
	}
	stub = durabletest.Env(t, nil).Object("COUNTER", "a")
	if got := call(t, stub, "calls") + call(t, stub, "increment"); got != "02" {
		t.Errorf("then: %s", got)
	}
}

// Each of these tests finds the namespace empty, also when they run in
// parallel.
func TestIsolation(t *testing.T) {
	for _, name := range []string{"one", "two", "three"} {
		t.Run(name, func(t *testing.T) { counts(t) })
	}
}

func TestIsolationA(t *testing.T) { t.Parallel(); counts(t) }
func TestIsolationB(t *testing.T) { t.Parallel(); counts(t) }
func TestIsolationC(t *testing.T) { t.Parallel(); counts(t) }

func counts(t *testing.T) {
	if ids := durabletest.List(t, "COUNTER"); len(ids) != 0 {
		t.Errorf("there are objects: %v", ids)
	}
	stub := durabletest.Env(t, nil).Object("COUNTER", "shared")
	for _, want := range []string{"1", "2", "3"} {
		if got := call(t, stub, "increment"); got != want {
			t.Errorf("counted %s, want %s", got, want)
		}
		time.Sleep(20 * time.Millisecond) // gives the others time to interfere
	}
}

func TestRestartKillsWorkerdAndTheTestGoesOn(t *testing.T) {
	byName := func() *durable.Stub {
		stub := durabletest.Env(t, nil).Object("COUNTER", "a")
		return stub
	}
	stub := byName()
	for i := range 3 {
		want := strconv.Itoa(i + 1)
		if got := call(t, stub, "increment"); got != want {
			t.Errorf("counted %s, want %s", got, want)
		}
		open := make(chan error)
		go func() {
			_, err := stub.Call(context.Background(), "wait", nil)
			open <- err
		}()
		time.Sleep(20 * time.Millisecond) // let the call arrive
		durabletest.Restart(t)
		if err := <-open; !errors.Is(err, durable.ErrDisconnected) {
			t.Errorf("the open call: %v", err)
		}
		if err := <-ended; !errors.Is(err, durable.ErrContextClosed) {
			t.Errorf("its handler ended with %v", err)
		}
		if _, err := stub.Call(t.Context(), "increment", nil); !errors.Is(err, durable.ErrDisconnected) {
			t.Errorf("a call through a dead stub: %v", err)
		}
		stub = byName()
		if got := call(t, stub, "calls"); got != "0" {
			t.Errorf("%s calls after the restart", got)
		}
	}
}

// The restart's own promise must not be confused with a call that begins at the
// same time.
func TestRestartAmidManyCalls(t *testing.T) {
	for range 3 {
		env := durabletest.Env(t, nil)
		lost := make(chan error, 8)
		for i := range cap(lost) {
			go func() {
				for {
					stub := env.Object("COUNTER", strconv.Itoa(i))
					if _, err := stub.Call(context.Background(), "increment", nil); err != nil {
						lost <- err
						return
					}
				}
			}()
		}
		time.Sleep(20 * time.Millisecond) // all calls have started
		durabletest.Restart(t)
		for range cap(lost) {
			if err := <-lost; !errors.Is(err, durable.ErrDisconnected) {
				t.Errorf("a call through a dead handle: %v", err)
			}
		}
	}
}

// leftOver receives the results of work that leave starts in an object or in
// the Worker. The work does not end with the test.
var leftOver = make(chan error, 10)

func (c *Counter) Leave(ctx context.Context, _ []byte) ([]byte, error) {
	durable.WaitUntil(ctx, func(ctx context.Context) {
		<-ctx.Done()
		leftOver <- context.Cause(ctx)
	})
	durable.WaitUntil(ctx, func(ctx context.Context) {
		time.Sleep(3 * time.Second)
		_, err := c.state.Storage().GetAlarm(ctx, nil)
		leftOver <- err
	})
	return nil, nil
}

// Each of these tests finds that the timers of an earlier test do not disturb
// it, and that the earlier test's goroutines no longer have an object.
func TestWorkThatIsLeftOver(t *testing.T) {
	for _, name := range []string{"first", "second"} {
		t.Run(name, func(t *testing.T) {
			call(t, durabletest.New(t, "COUNTER"), "leave")
			time.Sleep(20 * time.Millisecond)
		})
	}
	t.Run("then", func(t *testing.T) {
		durabletest.New(t, "COUNTER")
		for range 4 {
			if err := <-leftOver; !errors.Is(err, durable.ErrContextClosed) {
				t.Errorf("work that was left over: %v", err)
			}
		}
	})
}

// This test is like the example in the package's documentation.
func TestSubtestsShareWhatTheirParentHas(t *testing.T) {
	durabletest.List(t, "COUNTER")
	t.Run("one", func(t *testing.T) { call(t, durabletest.New(t, "COUNTER"), "increment") })
	t.Run("two", func(t *testing.T) {
		if ids := durabletest.List(t, "COUNTER"); len(ids) != 1 {
			t.Errorf("there are %v", ids)
		}
	})
}
