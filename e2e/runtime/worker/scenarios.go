package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"sync"
	"time"

	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/keepopen"
)

// State that goroutines of all contexts share.
var (
	mu       sync.Mutex
	canceled = make(chan error, 10)
)

type scenarioMap map[string]func(context.Context, *call) (string, error)

var scenarios = scenarioMap{}

func init() {
	for _, m := range []scenarioMap{basics, values, wakeups, cycles, ends, memory, responses, queues} {
		maps.Copy(scenarios, m)
	}
}

var basics = scenarioMap{
	"ping": func(context.Context, *call) (string, error) { return "pong", nil },

	"sleep": func(_ context.Context, c *call) (string, error) {
		time.Sleep(c.ms("n"))
		return "slept", nil
	},

	// later waits briefly and leaves a Go timer behind.
	"later": func(_ context.Context, c *call) (string, error) {
		time.AfterFunc(c.ms("n"), func() {})
		time.Sleep(20 * time.Millisecond)
		return "", nil
	},

	// put and get use the storage of the object in which they run.
	"put": func(_ context.Context, c *call) (string, error) {
		return "", c.kv().Put(c.Get("k"), c.Get("v"))
	},
	"get": func(_ context.Context, c *call) (string, error) {
		s, _, err := durable.Get[string](c.kv(), c.Get("k"))
		return s, err
	},

	// claim is PutIfAbsent of the dedupe store.
	"claim": func(ctx context.Context, c *call) (string, error) {
		store, err := dodedupe.NewStore(c.env, nil)
		if err != nil {
			return "", err
		}
		inserted, err := store.PutIfAbsent(ctx, []byte(c.Get("k")), c.ms("n"))
		return fmt.Sprint(inserted), err
	},
	// hold holds the lock until its request is cancelled.
	"hold": func(ctx context.Context, c *call) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		<-ctx.Done()
		_, err := c.run(context.WithoutCancel(ctx), "afterwards", "m=put&k=k&v=held")
		canceled <- errors.Join(context.Cause(ctx), err)
		return "", context.Cause(ctx)
	},
	// stubborn holds the lock and ignores the cancellation of its request,
	// while it waits for slow I/O.
	"stubborn": func(ctx context.Context, c *call) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		_, err := c.run(context.WithoutCancel(ctx), "slow", "m=sleep&n=60000")
		canceled <- err
		return "", err
	},
	"wasCanceled": func(ctx context.Context, c *call) (string, error) {
		err := <-canceled
		mu.Lock() // the lock must be free again
		defer mu.Unlock()
		return err.Error(), nil
	},
	// awaits calls an object that takes a minute, until its caller leaves. Its
	// context is the invocation itself, as without net/http.
	"awaits": func(ctx context.Context, c *call) (string, error) {
		_, err := c.run(ctx.Value(keepopen.Key{}).(context.Context), "slow", "m=sleep&n=60000")
		canceled <- err
		return "", err
	},
	// giveup abandons a call before its answer, and returns.
	"giveup": func(ctx context.Context, c *call) (string, error) {
		short, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		c.run(short, "slow", "m=sleep&n=50")
		return "", nil
	},
	"waituntil": func(ctx context.Context, c *call) (string, error) {
		durable.WaitUntil(ctx, func(ctx context.Context) {
			time.Sleep(c.ms("n"))
			c.run(ctx, c.Get("to"), "m=put&k=k&v=later")
		})
		if c.Get("hold") != "" { // until the caller has left
			<-ctx.Done()
		}
		return "answered", nil
	},

	// churn calls other objects, and does not release every stub. impatient
	// abandons calls before their answers.
	"churn": func(ctx context.Context, c *call) (string, error) {
		for range c.int("n") {
			stub := c.stub("other")
			if _, err := stub.Call(ctx, "run", []byte("m=ping")); err != nil {
				return "", err
			}
			if _, err := c.run(ctx, "other", "m=ping"); err != nil {
				return "", err
			}
		}
		return "", nil
	},
	"impatient": func(ctx context.Context, c *call) (string, error) {
		for range c.int("n") {
			short, cancel := context.WithTimeout(ctx, time.Millisecond)
			c.run(short, "other", "m=sleep&n=20")
			cancel()
		}
		time.Sleep(200 * time.Millisecond) // lets answers arrive that are not awaited
		return "", nil
	},

	"taskpanic": func(ctx context.Context, c *call) (string, error) {
		durable.WaitUntil(ctx, func(context.Context) { panic("task boom") })
		return "answered", nil
	},
	"panic": func(context.Context, *call) (string, error) { panic("boom") },
	"crash": func(_ context.Context, c *call) (string, error) {
		go panic("uncaught")
		time.Sleep(c.ms("n"))
		return "", nil
	},
	"exit":     func(context.Context, *call) (string, error) { os.Exit(3); return "", nil },
	"deadlock": func(context.Context, *call) (string, error) { select {} },
	"overflow": func(context.Context, *call) (string, error) { return fmt.Sprint(recurse(1)), nil },
	"txoverflow": func(_ context.Context, c *call) (string, error) {
		return "", c.state.Storage().TransactionSync(func() error {
			return errors.New(fmt.Sprint(recurse(1)))
		})
	},
	"oom": oom,
	"putcrash": func(_ context.Context, c *call) (string, error) {
		c.kv().Put("half", "done")
		os.Exit(1)
		return "", nil
	},
	// print prints inside a transaction: package os writes through js.Funcs,
	// which enter Go inside the transaction.
	"print": func(_ context.Context, c *call) (string, error) {
		return "", c.state.Storage().TransactionSync(func() error {
			fmt.Println("printed in a transaction")
			slog.Info("logged in a transaction")
			return nil
		})
	},
	"stats":   func(context.Context, *call) (string, error) { return stats(), nil },
	"manyPut": manyPut,
}

func recurse(n int) int {
	if n == 0 {
		return 0
	}
	return recurse(n+1) + recurse(n-1)
}

var hog [][]byte

func oom(context.Context, *call) (string, error) {
	for {
		b := make([]byte, 256<<20)
		for i := 0; i < len(b); i += 64 << 10 {
			b[i] = 1
		}
		hog = append(hog, b)
	}
}

func manyPut(ctx context.Context, c *call) (string, error) {
	for i := c.int("from"); i < c.int("to"); i++ {
		if _, err := c.run(ctx, fmt.Sprint("many", i), "m=put&k=k&v=v"); err != nil {
			return "", err
		}
	}
	return "done", nil
}
