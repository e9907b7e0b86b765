package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"flow.internal/capdo/internal/jsrt"
)

// probe runs the operation args[0] on the values after it, as they crossed the
// boundary.
func probe(ctx context.Context, c *jsrt.Context, args []any) (any, error) {
	switch op := args[0].(string); op {
	case "echo":
		return []any{args[1:], dump(args[1:])}, nil
	case "call":
		return callHost(ctx, args[1].(*jsrt.Ref), args[2].([]any)), nil
	case "deep":
		return deep(ctx, int(args[1].(float64)), args[2].(*jsrt.Ref), args[3].([]any)), nil
	case "return":
		return returnValues(args[1].(*jsrt.Ref), uint64(args[2].(float64)), int(args[3].(float64)))
	case "names":
		return distinctNames(args[1].(*jsrt.Ref), int(args[2].(float64)))
	case "handles":
		return handles(c, args[1].(*jsrt.Ref))
	case "canaries":
		return len(canaries), checkCanaries()
	case "gc":
		return nil, collect()
	}
	return nil, errors.New("no such probe")
}

// callHost runs each step on a JavaScript object. It returns for each: [whether
// it is an error, the value, its dump].
func callHost(ctx context.Context, host *jsrt.Ref, steps []any) []any {
	var out []any
	for _, s := range steps {
		step := s.([]any)
		how, name := step[0].(string), step[1].(string)
		var v any
		var err error
		switch how {
		case "get":
			v, err = host.Get(name)
		case "call":
			v, err = call(host, name, step[2:])
		case "await":
			v, err = host.Await(ctx, name, step[2:]...)
		}
		if err != nil {
			v = describe(err)
		}
		out = append(out, []any{err != nil, v, dump(v)})
	}
	return out
}

// call is Ref.Call for functions that may return a promise. Call panics for
// those.
func call(host *jsrt.Ref, name string, args []any) (v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return host.Call(name, args...)
}

// describe converts an error to a value: name, message and properties of an
// error that JavaScript threw, otherwise only its text.
func describe(err error) any {
	e, ok := err.(*jsrt.Error)
	if !ok {
		return map[string]any{"text": err.Error()}
	}
	return map[string]any{"name": e.Name, "message": e.Message, "props": e.Props}
}

// deep is callHost with n frames of Go below it.
func deep(ctx context.Context, n int, host *jsrt.Ref, steps []any) []any {
	if n == 0 {
		return callHost(ctx, host, steps)
	}
	out := deep(ctx, n-1, host, steps)
	runtime.KeepAlive(&n)
	return out
}

// distinctNames calls methods of n different names: more than JavaScript has
// numbers for.
func distinctNames(host *jsrt.Ref, n int) (any, error) {
	for i := range n {
		name := "method" + strconv.Itoa(i)
		if v, err := host.Call(name, i); err != nil || v != name {
			return nil, fmt.Errorf("%s returned %v, %v", name, v, err)
		}
		if v, err := host.Get(name + "x"); err != nil || v != name+"x" {
			return nil, fmt.Errorf("property %sx is %v, %v", name, v, err)
		}
	}
	if v, err := host.Call("\xff"); err == nil {
		return nil, fmt.Errorf("a name that is not UTF-8 was another method's: %v", v)
	}
	return n, nil
}

// handles uses released references and passes them on.
func handles(c *jsrt.Context, host *jsrt.Ref) (any, error) {
	v, err := host.Call("object")
	if err != nil {
		return nil, err
	}
	ref := v.(*jsrt.Ref)
	ref.Release()
	ref.Release()
	if v, err := ref.Get("secret"); err == nil {
		return nil, fmt.Errorf("a released handle still reads %v", v)
	}
	for _, args := range [][]any{{ref}, {[]any{ref}}, {map[string]any{"a": []any{ref}}}} {
		if v, err := host.Call("same", args...); err == nil {
			return nil, fmt.Errorf("a released handle was passed as %v", dump(v))
		}
	}
	other, err := host.Call("object")
	if err != nil {
		return nil, err
	}
	third, err := host.Call("object")
	if err != nil {
		return nil, err
	}
	same, err := host.Call("isSame", other, third)
	if err != nil || same != false {
		return nil, fmt.Errorf("two objects have one handle: %v, %v", same, err)
	}
	return foreign(c, host)
}

// kept is a reference of the first object that called. Other objects must not be
// able to use it.
var kept *jsrt.Ref

func foreign(c *jsrt.Context, host *jsrt.Ref) (any, error) {
	if kept == nil {
		kept = host
		return "kept", nil
	}
	if kept.Context() == c {
		return "mine", nil
	}
	for _, args := range [][]any{{kept}, {[]any{kept}}, {map[string]any{"a": []any{1, kept}}}} {
		if v, err := host.Call("same", args...); !errors.Is(err, jsrt.ErrForeignHandle) {
			return nil, fmt.Errorf("a handle of another object was passed as %v, %v", dump(v), err)
		}
	}
	return "refused", nil
}

// canaries are blocks with the sizes of buffers and values, so that those are
// allocated between them.
var canaries = newCanaries()

func newCanaries() [][]byte {
	var list [][]byte
	for i := range 1500 {
		b := make([]byte, []int{16, 48, 96, 256, 1024, 4096, 4096, 4864, 8192}[i%9])
		for j := range b {
			b[j] = byte(i*31 + j)
		}
		list = append(list, b)
	}
	for i := range list { // leaves holes for buffers
		if i%4 == 3 {
			list[i] = nil
		}
	}
	return list
}

func checkCanaries() error {
	for i, b := range canaries {
		for j := range b {
			if b[j] != byte(i*31+j) {
				return fmt.Errorf("block %d of %d bytes has been overwritten at %d", i, len(b), j)
			}
		}
	}
	return nil
}

// collect runs the garbage collector and releases unused references.
func collect() error {
	for range 3 {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	return nil
}
