package durable_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

func TestMissingBindingIsNamedWithThoseThatExist(t *testing.T) {
	for name, p := range map[string]place{"the Worker": worker(t), "an object": object(t)} {
		p.want(t, "", func(_ context.Context, l *Lab) (string, error) {
			for _, binding := range []string{"NOPE", "COLOUR", ""} { // COLOUR is a variable, not a binding
				_, err := l.env.Namespace(binding)
				if !errors.Is(err, durable.ErrNoBinding) || !strings.Contains(err.Error(), `"`+binding+`"`) || !strings.Contains(err.Error(), "BARE, COLOUR, COUNT, COUNTER, ") || !strings.Contains(err.Error(), "LAB") {
					t.Errorf("%s, %q: %v", name, binding, err)
				}
			}
			return "", nil
		})
	}
}

func TestVariablesAreThere(t *testing.T) {
	for name, p := range map[string]place{"the Worker": worker(t), "an object": object(t)} {
		p.want(t, "blue", func(_ context.Context, l *Lab) (string, error) {
			if v, ok, err := l.env.Var("NOPE"); v != "" || ok || err != nil {
				t.Errorf("%s: NOPE is %q, %v, %v", name, v, ok, err)
			}
			v, ok, err := l.env.Var("COLOUR")
			if !ok {
				t.Errorf("%s: COLOUR is missing", name)
			}
			return v, err
		})
	}
}

func TestEnvironmentThatIsNilSaysSo(t *testing.T) {
	var env *durable.Env
	_, _, varErr := env.Var("COLOUR")
	_, nsErr := env.Namespace("LAB")
	_, fetchErr := env.Fetch(t.Context(), &durable.Request{URL: "https://example.com/"})
	for call, err := range map[string]error{"Var": varErr, "Namespace": nsErr, "Fetch": fetchErr} {
		if err == nil || !strings.Contains(err.Error(), "the environment is nil") || !strings.Contains(err.Error(), "hint: ") {
			t.Errorf("%s: %v", call, err)
		}
	}
}

func TestVariablesThatAreNoTextAreJSON(t *testing.T) {
	for name, p := range map[string]place{"the Worker": worker(t), "an object": object(t)} {
		p.want(t, "", func(_ context.Context, l *Lab) (string, error) {
			for variable, want := range map[string]string{"LIMITS": `{"cents":500,"of":[1,true,null]}`, "COUNT": "42", "ON": "true"} {
				if v, ok, err := l.env.Var(variable); v != want || !ok || err != nil {
					t.Errorf("%s, %s: %q, %v, %v", name, variable, v, ok, err)
				}
			}
			if v, ok, err := l.env.Var("COUNTER"); v != "" || ok || err == nil || !strings.Contains(err.Error(), `"COUNTER" is a binding`) {
				t.Errorf("%s, COUNTER: %q, %v, %v", name, v, ok, err)
			}
			return "", nil
		})
	}
}

func TestEnvObjectIsTheOneOfThatName(t *testing.T) {
	for name, p := range map[string]place{"the Worker": worker(t), "an object": object(t)} {
		p.want(t, "", func(ctx context.Context, l *Lab) (string, error) {
			stub := l.env.Object("LEDGER", t.Name())
			if n, err := durable.Call[int](ctx, stub, "add", 1, 1); n != 2 || err != nil {
				t.Errorf("%s: %d, %v", name, n, err)
			}
			id, err := l.env.Object("LEDGER", t.Name()).ID() // before any call
			if err != nil || id.Name() != t.Name() {
				t.Errorf("%s: %v, %v", name, id, err)
			}
			return "", err
		})
	}
}

// closed is a body that records whether it was closed.
type closed struct {
	io.Reader
	isClosed bool
}

func (c *closed) Close() error {
	c.isClosed = true
	return nil
}

// A stub of Env.Object returns the error of its binding at its first call,
// whatever that is.
func TestEnvObjectFailsAtItsFirstCall(t *testing.T) {
	stubs := map[string]struct {
		stub func() *durable.Stub
		want string
	}{
		"an unknown binding":      {func() *durable.Stub { return durabletest.Env(t, nil).Object("NOPE", "a") }, `no such Durable Object binding: "NOPE" (bindings of this Worker: `},
		"a variable":              {func() *durable.Stub { return durabletest.Env(t, nil).Object("COLOUR", "a") }, "no such Durable Object binding"},
		"no environment":          {func() *durable.Stub { return (*durable.Env)(nil).Object("LAB", "a") }, "the environment is nil"},
		"a name that is not text": {func() *durable.Stub { return durabletest.Env(t, nil).Object("LAB", "\xff") }, "UTF-8"},
	}
	method := durable.NewMethod[string, string]("do")
	calls := map[string]func(*durable.Stub) error{
		"Stub.Call":        func(s *durable.Stub) error { _, err := s.Call(t.Context(), "do", nil); return err },
		"Call":             func(s *durable.Stub) error { _, err := durable.Call[string](t.Context(), s, "do"); return err },
		"TypedMethod.Call": func(s *durable.Stub) error { _, err := method.Call(t.Context(), s, ""); return err },
		"ID":               func(s *durable.Stub) error { _, err := s.ID(); return err },
		"Fetch": func(s *durable.Stub) error {
			body := &closed{Reader: strings.NewReader("body")}
			_, err := s.Fetch(t.Context(), &durable.Request{Method: "POST", URL: "http://lab/", Body: body})
			if !body.isClosed {
				t.Error("Fetch has not closed the request's body")
			}
			return err
		},
	}
	for name, c := range stubs {
		for how, call := range calls {
			stub := c.stub()
			for _, n := range []string{"first", "second"} {
				if err := call(stub); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: %s call, %s: %v", name, n, how, err)
				}
			}
			stub.Release()
			if err := call(stub); err == nil || !strings.Contains(err.Error(), "has been released") {
				t.Errorf("%s: %s after Release: %v", name, how, err)
			}
		}
	}
	if _, err := durabletest.Env(t, nil).Object("NOPE", "a").ID(); !errors.Is(err, durable.ErrNoBinding) {
		t.Errorf("%v is not ErrNoBinding", err)
	}
}

// A stub that was not called before its invocation ended cannot connect any
// more.
func TestEnvObjectOfAnInvocationThatIsOver(t *testing.T) {
	var stub *durable.Stub
	worker(t).want(t, "", func(_ context.Context, l *Lab) (string, error) {
		stub = l.env.Object("LAB", "a")
		return "", nil
	})
	if _, err := stub.Call(t.Context(), "do", nil); !errors.Is(err, durable.ErrContextClosed) {
		t.Errorf("got %v, want ErrContextClosed", err)
	}
}
