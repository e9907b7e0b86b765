package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"flow.internal/capdo/dedupe/dodedupe"
)

var (
	objectSize int      // bytes that each new object holds
	held       [][]byte // held until the program ends
)

var memory = scenarioMap{
	"objectsize": func(_ context.Context, c *call) (string, error) {
		objectSize = c.int("n")
		return "", nil
	},
	// hoard keeps n MB.
	"hoard": func(_ context.Context, c *call) (string, error) {
		for range c.int("n") {
			held = append(held, bytes.Repeat([]byte("x"), 1<<20))
		}
		return fmt.Sprint(len(held)), nil
	},
	// litter makes n MB of garbage, in pieces of 10 kB.
	"litter": func(_ context.Context, c *call) (string, error) {
		var kept [10][]byte
		for i := range c.int("n") * 100 {
			kept[i%10] = make([]byte, 10<<10)
		}
		return "done", nil
	},
	"wake": wake,
}

// wake calls the objects from..to, 50 at a time, or those that keep a key of a
// ledger each. None stores anything.
func wake(ctx context.Context, c *call) (string, error) {
	visit := func(i int) error {
		_, err := c.run(ctx, fmt.Sprint("live", i), "m=ping")
		return err
	}
	if c.Get("of") == "ledger" {
		ledger, err := dodedupe.NewLedger(c.env, nil)
		if err != nil {
			return "", err
		}
		visit = func(i int) error { return ledger.Forget(ctx, fmt.Append(nil, "live", i)) }
	}
	var wg sync.WaitGroup
	errs := make(chan error, 1)
	free := make(chan struct{}, 50)
	for i := c.int("from"); i < c.int("to"); i++ {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			if err := visit(i); err != nil {
				select {
				case errs <- err:
				default:
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return "", err
	default:
		return "awake", nil
	}
}
