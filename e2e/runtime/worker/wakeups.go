package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"flow.internal/capdo/durable"
)

// gate is a lock that scenarios of several objects wait for.
var (
	gate    = make(chan struct{})
	busy    sync.Mutex
	lastNow time.Time
	lock    sync.Mutex
)

var wakeups = scenarioMap{
	"open": func(context.Context, *call) (string, error) {
		close(gate)
		gate = make(chan struct{})
		return "opened", nil
	},
	"gatewait": func(_ context.Context, c *call) (string, error) { <-gate; return "waited", nil },
	"gatetx": func(_ context.Context, c *call) (string, error) {
		<-gate
		return "done", c.state.Storage().TransactionSync(func() error {
			return c.kv().Put("a", "b")
		})
	},
	"gateget": func(_ context.Context, c *call) (string, error) {
		<-gate
		_, _, err := c.kv().Get("a")
		return "got", err
	},
	// patient waits for the gate with a deadline, as a request should.
	"patient": func(ctx context.Context, c *call) (string, error) {
		select {
		case <-gate:
			return "waited", nil
		case <-time.After(c.ms("n")):
			return "nothing yet", nil
		}
	},
	// contend shares a lock with other objects, and makes a transaction while
	// it holds it.
	"contend": func(_ context.Context, c *call) (string, error) {
		for range c.int("n") {
			if err := increment(c); err != nil {
				return "", err
			}
		}
		v, _, err := c.kv().Get("n")
		return fmt.Sprint(v), err
	},
	"block": func(ctx context.Context, c *call) (string, error) {
		return "done", c.state.BlockConcurrencyWhile(ctx, func() error { return naps(c) })
	},
	"txn": func(ctx context.Context, c *call) (string, error) {
		return "done", c.state.Storage().Transaction(ctx,
			func(*durable.Transaction) error { return naps(c) })
	},
	// bg leaves a goroutine behind that does I/O when the object is idle.
	"bg": func(_ context.Context, c *call) (string, error) {
		go func() {
			time.Sleep(c.ms("n"))
			c.kv().Put("bg", "written")
		}()
		return "", nil
	},
	// task holds a lock after its answer, for longer than workerd allows.
	"task": func(ctx context.Context, c *call) (string, error) {
		durable.WaitUntil(ctx, func(ctx context.Context) {
			lock.Lock()
			defer lock.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(time.Minute): // without this nothing is pending, which is a deadlock
			}
			canceled <- context.Cause(ctx)
			_, err := c.run(context.WithoutCancel(ctx), "slow", "m=sleep&n=60000")
			canceled <- err
		})
		return "answered", nil
	},
	"lock": func(context.Context, *call) (string, error) {
		lock.Lock()
		defer lock.Unlock()
		return "locked", nil
	},
	"cause": func(context.Context, *call) (string, error) { return (<-canceled).Error(), nil },
	// now returns how far time has advanced since the previous call, by any
	// object.
	"now": func(context.Context, *call) (string, error) {
		now := time.Now()
		d := now.Sub(lastNow)
		lastNow = now
		return strconv.Itoa(int(d)), nil
	},
	"spin": func(_ context.Context, c *call) (string, error) {
		for end := time.Now().Add(c.ms("n")); time.Now().Before(end); {
		}
		lastNow = time.Now()
		return "spun", nil
	},
}

func increment(c *call) error {
	busy.Lock()
	defer busy.Unlock()
	return c.state.Storage().TransactionSync(func() error {
		n, _, err := durable.Get[int64](c.kv(), "n")
		if err != nil {
			return err
		}
		return c.kv().Put("n", n+1)
	})
}

// naps sleeps n ms in several pieces.
func naps(c *call) error {
	for range 5 {
		time.Sleep(c.ms("n") / 5)
		if err := c.kv().Put("nap", "taken"); err != nil {
			return err
		}
	}
	return nil
}
