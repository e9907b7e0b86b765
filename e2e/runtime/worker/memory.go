package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"flow.internal/capdo/dedupe/dodedupe"
)

var (
	objectSize int      // of each new object, in bytes
	held       [][]byte // until the program ends
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

// wake has the objects of the keys from..to constructed, 50 at a time. Each
// reads that it has nothing stored.
func wake(ctx context.Context, c *call) (string, error) {
	ledger, err := dodedupe.NewLedger(c.env, nil)
	if err != nil {
		return "", err
	}
	var failed error
	var wg sync.WaitGroup
	free := make(chan struct{}, 50)
	for i := c.int("from"); i < c.int("to"); i++ {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			if err := ledger.Forget(ctx, fmt.Append(nil, "live", i)); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = errors.Join(failed, err)
			}
		})
	}
	wg.Wait()
	return "awake", failed
}
