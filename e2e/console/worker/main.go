// The Worker that the console's test drives: payments that are charged once, on a ledger that the console watches.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/examples/flow-payments/console"
)

// A crashed holder keeps its claim for the lease. Duplicates wait for less, so they are told that it is in progress; but for long enough to be
// answered on a busy machine.
const (
	lease = 6 * time.Second
	wait  = 5 * time.Second
)

var live = console.New(&console.Options{Authorized: authorized})

func main() {
	dodedupe.RegisterLedger("Ledger", nil)
	console.Register("Console")
	mux := http.NewServeMux()
	live.Mount(mux)
	mux.HandleFunc("POST /payments", pay)
	durablehttp.Handle(mux)
	if err := durable.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// authorized lets in who is on the same machine or has the token.
func authorized(r *http.Request) bool {
	host, _, _ := net.SplitHostPort(r.Host)
	token, _, err := durablehttp.Env(r).Var("TOKEN")
	return net.ParseIP(host).IsLoopback() || err == nil && r.Header.Get("Authorization") == "Bearer "+token
}

func pay(w http.ResponseWriter, r *http.Request) {
	var payment struct{ ID string }
	switch err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&payment); {
	case !authorized(r):
		http.Error(w, `{"error":"the token is needed"}`, http.StatusUnauthorized)
		return
	case err != nil:
		http.Error(w, `{"error":"the body is not a payment"}`, http.StatusBadRequest)
		return
	}
	result, err := charge(r.Context(), durablehttp.Env(r), payment.ID, r.Header.Get("Crash"))
	var busy *dedupe.InProgressError
	switch {
	case errors.As(err, &busy):
		w.Header().Set("Retry-After", strconv.Itoa(int(busy.RetryAfter/time.Second)+1))
		http.Error(w, `{"error":"in progress"}`, http.StatusConflict)
	case err != nil:
		http.Error(w, `{"error":"`+err.Error()+`"}`, http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Write(result)
	}
}

// charge makes a charge, once per payment: its answer has the fence of the one that made it.
func charge(ctx context.Context, env *durable.Env, id, crash string) ([]byte, error) {
	ledger, err := dodedupe.NewLedger(env, nil)
	if err != nil {
		return nil, err
	}
	sequencer, err := dodedupe.NewSequencer(env, nil)
	if err != nil {
		return nil, err
	}
	options := dedupe.DoOptions{ClaimOptions: dedupe.ClaimOptions{Lease: lease, TTL: time.Hour, Wait: wait}}
	if crash != "" {
		options.Wait = 0
	}
	return dedupe.Do(ctx, live.Ledger(ctx, env, ledger), []byte(id), options, func(ctx context.Context, fence int64) ([]byte, error) {
		if demo, _, _ := env.Var("DEMO"); crash != "" && demo == "true" {
			os.Exit(1)
		}
		seq, err := live.Sequencer(ctx, env, sequencer).Next(ctx, []byte("payments"), []byte(id), nil, time.Hour)
		if err != nil {
			return nil, err
		}
		return json.Marshal(map[string]any{"payment": id, "charge": fmt.Sprintf("ch_%d", fence), "sequence": seq.N})
	})
}
