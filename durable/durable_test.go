package durable

import (
	"context"
	"errors"
	"testing"

	"flow.internal/capdo/internal/jsrt"
)

// Messages are workerd's own, of 2026-11-17.
func TestClassify(t *testing.T) {
	for _, c := range []struct {
		message string
		props   map[string]any
		want    error
	}{
		{"Durable Object is overloaded. Too many requests queued.", map[string]any{"overloaded": true, "retryable": true}, ErrOverloaded},
		{"Durable Object is overloaded. Requests queued for too long.", nil, ErrOverloaded},
		{"Durable Object is overloaded. Too many requests queued.", map[string]any{"remote": true, "overloaded": true}, ErrRemote}, // of a call that it made
		{"Durable Object exceeded its memory limit and was reset.", map[string]any{"overloaded": true, "durableObjectReset": true}, ErrObjectReset},
		{"Durable Object reset because its code was updated.", map[string]any{"durableObjectReset": true}, ErrObjectReset},
		{"Durable Object reset because its code was updated.", nil, ErrObjectReset},
		{"the Go program exited with code 2: panic: boom", map[string]any{"durableObjectReset": true, "remote": true}, ErrObjectReset},
		{"Network connection lost.", map[string]any{"retryable": true}, ErrDisconnected},
		{"Network connection lost.", map[string]any{"remote": true}, ErrRemote}, // what an object says is not what happened to its caller
		{"panic: boom", map[string]any{"remote": true}, ErrRemote},
		{"Invalid Durable Object ID: must be 64 hex digits", nil, ErrInvalidID},
		{"Durable Object ID is not valid for this namespace.", nil, ErrInvalidID},
		{"Your Durable Object class must have an alarm() handler in order to call setAlarm()", nil, ErrNoAlarmHandler},
		{"SQL is not enabled for this Durable Object class. To enable it, …", nil, ErrNoSQL},
		{"UNIQUE constraint failed: t.i: SQLITE_CONSTRAINT", nil, nil},
	} {
		err := classify(&jsrt.Error{Name: "Error", Message: c.message, Props: c.props})
		var e *Error
		if !errors.As(err, &e) || e.Message != c.message || e.kind != c.want {
			t.Errorf("%q %v: %#v, want kind %v", c.message, c.props, err, c.want)
		}
		if _, retryable := c.props["retryable"]; e.Retryable != retryable {
			t.Errorf("%q: Retryable is %v", c.message, e.Retryable)
		}
	}
	if err := classify(context.Canceled); err != context.Canceled {
		t.Errorf("a Go error became %v", err)
	}
	if err := classify(nil); err != nil {
		t.Errorf("nil became %v", err)
	}
}

func TestThrowKeepsWhatAnErrorCarriesButNotHowItsOwnCallFailed(t *testing.T) {
	in := &Error{Name: "RangeError", Message: "m", Props: map[string]any{"code": "E1", "remote": true, "overloaded": true}}
	js := throw(errors.Join(errors.New("while asking"), in))
	if js.Name != "RangeError" || js.Props["code"] != "E1" || js.Flag("remote") || js.Flag("overloaded") || js.Message != "while asking\nm" {
		t.Errorf("%#v", js)
	}
	if js := throw(errors.New("bad \xff text")); js.Message != "bad \uFFFD text" {
		t.Errorf("%#v", js)
	}
	if js := throw(errors.New("plain")); js.Name != "Error" || js.Message != "plain" {
		t.Errorf("%#v", js)
	}
}

func TestLimitErrorSaysWhichLimit(t *testing.T) {
	err := error(&LimitError{"size of a key and its value, in bytes", 10, 11})
	if !errors.Is(err, ErrLimit) || err.Error() != "size of a key and its value, in bytes: 11 exceeds the maximum of 10" {
		t.Errorf("%v", err)
	}
}

func TestRegisterRefusesBadNames(t *testing.T) {
	construct := func(context.Context, *State, *Env) (*State, error) { return nil, nil }
	method := func(name string) RPCMethod[*State] {
		return Method(name, func(*State, context.Context, []byte) ([]byte, error) { return nil, nil })
	}
	defer func(w worker) { program = w }(program)
	for name, register := range map[string]func(){
		"a class that is no identifier": func() { Register("my-class", construct) },
		"an empty class":                func() { Register("", construct) },
		"a class twice":                 func() { Register("A", construct); Register("A", construct) },
		"a method twice":                func() { Register("B", construct, method("x"), method("x")) },
		"a reserved method":             func() { Register("C", construct, method("fetch")) },
		"a method that is an injection": func() { Register("D", construct, method("x(){}; constructor")) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			register()
		}()
	}
}

func TestScanNeverChangesAValue(t *testing.T) {
	c := &Cursor{columns: []string{"c"}}
	for _, v := range []any{0.5, 1e300, float64(1 << 53), "1", nil, []byte("1"), true} {
		c.row = []any{v}
		var n int64
		if err := c.Scan(&n); err == nil {
			t.Errorf("%#v was scanned into an int64 as %d", v, n)
		}
	}
	for _, n := range []int64{0, -1, 1<<53 - 1, -(1<<53 - 1)} {
		c.row = []any{float64(n)}
		var got int64
		if err := c.Scan(&got); err != nil || got != n {
			t.Errorf("%d became %d, %v", n, got, err)
		}
	}
	for _, n := range []int64{1 << 53, -1 << 53, 1<<53 + 1} {
		if v, err := bindValue(n); err == nil {
			t.Errorf("%d was bound as %v", n, v)
		}
	}
}
