// The Worker of the tests with JavaScript: a Go class whose methods JavaScript
// calls, and a handler that calls a class written in JavaScript.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

// Ledger has methods with Go types.
type Ledger struct{ kv *durable.KV }

func NewLedger(_ context.Context, state *durable.State, _ *durable.Env) (Ledger, error) {
	return Ledger{state.Storage().KV()}, nil
}

// Payment is an object in JavaScript.
type Payment struct {
	ID     string         `json:"id"`
	Amount int64          `json:"amount"`
	At     time.Time      `json:"at"`
	Raw    []byte         `json:"raw"`
	Tags   []string       `json:"tags"`
	Labels map[string]int `json:"labels"`
	Parent *Payment       `json:"parent"`
}

func (Ledger) Add(_ context.Context, a, b int64) (int64, error) { return a + b, nil }

func (Ledger) Double(_ context.Context, p Payment) (Payment, error) {
	p.Amount *= 2
	return p, nil
}

// Echo returns its argument.
func (Ledger) Echo(_ context.Context, v any) (any, error) { return v, nil }

// Keep stores its argument and returns the stored value.
func (l Ledger) Keep(_ context.Context, v any) (any, error) {
	if err := l.kv.Put("kept", v); err != nil {
		return nil, err
	}
	got, _, err := l.kv.Get("kept")
	return got, err
}

func (Ledger) Decline(context.Context) error {
	return &durable.Error{Name: "Declined", Message: "no funds",
		Props: map[string]any{"code": 51.0}}
}

func main() {
	durable.Register("Ledger", NewLedger, durable.Func[Ledger]("add",
		Ledger.Add), durable.Func[Ledger]("double", Ledger.Double),
		durable.Func[Ledger]("decline", Ledger.Decline),
		durable.Func[Ledger]("echo", Ledger.Echo), durable.Func[Ledger]("keep", Ledger.Keep))
	mux := http.NewServeMux()
	mux.HandleFunc("/abacus", abacus)
	mux.HandleFunc("/outbound", outbound)
	mux.HandleFunc("/round", round)
	durablehttp.Handle(mux)
	if err := durable.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// abacus calls the class written in JavaScript, and answers with the results.
func abacus(w http.ResponseWriter, r *http.Request) {
	stub := durablehttp.Env(r).Object("ABACUS", "a")
	ctx, results := r.Context(), []any{}
	add := func(v any, err error) {
		var e *durable.Error
		if errors.As(err, &e) {
			v = map[string]any{"name": e.Name, "message": e.Message, "code": e.Props["code"],
				"remote": errors.Is(err, durable.ErrRemote)}
		} else if err != nil {
			v = err.Error()
		}
		results = append(results, v)
	}
	sum, err := durable.Call[int](ctx, stub, "sum", []int{1, 2, 39})
	add(sum, err)
	big, err := durable.Call[int64](ctx, stub, "big")
	add(big, err)
	_, err = durable.Call[any](ctx, stub, "fail")
	add(nil, err)
	_, err = durable.Call[any](ctx, stub, "map")
	add(nil, err)
	_, err = durable.Call[any](ctx, stub, "floats")
	add(nil, err)
	keys := map[string]any{"__proto__": 1.0, "constructor": 2.0, "then": 3.0, "toJSON": 4.0,
		"hasOwnProperty": 5.0}
	same, err := durable.Call[map[string]any](ctx, stub, "echo", keys)
	add(fmt.Sprint(same), err)
	json.NewEncoder(w).Encode(results)
}

// outbound posts a body to the given URL, and forwards the answer.
func outbound(w http.ResponseWriter, r *http.Request) {
	client := http.Client{Transport: durablehttp.Outbound(durablehttp.Env(r))}
	req, err := http.NewRequestWithContext(r.Context(), "POST", r.URL.Query().Get("url"),
		strings.NewReader("hello"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	req.Header.Set("X-Question", "why")
	resp, err := client.Do(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	w.Header().Set("X-Answer", resp.Header.Get("X-Answer"))
	w.WriteHeader(resp.StatusCode)
	io.Copy(w, resp.Body)
}
