// The Worker of the load test. Each request makes one operation on many keys of
// a ledger, by as many callers.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

func main() {
	dodedupe.RegisterLedger("Ledger", nil)
	dodedupe.RegisterLedger("Telling", &dodedupe.LedgerClassOptions{OnExpired: tell})
	mountService()
	http.HandleFunc("/reported", serveReported)
	http.HandleFunc("/memory", serveMemory)
	http.HandleFunc("/", serve)
	durablehttp.Handle(http.DefaultServeMux)
	if err := durable.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// memory is shared by all requests, because one program serves them.
var memory = struct {
	sync.Mutex
	claims   map[string]dedupe.Claim // acquired, but neither completed nor released yet
	holders  map[string]int
	reported map[string]int // notices of dead holders, by key
}{claims: map[string]dedupe.Claim{}, holders: map[string]int{}, reported: map[string]int{}}

func tell(_ context.Context, _ *durable.Env, e dodedupe.Expired) error {
	memory.Lock()
	defer memory.Unlock()
	memory.reported[string(e.Key)]++
	return nil
}

func serveReported(w http.ResponseWriter, _ *http.Request) {
	memory.Lock()
	defer memory.Unlock()
	most := 0
	for _, n := range memory.reported {
		most = max(most, n)
	}
	json.NewEncoder(w).Encode(map[string]int{"keys": len(memory.reported), "most": most})
}

func serveMemory(w http.ResponseWriter, _ *http.Request) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	json.NewEncoder(w).Encode(m.HeapAlloc + m.StackInuse)
}

// tally counts the outcomes of a request's calls.
type tally struct {
	mu                                               sync.Mutex
	Acquired, TakenOver, Replay, InProgress, Attempt int // Attempt is the highest
	Overloaded                                       int
	Done                                             int // completed or released
	// wrong results, or keys with two holders
	Wrong  int
	Errors map[string]int // others, by text
}

func serve(w http.ResponseWriter, r *http.Request) {
	o, err := newOrder(r.Context(), durablehttp.Env(r), r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	o.run()
	json.NewEncoder(w).Encode(&o.tally)
}

// order is the content of a request.
type order struct {
	ctx      context.Context
	ledger   *dodedupe.Ledger
	op       string
	prefix   string
	from, to int // range of callers
	keys     int // number of shared keys; 0: each caller has its own
	parallel int
	options  dedupe.ClaimOptions
	until    int64 // if set, the time when keys expire and leases end, in Unix ms
	releases int   // how many holders, one after the other, release before one completes
	tally    tally
}

func newOrder(ctx context.Context, env *durable.Env, q url.Values) (*order, error) {
	number := func(name string) int {
		n, _ := strconv.Atoi(q.Get(name))
		return n
	}
	o := &order{
		ctx: ctx, op: q.Get("op"), prefix: q.Get("prefix"), from: number("from"), to: number("to"),
		keys: number("keys"), parallel: number("parallel"),
		until: int64(number("until")), releases: number("releases"),
		tally: tally{Errors: map[string]int{}},
	}
	o.options = dedupe.ClaimOptions{Lease: time.Hour, TTL: time.Hour,
		Wait: time.Duration(number("wait")) * time.Millisecond}
	if n := number("lease"); n > 0 {
		o.options.Lease = time.Duration(n) * time.Millisecond
	}
	opts := dodedupe.LedgerOptions{Binding: q.Get("binding"), Scope: q.Get("scope")}
	if n := number("buckets"); n > 0 {
		opts.Mapping = dodedupe.Buckets(n)
	}
	var err error
	o.ledger, err = dodedupe.NewLedger(env, &opts)
	return o, err
}

// run makes the calls, a limited number at a time.
func (o *order) run() {
	var wg sync.WaitGroup
	free := make(chan struct{}, max(o.parallel, 1))
	for n := o.from; n < o.to; n++ {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			o.call(o.key(n))
		})
	}
	wg.Wait()
}

func (o *order) key(n int) string {
	if o.keys > 0 {
		n %= o.keys
	}
	return o.prefix + strconv.Itoa(n)
}

func (o *order) call(key string) {
	var err error
	switch o.op {
	case "claim":
		_, err = o.claim(key)
	case "work":
		err = o.work(key)
	case "complete":
		err = o.finish(key, taken(key), true)
	case "release":
		err = o.finish(key, taken(key), false)
	default:
		err = errors.New("no such operation")
	}
	o.tally.fail(err)
}

// claim claims a key and remembers the claim.
func (o *order) claim(key string) (dedupe.Claim, error) {
	options := o.options
	if o.until != 0 {
		left := max(time.Until(time.UnixMilli(o.until)), time.Millisecond)
		options.TTL, options.Lease = left, left
	}
	c, err := o.ledger.Claim(o.ctx, []byte(key), options)
	if err != nil {
		return c, err
	}
	o.tally.count(key, &c)
	if c.Outcome == dedupe.Acquired {
		memory.Lock()
		defer memory.Unlock()
		memory.claims[key] = c
	}
	return c, nil
}

// taken removes a claim from the memory and returns it.
func taken(key string) dedupe.Claim {
	memory.Lock()
	defer memory.Unlock()
	c := memory.claims[key]
	delete(memory.claims, key)
	return c
}

// work does the work of a key that it acquires: it extends the lease, and then
// completes or releases the claim.
func (o *order) work(key string) error {
	c, err := o.claim(key)
	if err != nil || c.Outcome != dedupe.Acquired {
		return err
	}
	o.tally.hold(key, 1)
	err = o.ledger.Extend(o.ctx, c, time.Hour)
	o.tally.hold(key, -1)
	if err != nil {
		return err
	}
	return o.finish(key, c, c.Attempt > o.releases)
}

func (o *order) finish(key string, c dedupe.Claim, complete bool) (err error) {
	if complete {
		err = o.ledger.Complete(o.ctx, c, []byte(key))
	} else {
		err = o.ledger.Release(o.ctx, c)
	}
	if err != nil {
		return err
	}
	o.tally.mu.Lock()
	defer o.tally.mu.Unlock()
	o.tally.Done++
	return nil
}

func (t *tally) count(key string, c *dedupe.Claim) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Attempt = max(t.Attempt, c.Attempt)
	switch c.Outcome {
	case dedupe.Acquired:
		t.Acquired++
	case dedupe.Replay:
		t.Replay++
		if string(c.Result) != key {
			t.Wrong++
		}
	case dedupe.InProgress:
		t.InProgress++
	}
	if c.TakenOver {
		t.TakenOver++
	}
}

// hold counts a key's holders.
func (t *tally) hold(key string, n int) {
	memory.Lock()
	memory.holders[key] += n
	two := memory.holders[key] > 1
	memory.Unlock()
	if two {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.Wrong++
	}
}

func (t *tally) fail(err error) {
	if err == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if errors.Is(err, dedupe.ErrOverloaded) && !errors.Is(err, dedupe.ErrUnknownOutcome) {
		t.Overloaded++
		return
	}
	t.Errors[err.Error()]++
}
