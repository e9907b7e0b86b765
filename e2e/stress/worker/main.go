// The Worker that the stress test drives. A request has one operation as JSON.
// It runs in the stateless Worker, or in the object that it names. Nothing here
// is random: the test decides.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/e2e/internal/accept"
)

// Op is an operation.
type Op struct {
	Kind   string   `json:"kind"`
	Object string   `json:"object"` // where it runs; "" for the Worker itself
	ID     string   `json:"id"`     // id of its addition
	Path   []string `json:"path"`   // objects that it calls
	N      int      `json:"n"`      // a size or a count
	Wait   int      `json:"wait"`   // in ms
}

func (o *Op) wait() time.Duration { return time.Duration(o.Wait) * time.Millisecond }

// place is the place where an operation runs.
type place struct {
	env   *durable.Env
	actor *Actor // nil in the Worker
}

// Actor is the Durable Object in which operations run. For each addition it
// stores an id and increments a count.
type Actor struct {
	state *durable.State
	env   *durable.Env
	free  chan struct{} // full while the slow counter is not being changed
}

func NewActor(ctx context.Context, state *durable.State, env *durable.Env) (*Actor, error) {
	if _, _, err := state.Storage().KV().Get("n"); err != nil {
		return nil, err
	}
	time.Sleep(time.Millisecond) // blocks events
	a := &Actor{state, env, make(chan struct{}, 1)}
	a.free <- struct{}{}
	return a, nil
}

// Do runs an operation and returns the ids that it has added.
func (a *Actor) Do(ctx context.Context, op Op) ([]string, error) {
	return run(ctx, &place{a.env, a}, &op)
}

// Echo returns its arguments.
func (a *Actor) Echo(_ context.Context, data []byte, text string) (string, error) {
	return fmt.Sprintf("%d %d", len(data), len(text)), nil
}

// Added is an object's count with its ids.
type Added struct {
	N   float64  `json:"n"`
	IDs []string `json:"ids"`
}

// Added returns the additions with the prefix: "" or "slow ".
func (a *Actor) Added(_ context.Context, prefix string) (Added, error) {
	kv, out := a.state.Storage().KV(), Added{}
	n, _, err := durable.Get[float64](kv, prefix+"n")
	if err != nil {
		return out, err
	}
	out.N = n
	prefix += "id "
	for e, err := range kv.List(&durable.ListOptions{Prefix: prefix}) {
		if err != nil {
			return out, err
		}
		out.IDs = append(out.IDs, e.Key[len(prefix):])
	}
	return out, nil
}

// add makes an addition. It does not wait, so it is one step.
func (a *Actor) add(prefix, id string, n float64) error {
	kv := a.state.Storage().KV()
	return errors.Join(kv.Put(prefix+"n", n+1), kv.Put(prefix+"id "+id, true))
}

func (a *Actor) count(prefix string) (float64, error) {
	n, _, err := durable.Get[float64](a.state.Storage().KV(), prefix+"n")
	return n, err
}

// addSync adds to the current count without waiting.
func (a *Actor) addSync(id string) error {
	n, err := a.count("")
	if err != nil {
		return err
	}
	return a.add("", id, n)
}

func (p *place) stub(object string) *durable.Stub { return p.env.Object("ACTOR", object) }

// call runs an operation in an object.
func (p *place) call(ctx context.Context, op Op) ([]string, error) {
	stub := p.stub(op.Object)
	if op.N%2 == 0 {
		defer stub.Release() // otherwise Go's collector releases it
	}
	return durable.Call[[]string](ctx, stub, "do", op)
}

func run(ctx context.Context, p *place, op *Op) ([]string, error) {
	f := operations[op.Kind]
	if f == nil {
		return nil, errors.New("no operation " + op.Kind)
	}
	return f(ctx, p, op)
}

func serve(ctx context.Context, env *durable.Env, r *durable.Request) (*durable.Response, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, err
	}
	p, q := &place{env: env}, u.Query()
	var out any
	switch u.Path {
	case "/do":
		var op Op
		if err := json.Unmarshal([]byte(q.Get("op")), &op); err != nil {
			return nil, err
		}
		if op.Object != "" {
			out, err = p.call(ctx, op)
		} else {
			out, err = run(ctx, p, &op)
		}
	case "/live":
		err = live(ctx, env, q)
	case "/added":
		stub := p.stub(q.Get("object"))
		out, err = durable.Call[Added](ctx, stub, "added", q.Get("prefix"))
		if err != nil {
			return nil, err
		}
	case "/heap":
		runtime.GC()
		runtime.GC() // the first collection queued cleanups
		time.Sleep(10 * time.Millisecond)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		out = map[string]int{"goroutines": runtime.NumGoroutine(), "heap": int(m.HeapAlloc)}
	default:
		return nil, errors.New("no such path")
	}
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(out)
	return &durable.Response{Status: 200, Body: bytes.NewBuffer(b)}, err
}

// Fetch accepts a WebSocket, and echoes messages until none arrives for a
// while.
func (a *Actor) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	if !r.IsUpgrade() {
		return nil, durable.ErrNoUpgrade
	}
	return accept.WebSocket(ctx, func(conn *durable.Conn) {
		for {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			m, err := conn.Read(ctx)
			if err == nil {
				err = conn.Write(ctx, m)
			}
			cancel()
			if err != nil {
				conn.Close(1000, "idle")
				return
			}
		}
	})
}

func main() {
	durable.Register("Actor", NewActor, durable.Func[*Actor]("do", (*Actor).Do),
		durable.Func[*Actor]("echo", (*Actor).Echo), durable.Func[*Actor]("added", (*Actor).Added))
	durable.HandleFetch(serve)
	if err := durable.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// split splits an addition into N operations, for the objects of its path in
// turn.
func split(op *Op) (parts []Op) {
	for i := range op.N {
		parts = append(parts, Op{Kind: "sync", Object: op.Path[i%len(op.Path)],
			ID: fmt.Sprintf("%s.%d", op.ID, i), N: i})
	}
	return parts
}
