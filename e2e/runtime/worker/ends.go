package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
)

// failing tells how the next constructor fails: "now", "later", or "never",
// after it has waited.
var failing string

func constructorFails() error {
	how := failing
	switch failing = ""; how {
	case "":
		return nil
	case "later":
		<-gate
	case "never":
		<-gate
		return nil
	}
	return errors.New("the constructor failed")
}

var ends = scenarioMap{
	"failnext": func(_ context.Context, c *call) (string, error) {
		failing = c.Get("how")
		return "", nil
	},
	// gatecrash ends the program in a requested turn.
	"gatecrash": func(_ context.Context, c *call) (string, error) {
		<-gate
		c.kv().Get("a")
		os.Exit(3)
		return "", nil
	},
	// openexit lets constructors that wait end, and then ends the program.
	"openexit": func(context.Context, *call) (string, error) {
		close(gate)
		runtime.Gosched()
		os.Exit(3)
		return "", nil
	},
	"gopanic": func(context.Context, *call) (string, error) {
		go func() { panic("in a goroutine") }()
		select {}
	},
	// blockexit ends the program in a turn of a section.
	"blockexit": func(ctx context.Context, c *call) (string, error) {
		return "", c.state.BlockConcurrencyWhile(ctx, func() error {
			time.Sleep(c.ms("n"))
			os.Exit(3)
			return nil
		})
	},
	// waitrand waits for the end of its context and then reads random bytes,
	// like the code that makes the id of a retry.
	"waitrand": func(ctx context.Context, c *call) (string, error) {
		<-ctx.Done()
		rand.Read(make([]byte, 8))
		return "", nil
	},
	"manystats": func(_ context.Context, c *call) (string, error) {
		errs := make(chan error)
		for range c.int("n") {
			go func() { _, err := os.Stat("/x"); errs <- err }()
		}
		for range c.int("n") {
			if <-errs == nil {
				return "", errors.New("the file exists")
			}
		}
		return "done", nil
	},
	// lines prints a line in pieces, with I/O in between, and the beginning of
	// another line.
	"lines": func(_ context.Context, c *call) (string, error) {
		for i := range 5 {
			if _, _, err := c.kv().Get("k"); err != nil {
				return "", err
			}
			fmt.Print(c.Get("t"), i, " ")
			time.Sleep(5 * time.Millisecond)
		}
		if _, _, err := c.kv().Get("k"); err != nil {
			return "", err
		}
		fmt.Print("end\nrest of ", c.Get("t"))
		return "", nil
	},
}
