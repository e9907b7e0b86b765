// Flow-payments is a Worker that receives payments from webhooks. The same
// payment may arrive many times, and is charged once.
//
//	go run ./cmd/capdo dev examples/flow-payments -- --var DEMO:true
//	curl 127.0.0.1:8787/payments --json '{"id":"pay_1","amount":1250,"currency":"EUR"}'
//	# {"payment":"pay_1","charge":"ch_1","sequence":1}
//	curl 127.0.0.1:8787/payments/pay_1
//	# {"charges":1,"payment":"pay_1"}
//
// With DEMO a request can make the program crash before or after the charge,
// with the header Crash: before-charge, after-charge or after-step. A repeated
// request takes over when the lease of the crashed holder has ended, and gets
// the answer. If nobody repeats the request, the ledger's alarm continues the
// run (recovery.go).
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/examples/flow-payments/console"
	"flow.internal/capdo/examples/internal/guard"
	"flow.internal/capdo/flow"
	"flow.internal/capdo/flow/flowhttp"
)

// guarded accepts requests from the machine that runs the Worker. Other
// requests need the secret PAYMENTS_TOKEN as bearer token.
var guarded = guard.Guard{Token: "PAYMENTS_TOKEN"}

// live is the console at /console. It observes the ledger.
var live = console.New(&console.Options{Authorized: guarded.Authorized})

func main() {
	program, err := compile()
	if err != nil {
		fail(err)
	}
	console.Register("Console")
	dodedupe.RegisterLedger("Ledger", &dodedupe.LedgerClassOptions{OnExpired: resume(program)})
	registerProcessor("Processor")
	durablehttp.Handle(routes(program))
	if err := durable.Run(); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func routes(program *flow.Program) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", guarded.Wrap(&flowhttp.Trigger{
		Routes:   map[string]*flow.Program{"/payments": program},
		Bindings: bindings,
		MaxBody:  4 << 10,
		// these errors contain no payload
		Report: func(_ *http.Request, err error) { slog.Error("a payment failed", "err", err) },
	}))
	mux.Handle("GET /payments/{id}", guarded.Wrap(http.HandlerFunc(status)))
	live.Mount(mux)
	return guard.Private(mux)
}

// bindings returns the resources that the flow requires, from the request's
// env.
func bindings(r *http.Request) (flow.Bindings, error) {
	return bindingsOf(r.Context(), durablehttp.Env(r), askedToCrash(r)), nil
}

func bindingsOf(ctx context.Context, env *durable.Env, crash crash) flow.Bindings {
	b := flow.Bindings{}
	ledger, err := newLedger(env)
	b.Add(flow.Dedupe, live.Ledger(ctx, env, ledger), err)
	sequencer, err := dodedupe.NewSequencer(env, ledgerOptions())
	b.Add(flow.Sequencer, live.Sequencer(ctx, env, sequencer), err)
	stub, err := newProcessor(env)
	b.Add("processor", stub, err)
	b.Add("crash", crash, nil)
	runs, err := dodedupe.NewLedger(env, &dodedupe.LedgerOptions{Scope: runsScope})
	b.Add(flow.Runs, runs, err)
	keys, err := newKeys(env)
	b.Add(flow.Keys, keys, err)
	return b
}

func ledgerOptions() *dodedupe.LedgerOptions { return &dodedupe.LedgerOptions{Scope: "payments"} }

// newLedger returns the ledger. You could observe it here: see
// [dedupe.Observed].
func newLedger(env *durable.Env) (dedupe.Ledger, error) {
	ledger, err := dodedupe.NewLedger(env, ledgerOptions())
	if err != nil {
		return nil, err
	}
	return ledger, nil
}

// status answers how often a payment was charged. It is never more than once.
func status(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !isID(id) {
		http.Error(w, "an id has 1 to 64 letters, digits, _ and -", http.StatusBadRequest)
		return
	}
	processor := durablehttp.Env(r).Object("PROCESSOR", "processor")
	n, err := durable.Call[int64](r.Context(), processor, "count", id)
	var givenUp int64
	if err == nil {
		givenUp, err = durable.Call[int64](r.Context(), processor, "givenUp", id)
	}
	if err != nil {
		slog.Error("a payment could not be looked up", "err", err)
		http.Error(w, "the processor did not answer", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	answer := map[string]any{"payment": id, "charges": n}
	if givenUp > 0 {
		answer["given_up"] = givenUp
	}
	json.NewEncoder(w).Encode(answer)
}

// crash is the point at which a request makes the program end.
type crash string

// askedToCrash is for demonstrations. It needs the variable DEMO.
func askedToCrash(r *http.Request) crash {
	if !isDemo(durablehttp.Env(r)) {
		return ""
	}
	return crash(r.Header.Get("Crash"))
}

func isDemo(env *durable.Env) bool {
	demo, _, err := env.Var("DEMO")
	return err == nil && demo == "true"
}

// at ends the program at once, if this is the point that was asked for.
func (c crash) at(point string) {
	if string(c) == point {
		fmt.Fprintln(os.Stderr, "crashing on purpose,", point)
		os.Exit(1)
	}
}
