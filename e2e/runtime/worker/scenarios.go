package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
)

// What goroutines of all contexts share.
var (
	mu       sync.Mutex
	channel  = make(chan string)
	canceled = make(chan error, 10)
)

var scenarios = map[string]func(context.Context, *call) (string, error){
	"ping": func(context.Context, *call) (string, error) { return "pong", nil },

	"sleep": func(_ context.Context, c *call) (string, error) {
		time.Sleep(c.ms("n"))
		return "slept", nil
	},

	// later waits a little, and leaves a Go timer behind.
	"later": func(_ context.Context, c *call) (string, error) {
		time.AfterFunc(c.ms("n"), func() {})
		time.Sleep(20 * time.Millisecond)
		return "", nil
	},

	// put and get reach storage, in the object they run in.
	"put":     func(_ context.Context, c *call) (string, error) { return "", c.kv().Put(c.Get("k"), c.Get("v")) },
	"putsize": func(_ context.Context, c *call) (string, error) { return "", c.kv().Put("k", make([]byte, c.int("n"))) },
	"get": func(_ context.Context, c *call) (string, error) {
		v, _, err := c.kv().Get(c.Get("k"))
		s, _ := v.(string)
		return s, err
	},

	// receive waits on a channel for what another object's event sends, then uses its own storage.
	"receive": func(_ context.Context, c *call) (string, error) {
		got := <-channel
		if err := c.kv().Put("got", got); err != nil {
			return "", err
		}
		v, _, err := c.kv().Get("got")
		return v.(string), err
	},
	"send": func(_ context.Context, c *call) (string, error) {
		channel <- c.Get("v")
		return "", c.kv().Put("sent", c.Get("v"))
	},

	// lock holds a lock across a subrequest; another request wants it meanwhile.
	"lock": func(ctx context.Context, c *call) (string, error) {
		mu.Lock()
		out, err := c.run(ctx, "sleeper", fmt.Sprintf("m=sleep&n=%d", c.int("n")))
		mu.Unlock()
		if err != nil {
			return "", err
		}
		_, err = c.run(ctx, "other", "m=ping")
		return out, err
	},

	// locksleep holds the lock while it sleeps.
	"locksleep": func(_ context.Context, c *call) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		time.Sleep(c.ms("n"))
		return "slept", nil
	},

	// claim is PutIfAbsent of the dedupe store, forget its Forget.
	"claim": func(ctx context.Context, c *call) (string, error) {
		store, err := dodedupe.New(c.env, nil)
		if err != nil {
			return "", err
		}
		inserted, err := store.PutIfAbsent(ctx, []byte(c.Get("k")), c.ms("n"))
		return fmt.Sprint(inserted), err
	},
	"forget": func(ctx context.Context, c *call) (string, error) {
		store, err := dodedupe.New(c.env, nil)
		if err != nil {
			return "", err
		}
		return "", store.Forget(ctx, []byte(c.Get("k")))
	},

	"swarm": swarm,

	// hold takes the lock until its request is cancelled.
	"hold": func(ctx context.Context, c *call) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		<-ctx.Done()
		_, err := c.run(context.WithoutCancel(ctx), "afterwards", "m=put&k=k&v=held")
		canceled <- errors.Join(context.Cause(ctx), err)
		return "", context.Cause(ctx)
	},
	// stubborn takes the lock and ignores that its request was cancelled, while it waits for I/O that takes long.
	"stubborn": func(ctx context.Context, c *call) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		_, err := c.run(context.WithoutCancel(ctx), "slow", "m=sleep&n=60000")
		canceled <- err
		return "", err
	},
	"wasCanceled": func(ctx context.Context, c *call) (string, error) {
		err := <-canceled
		mu.Lock() // which has to be free again
		defer mu.Unlock()
		return err.Error(), nil
	},
	"timeout": func(ctx context.Context, c *call) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, c.ms("n"))
		defer cancel()
		return c.run(ctx, "slow", "m=sleep&n=60000")
	},
	// fetchtimeout gives a fetch up and waits until the object has noticed.
	"fetchtimeout": func(ctx context.Context, c *call) (string, error) {
		stub, err := c.stub("fetched")
		if err != nil {
			return "", err
		}
		short, cancel := context.WithTimeout(ctx, c.ms("n"))
		defer cancel()
		resp, err := stub.Fetch(short, &durable.Request{Method: "GET", URL: "http://object/?do=hold&" + c.Encode()})
		if err == nil {
			_, err = io.ReadAll(resp.Body)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			return "", fmt.Errorf("fetch: %w", err)
		}
		select {
		case cause := <-canceled:
			return cause.Error(), nil
		case <-time.After(5 * time.Second):
			return "the object does not know", nil
		}
	},
	// giveup gives a call up before it is answered, and is over.
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
		if c.Get("hold") != "" { // until the caller has gone
			<-ctx.Done()
		}
		return "answered", nil
	},

	// churn calls other objects, and does not release every stub; impatient gives calls up before they are answered.
	"churn": func(ctx context.Context, c *call) (string, error) {
		for range c.int("n") {
			stub, err := c.stub("other")
			if err != nil {
				return "", err
			}
			if _, err = stub.Call(ctx, "run", []byte("m=ping")); err != nil {
				return "", err
			}
			if _, err = c.run(ctx, "other", "m=ping"); err != nil {
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
		time.Sleep(200 * time.Millisecond) // for the answers that nobody waits for
		return "", nil
	},

	"taskpanic": func(ctx context.Context, c *call) (string, error) {
		durable.WaitUntil(ctx, func(context.Context) { panic("task boom") })
		return "answered", nil
	},
	"panic":   func(context.Context, *call) (string, error) { panic("boom") },
	"badbind": func(_ context.Context, c *call) (string, error) { _, err := c.env.Namespace("NOPE"); return "", err },
	"crash": func(_ context.Context, c *call) (string, error) {
		go panic("uncaught")
		time.Sleep(c.ms("n"))
		return "", nil
	},
	"goexit":   func(context.Context, *call) (string, error) { runtime.Goexit(); return "", nil },
	"exit":     func(context.Context, *call) (string, error) { os.Exit(3); return "", nil },
	"deadlock": func(context.Context, *call) (string, error) { select {} },
	"overflow": func(context.Context, *call) (string, error) { return fmt.Sprint(recurse(1)), nil },
	"oom":      oom,
	"putcrash": func(_ context.Context, c *call) (string, error) {
		c.kv().Put("half", "done")
		os.Exit(1)
		return "", nil
	},
	"stats":    func(context.Context, *call) (string, error) { return stats(), nil },
	"manyPut":  manyPut,
	"badalarm": badAlarm,
	"badctor":  badConstructor,
	"slowctor": slowConstructor,
	"setalarm": func(ctx context.Context, c *call) (string, error) {
		return "", c.state.Storage().SetAlarm(ctx, time.Now().Add(c.ms("n")))
	},
	"getalarm":  getAlarm,
	"deleteall": func(ctx context.Context, c *call) (string, error) { return "", c.state.Storage().DeleteAll(ctx) },

	"sql":         sql,
	"transaction": transaction,
	"parking":     parking,
	"outsider":    outsider,
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

func badAlarm(_ context.Context, c *call) (string, error) {
	alarm = func(_ context.Context, s *durable.State, info durable.AlarmInfo) error {
		kv := s.Storage().KV()
		v, _, _ := kv.Get("deliveries")
		n, _ := v.(float64)
		kv.Put("deliveries", n+1)
		if info.RetryCount == 0 {
			panic("alarm boom")
		}
		return kv.Put("alarm", fmt.Sprintf("retry %v count %d", info.IsRetry, info.RetryCount))
	}
	return "", nil
}

func badConstructor(_ context.Context, c *call) (string, error) {
	construct = nil
	switch c.Get("how") {
	case "panic":
		construct = func(context.Context, *durable.State) error { panic("constructor boom") }
	case "error":
		construct = func(context.Context, *durable.State) error { return errors.New("constructor refuses") }
	case "late":
		construct = func(context.Context, *durable.State) error {
			time.Sleep(20 * time.Millisecond)
			return errors.New("constructor refuses late")
		}
	}
	return "", nil
}

// slowConstructor makes constructors wait and write; calls must find it done.
func slowConstructor(_ context.Context, c *call) (string, error) {
	construct = func(ctx context.Context, s *durable.State) error {
		if c.Get("on") == "lock" { // to be woken by another context's goroutine
			mu.Lock()
			defer mu.Unlock()
		} else {
			time.Sleep(50 * time.Millisecond)
		}
		return s.Storage().KV().Put("constructed", "yes")
	}
	return "", nil
}

func getAlarm(ctx context.Context, c *call) (string, error) {
	at, err := c.state.Storage().GetAlarm(ctx)
	if at.IsZero() {
		return "none", err
	}
	return "set", err
}

func sql(_ context.Context, c *call) (string, error) {
	db := c.state.Storage().SQL()
	if _, err := db.Exec("CREATE TABLE IF NOT EXISTS t (i INTEGER PRIMARY KEY, s TEXT, r REAL, b BLOB, n TEXT)"); err != nil {
		return "", err
	}
	for i := range c.int("n") {
		if _, err := db.Exec("INSERT INTO t VALUES (?, ?, ?, ?, ?)", i, fmt.Sprint("row ", i), float64(i)/2, []byte{byte(i)}, nil); err != nil {
			return "", err
		}
	}
	rows, err := db.Exec("SELECT i, s, r, b, n FROM t ORDER BY i")
	if err != nil {
		return "", err
	}
	count := 0
	for rows.Next() {
		var (
			i int64
			s string
			r float64
			b []byte
			n any
		)
		if err := rows.Scan(&i, &s, &r, &b, &n); err != nil {
			return "", err
		}
		if i != int64(count) || s != fmt.Sprint("row ", i) || r != float64(i)/2 || len(b) != 1 || b[0] != byte(i) || n != nil {
			return "", fmt.Errorf("row %d is %v %v %v %v %v", count, i, s, r, b, n)
		}
		count++
	}
	return fmt.Sprintf("%d rows, columns %s, read %d", count, strings.Join(rows.ColumnNames(), " "), rows.RowsRead()), rows.Err()
}
