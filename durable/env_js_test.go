package durable_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"flow.internal/capdo/durable"
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
