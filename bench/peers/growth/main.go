// The peer whose cost is measured as it grows: each request is one operation of
// a ledger, whose mapping and scope it names. /many does it for many keys.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"time"

	"flow.internal/capdo/bench/peers/app"
	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
)

func main() {
	app.Register()
	durable.HandleFetch(serve)
	durable.Run()
}

func serve(ctx context.Context, env *durable.Env, r *durable.Request) (*durable.Response, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, err
	}
	q := query{u.Query()}
	ledger, err := q.ledger(env)
	if err != nil {
		return nil, err
	}
	var out string
	switch u.Path {
	case "/claim":
		out, err = claim(ctx, ledger, q.Get("key"))
	case "/work":
		out, err = "done", work(ctx, ledger, q.Get("key"), q.number("size"))
	case "/many":
		out, err = "done", many(ctx, ledger, q)
	default:
		err = errors.New("no such path")
	}
	if err != nil {
		return nil, err
	}
	return &durable.Response{Status: 200, Body: bytes.NewBufferString(out)}, nil
}

type query struct{ url.Values }

func (q query) number(name string) int {
	n, _ := strconv.Atoi(q.Get(name))
	return n
}

func (q query) ledger(env *durable.Env) (*dodedupe.Ledger, error) {
	opts := &dodedupe.LedgerOptions{Scope: q.Get("scope")}
	if n := q.number("buckets"); n > 0 {
		opts.Mapping = dodedupe.Buckets(n)
	}
	return dodedupe.NewLedger(env, opts)
}

var options = dedupe.ClaimOptions{Lease: time.Hour, TTL: 24 * time.Hour}

// claim says what became of a claim, and how long the result is.
func claim(ctx context.Context, ledger *dodedupe.Ledger, key string) (string, error) {
	c, err := ledger.Claim(ctx, []byte(key), options)
	if c.Outcome == dedupe.Acquired {
		return "acquired", err
	}
	return fmt.Sprint("taken ", len(c.Result)), err
}

// work claims a new key and completes it with so many bytes.
func work(ctx context.Context, ledger *dodedupe.Ledger, key string, size int) error {
	c, err := ledger.Claim(ctx, []byte(key), options)
	if err != nil {
		return err
	}
	return ledger.Complete(ctx, c, bytes.Repeat([]byte("r"), size))
}

// many claims the keys from..to, 32 at a time.
func many(ctx context.Context, ledger *dodedupe.Ledger, q query) error {
	var mu sync.Mutex
	var failed error
	var wg sync.WaitGroup
	free := make(chan struct{}, 32)
	for i := q.number("from"); i < q.number("to"); i++ {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			_, err := claim(ctx, ledger, q.Get("key")+strconv.Itoa(i))
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
		})
	}
	wg.Wait()
	return failed
}
