// Dedupe is the program of docs/dedupe.md: a shop's Worker that never charges
// or handles anything twice.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupehttp"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

func main() {
	dodedupe.RegisterStore("Dedupe")                                                   // for Store
	dodedupe.RegisterLedger("Ledger", &dodedupe.LedgerClassOptions{OnExpired: resume}) // for Ledger and Sequencer
	durable.Register("Account", NewAccount, durable.Func[*Account]("deposit", (*Account).Deposit))
	durable.Register("Bank", NewBank)
	durablehttp.Handle(routes())
	if err := durable.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /webhooks", webhook)
	mux.HandleFunc("POST /orders/{order}/pay", pay)
	mux.HandleFunc("GET /orders/{order}/payment", status)
	mux.HandleFunc("POST /orders/{order}/events/{event}", number)
	mux.HandleFunc("POST /accounts/{account}/deposits/{deposit}", deposit)
	idempotent := dedupehttp.Idempotent(httpLedger, customer, &dedupehttp.Options{Required: true, Lease: lease, Disposition: dedupehttp.RepeatServerErrors})
	mux.Handle("POST /charges", idempotent(http.HandlerFunc(charge)))
	return mux
}

// webhook handles each delivery once, unless it fails or crashes midway.
func webhook(w http.ResponseWriter, r *http.Request) {
	store, err := dodedupe.NewStore(durablehttp.Env(r), &dodedupe.StoreOptions{Scope: "webhooks"})
	if err != nil {
		fail(w, err)
		return
	}
	id := []byte(r.Header.Get("Webhook-Id"))
	inserted, err := store.PutIfAbsent(r.Context(), id, 72*time.Hour)
	switch {
	case err != nil:
		fail(w, err) // not 2xx, so the sender tries again
	case !inserted:
		fmt.Fprintln(w, "seen")
	default:
		if err := remember(r); err != nil {
			fail(w, errors.Join(err, store.Forget(r.Context(), id))) // let the next delivery through
			return
		}
		fmt.Fprintln(w, "done")
	}
}

func remember(r *http.Request) error {
	if r.ContentLength == 0 {
		return errors.New("the webhook has no body")
	}
	return nil
}

// log writes lines of JSON to stdout, which workerd logs as console.log. It
// would log stderr as errors.
var log = slog.New(slog.NewJSONHandler(os.Stdout, nil))

// orders returns the ledger of order payments. It reports each operation.
func orders(env *durable.Env) (dedupe.Ledger, error) {
	ledger, err := dodedupe.NewLedger(env, &dodedupe.LedgerOptions{Scope: "orders", DefaultTTL: 30 * 24 * time.Hour})
	if err != nil {
		return nil, err
	}
	return dedupe.Observed(ledger, nil, func(e dedupe.Event) {
		log.Info("ledger", "op", e.Op, "result", e.Result, "attempt", e.Attempt, "ms", e.Took.Milliseconds(), "err", e.Err)
	}), nil
}

// number assigns consecutive numbers to the events of an order, without gaps. A
// repeated event gets the number it already has.
func number(w http.ResponseWriter, r *http.Request) {
	sequencer, err := dodedupe.NewSequencer(durablehttp.Env(r), &dodedupe.LedgerOptions{Scope: "events"})
	if err != nil {
		fail(w, err)
		return
	}
	seq, err := sequencer.Next(r.Context(), []byte(r.PathValue("order")), []byte(r.PathValue("event")), nil, 24*time.Hour)
	if err != nil {
		fail(w, err)
		return
	}
	fmt.Fprintf(w, "%d new=%t\n", seq.N, seq.Inserted)
}

// httpLedger returns the ledger that stores the keys of POST /charges. customer
// returns the owner of the request's key.
func httpLedger(r *http.Request) (dedupe.Ledger, error) {
	return dodedupe.NewLedger(durablehttp.Env(r), &dodedupe.LedgerOptions{Scope: "http", Mapping: dodedupe.Buckets(16)})
}

func customer(r *http.Request) (string, error) {
	name, _, ok := r.BasicAuth() // in production, use an authenticated customer
	if !ok {
		return "", errors.New("no customer")
	}
	return name, nil
}

// Account is an object whose balance changes exactly once for each deposit,
// even if the deposit is sent many times.
type Account struct {
	kv     *durable.KV
	ledger *dodedupe.Embedded
}

// NewAccount makes an Account.
func NewAccount(ctx context.Context, state *durable.State, env *durable.Env) (*Account, error) {
	ledger, err := dodedupe.Embed(state, nil)
	return &Account{state.Storage().KV(), ledger}, err
}

// Deposit adds to the balance, and returns the new balance. It stores the
// balance and the record of the deposit in one transaction.
func (a *Account) Deposit(ctx context.Context, id string, cents int64) (string, error) {
	balance, _, err := a.ledger.Once(ctx, []byte(id), nil, func(int64) ([]byte, error) {
		before, _, err := durable.Get[int64](a.kv, "balance") // 0 if there is none
		if err != nil {
			return nil, err
		}
		after := before + cents
		return strconv.AppendInt(nil, after, 10), a.kv.Put("balance", after)
	})
	return string(balance), err
}

// Alarm removes expired records. The account sets no alarm of its own.
func (a *Account) Alarm(ctx context.Context, _ durable.AlarmInfo) error {
	return a.ledger.Alarm(ctx, nil)
}

// deposit answers POST /accounts/ACCOUNT/deposits/DEPOSIT?cents=500.
func deposit(w http.ResponseWriter, r *http.Request) {
	cents, err := strconv.ParseInt(r.URL.Query().Get("cents"), 10, 64)
	if err != nil {
		http.Error(w, "cents must be a whole number", http.StatusBadRequest)
		return
	}
	account := durablehttp.Env(r).Object("ACCOUNT", r.PathValue("account"))
	balance, err := durable.Call[string](r.Context(), account, "deposit", r.PathValue("deposit"), cents)
	if err != nil {
		fail(w, err)
		return
	}
	fmt.Fprintln(w, balance)
}

// answer sends the bank's answer, or the reason why there is none.
func answer(w http.ResponseWriter, status int, receipt []byte, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, "%s\n", receipt)
}

// fail sends the HTTP status for an error.
func fail(w http.ResponseWriter, err error) {
	var busy *dedupe.InProgressError
	var unknown *unknownError
	switch {
	case errors.As(err, &busy):
		w.Header().Set("Retry-After", strconv.Itoa(int(busy.RetryAfter.Seconds())+1))
		http.Error(w, "this is in progress", http.StatusConflict)
	case errors.Is(err, dedupe.ErrMismatch):
		http.Error(w, "the same key was used before with another payload", http.StatusUnprocessableEntity)
	case errors.Is(err, dedupe.ErrKeyEmpty), errors.Is(err, dedupe.ErrKeyTooLarge):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case errors.Is(err, errDeclined):
		http.Error(w, "declined", http.StatusPaymentRequired)
	case errors.As(err, &unknown): // tell the client, and where to ask
		log.Error("failed", "err", err)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", strconv.Itoa(int(lease.Seconds())))
		w.WriteHeader(http.StatusBadGateway)
		json.NewEncoder(w).Encode(map[string]any{"outcome": "unknown", "ask": "the bank", "reference": unknown.reference, "fence": unknown.fence})
	default: // unknown outcome, overloaded, fenced or any other error: repeat it with the same key
		log.Error("failed", "err", err) // errors of dedupe contain no keys
		w.Header().Set("Retry-After", "5")
		http.Error(w, "ask again", http.StatusServiceUnavailable)
	}
}
