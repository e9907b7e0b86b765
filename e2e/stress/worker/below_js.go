package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall/js"
)

// callBelow has JavaScript call Go while Go is on the stack, in several
// goroutines at the same time.
func callBelow(_ context.Context, _ *place, op *Op) ([]string, error) {
	f := js.FuncOf(func(_ js.Value, args []js.Value) any { return fmt.Sprint(args[0].Int(), " below") })
	defer f.Release()
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		wg.Go(func() {
			for n := range op.N / 3 {
				got := js.Global().Get("Reflect").Call("apply", f, js.Undefined(), []any{n}).String()
				if want := fmt.Sprint(n, " below"); got != want {
					errs[i] = fmt.Errorf("a callback returned %q, want %q", got, want)
				}
			}
		})
	}
	wg.Wait()
	return nil, errors.Join(errs...)
}
