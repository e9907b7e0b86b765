// This peer serves its requests with net/http.
package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"

	"flow.internal/capdo/bench/peers/app"
	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupehttp"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

func main() {
	app.Register()
	durablehttp.Handle(newMux())
	durable.Run()
}

var megabyte = bytes.Repeat([]byte("0123456789abcdef"), 1<<16)

func newMux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
	})
	mux.HandleFunc("GET /down", func(w http.ResponseWriter, r *http.Request) { w.Write(megabyte) })
	mux.HandleFunc("POST /up", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		answer(w, map[string]int64{"n": n}, err)
	})
	mux.HandleFunc("GET /ws", socket)
	idempotent := dedupehttp.Idempotent(ledger,
		func(*http.Request) (string, error) { return "bench", nil },
		&dedupehttp.Options{Required: true})
	mux.Handle("POST /charge", idempotent(http.HandlerFunc(func(
		w http.ResponseWriter, r *http.Request,
	) {
		answer(w, map[string]int64{"n": 1}, nil)
	})))
	mux.HandleFunc("POST /", post)
	return mux
}

func ledger(r *http.Request) (dedupe.Ledger, error) {
	return dodedupe.NewLedger(durablehttp.Env(r), &dodedupe.LedgerOptions{Scope: "http"})
}

func socket(w http.ResponseWriter, r *http.Request) {
	if err := durablehttp.Forward(w, r, app.Echo(durablehttp.Env(r))); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		answer(w, nil, err)
		return
	}
	v, err := app.Post(r.Context(), durablehttp.Env(r), r.URL.Path, body)
	answer(w, v, err)
}

func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}
