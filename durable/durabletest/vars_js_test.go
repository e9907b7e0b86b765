package durabletest_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// seen returns the variables SECRET, GREETING and MORE of an environment.
func seen(env *durable.Env) (string, error) {
	var all []string
	for _, name := range []string{"SECRET", "GREETING", "MORE"} {
		v, _, err := env.Var(name)
		if err != nil {
			return "", err
		}
		all = append(all, v)
	}
	return strings.Join(all, ","), nil
}

func (c *Counter) Seen(context.Context, []byte) ([]byte, error) {
	s, err := seen(c.env)
	return []byte(s), err
}

// seenEverywhere returns what Env, the Worker and a new object see.
func seenEverywhere(t *testing.T) string {
	t.Helper()
	mine, err := seen(durabletest.Env(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := durabletest.Worker(t).Fetch(t.Context(), &durable.Request{Method: "GET", URL: "http://worker/vars"})
	if err != nil {
		t.Fatal(err)
	}
	workers, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return mine + "|" + string(workers) + "|" + call(t, durabletest.New(t, "COUNTER"), "seen")
}

func TestVariablesAreTheSameEverywhere(t *testing.T) {
	everywhere := func(vars string) string { return vars + "|" + vars + "|" + vars }
	config := everywhere(`of the test,hëllo "there",`)
	if got := seenEverywhere(t); got != config {
		t.Errorf("from the config and .dev.vars.test: %s", got)
	}
	t.Run("with Options", func(t *testing.T) {
		durabletest.Env(t, &durabletest.Options{Vars: map[string]any{"GREETING": "hi", "MORE": "m"}})
		if got := seenEverywhere(t); got != everywhere("of the test,hi,m") {
			t.Errorf("of Options: %s", got)
		}
		durabletest.Restart(t)
		if got := seenEverywhere(t); got != everywhere("of the test,hi,m") {
			t.Errorf("after a restart: %s", got)
		}
		durabletest.Env(t, &durabletest.Options{Vars: map[string]any{"SECRET": "s"}})
		if got := seenEverywhere(t); got != everywhere("s,hi,m") {
			t.Errorf("from two Options: %s", got)
		}
	})
	if got := seenEverywhere(t); got != config {
		t.Errorf("after the subtest: %s", got)
	}
}

func TestInvalidVariablesAreRefused(t *testing.T) {
	if got := failure(t, func(t testing.TB) {
		durabletest.Env(t, &durabletest.Options{Vars: map[string]any{"C": make(chan int)}})
	}); !strings.Contains(got, "variable C: ") {
		t.Errorf("failed with %q", got)
	}
}

// recorder is a testing.TB that records a failure.
type recorder struct {
	testing.TB
	message string
}

func (r *recorder) Fatal(args ...any) {
	r.message, _ = args[0].(string)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure returns the message that f fails with.
func failure(t *testing.T, f func(testing.TB)) string {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.message
}

func TestEvictInsideRunIsRefused(t *testing.T) {
	stub := durabletest.New(t, "COUNTER")
	durabletest.Run(t, stub, func(context.Context, *durable.State) {
		if got := failure(t, func(t testing.TB) { durabletest.Evict(t, stub) }); !strings.Contains(got, "inside the object\nhint: evict it after Run has returned") {
			t.Errorf("failed with %q", got)
		}
		other := durabletest.New(t, "COUNTER")
		call(t, other, "increment")
		durabletest.Evict(t, other)
	})
	durabletest.Evict(t, stub)
	if got := call(t, stub, "calls"); got != "0" {
		t.Errorf("%s calls after", got)
	}
}

func TestCleanupsUseObjects(t *testing.T) {
	stub := durabletest.New(t, "COUNTER")
	t.Cleanup(func() {
		if ids := durabletest.List(t, "COUNTER"); len(ids) != 1 {
			t.Errorf("there are %v", ids)
		}
		durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
			if n, _, err := state.Storage().KV().Get("n"); n != 1.0 || err != nil {
				t.Errorf("n is %v, %v", n, err)
			}
			if err := state.Storage().SetAlarm(ctx, time.Now().Add(time.Hour), nil); err != nil {
				t.Error(err)
			}
		})
		if ran, err := durabletest.RunAlarm(t, stub); !ran || err == nil {
			t.Errorf("%v, %v", ran, err)
		}
		durabletest.Evict(t, stub)
		durabletest.Abort(t, stub)
		durabletest.New(t, "COUNTER")
	})
	call(t, stub, "increment")
}

func TestRunAlarmAtGivesTheHandlerATime(t *testing.T) {
	stub := durabletest.New(t, "COUNTER")
	for _, at := range []time.Time{time.Date(2001, 2, 3, 4, 5, 6, 7e6, time.UTC), time.Date(2101, 2, 3, 4, 5, 6, 0, time.UTC)} {
		durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
			if err := state.Storage().SetAlarm(ctx, time.Now().Add(time.Hour), nil); err != nil {
				t.Error(err)
			}
		})
		if ran, _ := durabletest.RunAlarmAt(t, stub, at); !ran {
			t.Error("no alarm was pending")
		}
		if got := call(t, stub, "rang"); got != at.Format(time.RFC3339Nano) {
			t.Errorf("the handler saw %s, want %v", got, at)
		}
	}
}

func (c *Counter) Rang(context.Context, []byte) ([]byte, error) {
	return []byte(c.rang.UTC().Format(time.RFC3339Nano)), nil
}
