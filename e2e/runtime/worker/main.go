// The Worker that the runtime's tests drive: each query of it is a small scenario.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"net/http"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

type Counter struct {
	state *durable.State
}

func NewCounter(ctx context.Context, state *durable.State, env *durable.Env) (*Counter, error) {
	return &Counter{state}, nil
}

func (c *Counter) Increment(ctx context.Context, args []byte) ([]byte, error) {
	kv := c.state.Storage().KV()
	v, _, err := kv.Get("n")
	if err != nil {
		return nil, err
	}
	n, _ := v.(float64)
	if err := kv.Put("n", n+1); err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint64(nil, uint64(n+1)), nil
}

func main() {
	durable.Register("Counter", NewCounter, durable.Method("increment", (*Counter).Increment))
	durablehttp.Handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ns, err := durablehttp.Env(r).Namespace("COUNTER")
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		stub, err := ns.GetByName(r.URL.Query().Get("o"))
		if err != nil {
			http.Error(w, err.Error(), 500)
			return
		}
		out, err := stub.Call(r.Context(), "increment", nil)
		if err != nil {
			http.Error(w, errors.Join(err).Error(), 500)
			return
		}
		w.Write([]byte{'0' + out[0]})
	}))
	durable.Run()
}
