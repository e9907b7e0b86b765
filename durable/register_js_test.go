package durable_test

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

func TestMethodsBytesArriveUnchanged(t *testing.T) {
	stub := durabletest.New(t, "LAB")
	for _, size := range []int{0, 1, 4 << 10, 5 << 20} {
		in := make([]byte, size)
		for i := range in {
			in[i] = byte(i * 7)
		}
		if out, err := stub.Call(t.Context(), "echo", in); !bytes.Equal(in, out) || err != nil {
			t.Errorf("%d bytes came back as %d, %v", size, len(out), err)
		}
	}
	if out, err := stub.Call(t.Context(), "echo", nil); len(out) != 0 || err != nil {
		t.Errorf("an empty value came back as %q, %v", out, err)
	}
}

func TestMethodThatIsNotThereIsTheCallersError(t *testing.T) {
	stub := durabletest.New(t, "LAB")
	if out, err := stub.Call(t.Context(), "nope", nil); err == nil {
		t.Errorf("answered %q", out)
	}
}

func TestCallerGetsMessageAndFieldsOfAnError(t *testing.T) {
	for name, p := range map[string]place{"an object": object(t), "the Worker": worker(t)} {
		_, err := p(t.Context(), func(context.Context, *Lab) (string, error) {
			return "", &durable.Error{Name: "RangeError", Message: "too far", Props: map[string]any{"code": "E7", "steps": 3.0}}
		})
		var e *durable.Error
		if !errors.As(err, &e) || e.Name != "RangeError" || e.Message != "too far" || e.Props["code"] != "E7" || e.Props["steps"] != 3.0 {
			t.Errorf("%s: %#v", name, err)
		}
		if !errors.Is(err, durable.ErrRemote) || errors.Is(err, durable.ErrObjectReset) {
			t.Errorf("%s: %v is another kind of error", name, err)
		}
	}
}

func TestPanicInAHandlerIsTheCallersError(t *testing.T) {
	o := object(t)
	var first *Lab
	o.want(t, "", func(_ context.Context, l *Lab) (string, error) {
		first = l
		return "", l.put("k", "kept")
	})
	o.wantError(t, "panic: boom", func(context.Context, *Lab) (string, error) { panic("boom") })
	o.want(t, "kept", func(_ context.Context, l *Lab) (string, error) {
		if l != first {
			t.Error("the object was built again")
		}
		return l.get("k")
	})
	w := worker(t)
	w.wantError(t, "panic: boom", func(context.Context, *Lab) (string, error) { panic("boom") })
	w.want(t, "pong", ping)
}

func TestGoexitOfAHandlerIsTheCallersError(t *testing.T) {
	for _, p := range []place{object(t), worker(t)} {
		p.wantError(t, "runtime.Goexit", func(context.Context, *Lab) (string, error) {
			runtime.Goexit()
			return "", nil
		})
		p.want(t, "pong", ping)
	}
}

func TestPanicInATaskHarmsNobody(t *testing.T) {
	bystander := object(t)
	over := make(chan struct{})
	open := bystander.begin(t, func(context.Context, *Lab) (string, error) {
		<-over
		return "went on", nil
	})
	for _, p := range []place{worker(t), object(t)} {
		panicked := make(chan struct{})
		p.want(t, "answered", func(ctx context.Context, _ *Lab) (string, error) {
			durable.WaitUntil(ctx, func(context.Context) {
				defer close(panicked)
				panic("task boom")
			})
			return "answered", nil
		})
		<-panicked
		p.want(t, "pong", ping)
	}
	close(over)
	wantOutcome(t, open, "went on")
}

func TestFailedConstructorRunsAgain(t *testing.T) {
	for text, construct := range map[string]func(context.Context, *Lab) error{
		"panics":  func(context.Context, *Lab) error { panic("constructor panics") },
		"refuses": func(context.Context, *Lab) error { return errors.New("constructor refuses") },
		"refuses late": func(context.Context, *Lab) error {
			time.Sleep(20 * time.Millisecond)
			return errors.New("constructor refuses late")
		},
		"panics late": func(context.Context, *Lab) error { time.Sleep(20 * time.Millisecond); panic("constructor panics late") },
	} {
		t.Run(text, func(t *testing.T) {
			built := 0
			set(t, &onConstruct, func(ctx context.Context, l *Lab) error {
				built++
				return construct(ctx, l)
			})
			for range 2 {
				if _, err := named(t, "a")(t.Context(), ping); err == nil || !bytes.Contains([]byte(err.Error()), []byte(text)) {
					t.Errorf("the call: %v", err)
				}
			}
			if built != 2 {
				t.Errorf("it was constructed %d times", built)
			}
			onConstruct = nil
			named(t, "a").want(t, "pong", ping)
		})
	}
}

func TestConstructorThatWaitsHoldsCallsBack(t *testing.T) {
	set(t, &onConstruct, func(_ context.Context, l *Lab) error {
		time.Sleep(50 * time.Millisecond)
		return l.put("constructed", "yes")
	})
	o := object(t)
	first, second := o.begin(t, get("constructed")), o.begin(t, get("constructed"))
	wantOutcome(t, first, "yes")
	wantOutcome(t, second, "yes")
}

func TestConstructorWaitsForALock(t *testing.T) {
	var mu sync.Mutex
	waiting := make(chan struct{})
	set(t, &onConstruct, func(_ context.Context, l *Lab) error {
		close(waiting)
		mu.Lock()
		defer mu.Unlock()
		return l.put("constructed", "yes")
	})
	locked := make(chan struct{})
	holder := worker(t).begin(t, func(context.Context, *Lab) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		close(locked)
		<-waiting
		time.Sleep(50 * time.Millisecond) // lets the constructor wait for the lock
		return "held", nil
	})
	<-locked
	object(t).want(t, "yes", get("constructed"))
	wantOutcome(t, holder, "held")
}
