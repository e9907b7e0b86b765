package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"flow.internal/capdo/durable"
)

// canaries are live blocks that are never written.
var canaries [][]byte

var values = scenarioMap{
	"gcpercent": func(_ context.Context, c *call) (string, error) {
		debug.SetGCPercent(c.int("n"))
		return "", nil
	},
	"canaries": func(_ context.Context, c *call) (string, error) {
		for i := range c.int("n") {
			canaries = append(canaries, bytes.Repeat([]byte{0xa5}, 16+i%1000))
		}
		return "", nil
	},
	// overwritten returns how many canaries have changed.
	"overwritten": func(context.Context, *call) (string, error) {
		n := 0
		for _, b := range canaries {
			if len(bytes.Trim(b, "\xa5")) > 0 {
				n++
			}
		}
		return fmt.Sprint(n), nil
	},
	// length returns the length of a stored list.
	"length": func(_ context.Context, c *call) (string, error) {
		list, _, err := durable.Get[[]any](c.kv(), c.Get("k"))
		return fmt.Sprint(len(list)), err
	},
	"proto": func(ctx context.Context, c *call) (string, error) {
		err := errors.Join(
			c.state.Storage().PutMany(ctx,
				[]durable.Entry{{Key: "__proto__", Value: map[string]any{"x": 1.0}},
					{Key: "b", Value: "w"}}, nil),
			c.kv().Put("m", map[string]any{"__proto__": "x", "a": "y"}))
		list, err2 := c.state.Storage().List(ctx, &durable.ListOptions{End: "c"})
		v, _, err3 := c.kv().Get("m")
		return fmt.Sprintf("%v %v", list, v), errors.Join(err, err2, err3)
	},
	// released uses a stub that was released.
	"released": func(ctx context.Context, c *call) (string, error) {
		stub := c.stub("other")
		stub.Release()
		_, err := stub.Call(ctx, "abort", nil)
		return fmt.Sprint(err), nil
	},
	// refs makes handles, drops them, and checks that each handle still refers
	// to the same object.
	"refs": func(ctx context.Context, c *call) (string, error) {
		ns, err := c.env.Namespace("LAB")
		if err != nil {
			return "", err
		}
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for g := range errs {
			wg.Go(func() {
				for i := 0; i < c.int("n") && errs[g] == nil; i++ {
					errs[g] = checkHandle(ns, fmt.Sprint(g, i))
				}
			})
		}
		wg.Wait()
		return "done", errors.Join(errs...)
	},
	// names calls methods that do not exist.
	"names": func(ctx context.Context, c *call) (string, error) {
		stub := c.stub("other")
		for i := range c.int("n") {
			if _, err := stub.Call(ctx, fmt.Sprint("noSuchMethod", i), nil); err == nil {
				return "", errors.New("a method that does not exist was called")
			}
		}
		return c.run(ctx, "other", "m=ping")
	},
	// target calls a JavaScript method whose result contains remote values.
	"target": func(ctx context.Context, c *call) (string, error) {
		stub := c.stub("other")
		for range c.int("n") {
			durable.Call[map[string]any](ctx, stub, "target")
		}
		time.Sleep(100 * time.Millisecond)
		return "done", nil
	},
}

func checkHandle(ns *durable.Namespace, name string) error {
	id, err := ns.IDFromName(name)
	if err != nil {
		return err
	}
	stub, err := ns.Get(id, nil)
	if err != nil {
		return err
	}
	_ = make([]byte, 200)
	if len(name)%4 == 0 {
		time.Sleep(time.Millisecond)
	}
	got, err := stub.ID()
	if err == nil && got.String() != id.String() {
		err = fmt.Errorf("%v is not %v", got, id)
	}
	return err
}
