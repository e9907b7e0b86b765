package main

import (
	"bytes"
	"context"
	"fmt"
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
}
