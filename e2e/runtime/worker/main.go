// The Worker that the runtime's tests drive. Each request runs one scenario, in
// the stateless Worker or, with o=NAME, inside the Durable Object of that name.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

// call is the place in which a scenario runs, with its query.
type call struct {
	env   *durable.Env
	state *durable.State // nil in the stateless Worker
	url.Values
}

func (c *call) int(name string) int {
	n, _ := strconv.Atoi(c.Get(name))
	return n
}

func (c *call) ms(name string) time.Duration {
	return time.Duration(c.int(name)) * time.Millisecond
}

func (c *call) kv() *durable.KV { return c.state.Storage().KV() }

// stub returns the Lab object of that name.
func (c *call) stub(name string) *durable.Stub { return c.env.Object("LAB", name) }

// run runs a scenario in another object.
func (c *call) run(ctx context.Context, object string, query string) (string, error) {
	stub := c.stub(object)
	defer stub.Release()
	out, err := stub.Call(ctx, "run", []byte(query))
	return string(out), err
}

// Lab is the Durable Object that scenarios run in.
type Lab struct {
	state *durable.State
	env   *durable.Env
	big   []byte
}

func NewLab(_ context.Context, state *durable.State, env *durable.Env) (*Lab, error) {
	if err := constructorFails(); err != nil {
		return nil, err
	}
	return &Lab{state, env, bytes.Repeat([]byte("x"), objectSize)}, nil
}

func (l *Lab) Run(ctx context.Context, args []byte) ([]byte, error) {
	q, err := url.ParseQuery(string(args))
	if err != nil {
		return nil, err
	}
	out, err := scenario(ctx, &call{l.env, l.state, q})
	return []byte(out), err
}

// List returns the length of a list.
func (l *Lab) List(_ context.Context, list []any) (int, error) { return len(list), nil }

func (l *Lab) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	switch {
	case r.IsUpgrade():
		return acceptSocket(ctx, r)
	case strings.Contains(r.URL, "status="):
		return raw(r)
	case strings.Contains(r.URL, "m=ring"):
		return l.serveRing(ctx, r)
	}
	return durablehttp.Serve(ctx, http.HandlerFunc(serveObject), r)
}

func scenario(ctx context.Context, c *call) (string, error) {
	f, ok := scenarios[c.Get("m")]
	if !ok {
		return "", fmt.Errorf("no scenario %q", c.Get("m"))
	}
	return f(ctx, c)
}

func main() {
	durable.Register("Lab", NewLab, durable.Method("run", (*Lab).Run),
		durable.Func[*Lab]("list", (*Lab).List))
	dodedupe.RegisterStore("Dedupe")
	dodedupe.RegisterLedger("Ledger", nil)
	durable.HandleFetch(func(
		ctx context.Context, env *durable.Env, r *durable.Request,
	) (*durable.Response, error) {
		if strings.Contains(r.URL, "status=") {
			return raw(r)
		}
		return durablehttp.Serve(ctx,
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(env, w, r) }), r)
	})
	durable.HandleScheduled(scheduled)
	durable.HandleQueue(consume)
	if err := durable.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(env *durable.Env, w http.ResponseWriter, r *http.Request) {
	c := &call{env: env, Values: r.URL.Query()}
	if r.URL.Path == "/body" {
		serveBody(w, r)
		return
	}
	if r.URL.Path == "/passed" {
		passOn(c, w, r)
		return
	}
	if r.URL.Path == "/object" {
		serveThrough(c, w, r)
		return
	}
	var out string
	var err error
	if o := c.Get("o"); o != "" {
		out, err = c.run(r.Context(), o, r.URL.RawQuery)
	} else {
		out, err = scenario(r.Context(), c)
	}
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		json.NewEncoder(w).Encode(map[string]any{"error": err.Error()})
		return
	}
	w.Write([]byte(out))
}

// stats returns the figures that the tests of memory compare.
func stats() string {
	runtime.GC()
	runtime.GC() // the first collection queued cleanups
	time.Sleep(10 * time.Millisecond)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b, _ := json.Marshal(map[string]any{"heap": m.HeapAlloc, "sys": m.Sys,
		"goroutines": runtime.NumGoroutine()})
	return string(b)
}
