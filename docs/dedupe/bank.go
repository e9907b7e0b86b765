package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

// callBank sends the bank a request about a payment. The reference is the
// bank's idempotency key. If the variable BANK_URL is not set, it calls the
// simulated Bank.
func callBank(ctx context.Context, env *durable.Env, method, reference string, fence int64, query string) (status int, body []byte, err error) {
	base, elsewhere, err := env.Var("BANK_URL")
	if err != nil {
		return 0, nil, err
	}
	r := &durable.Request{Method: method, URL: base + "/payments/" + url.PathEscape(reference) + query}
	r.Header = http.Header{"Idempotency-Key": {strconv.Quote(reference)}, "Fence": {strconv.FormatInt(fence, 10)}}
	fetch := env.Fetch
	if !elsewhere {
		r.URL, fetch = "http://bank"+r.URL, env.Object("BANK", "bank").Fetch
	}
	resp, err := fetch(ctx, r)
	if err != nil || resp.Body == nil {
		return 0, nil, errors.Join(err, errNoAnswer)
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if c, ok := resp.Body.(io.Closer); ok {
		c.Close()
	}
	return resp.Status, bytes.TrimSpace(body), err
}

var errNoAnswer = errors.New("the bank did not answer")

// Bank simulates an external payment processor. It stores the result of each
// idempotency key, and it understands fences.
type Bank struct{ sql *durable.SQL }

// NewBank makes a Bank.
func NewBank(ctx context.Context, state *durable.State, env *durable.Env) (*Bank, error) {
	sql := state.Storage().SQL()
	_, err := sql.Exec(`
		CREATE TABLE IF NOT EXISTS payments (id TEXT PRIMARY KEY, n INTEGER NOT NULL, cents INTEGER NOT NULL);
		CREATE TABLE IF NOT EXISTS fences (id TEXT PRIMARY KEY, fence INTEGER NOT NULL)`)
	return &Bank{sql}, err
}

// Fetch answers POST /payments/REFERENCE?cents=500 and GET /payments/REFERENCE.
func (b *Bank) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /payments/{id}", b.pay)
	mux.HandleFunc("GET /payments/{id}", b.find)
	return durablehttp.Serve(ctx, mux, r)
}

// pay charges each id once, and refuses a fence that is smaller than the
// largest it has seen.
func (b *Bank) pay(w http.ResponseWriter, r *http.Request) {
	cents, err := strconv.ParseInt(r.URL.Query().Get("cents"), 10, 64)
	fence, fenceErr := strconv.ParseInt(r.Header.Get("Fence"), 10, 64)
	switch {
	case err != nil || fenceErr != nil:
		http.Error(w, "cents and fence must be whole numbers", http.StatusBadRequest)
		return
	case cents > 100_000:
		http.Error(w, "declined", http.StatusPaymentRequired)
		return
	}
	n, err := b.charge(r.PathValue("id"), fence, cents)
	switch {
	case errors.Is(err, durable.ErrNoRows):
		http.Error(w, "a newer attempt has taken over", http.StatusConflict)
	case err != nil:
		http.Error(w, "the bank failed", http.StatusInternalServerError)
	default:
		fmt.Fprintf(w, "receipt %d\n", n)
	}
}

func (b *Bank) charge(id string, fence, cents int64) (n int64, err error) {
	if err := b.raise(id, fence); err != nil {
		return 0, err
	}
	rows, err := b.sql.Exec(`INSERT INTO payments (id, n, cents) VALUES (?, (SELECT count(*) FROM payments) + 1, ?)
		ON CONFLICT (id) DO UPDATE SET cents = cents RETURNING n`, id, cents)
	if err != nil {
		return 0, err
	}
	return durable.One[int64](rows)
}

// raise stores the largest fence. It returns durable.ErrNoRows for a smaller
// one.
func (b *Bank) raise(id string, fence int64) error {
	rows, err := b.sql.Exec(`INSERT INTO fences (id, fence) VALUES (?, ?)
		ON CONFLICT (id) DO UPDATE SET fence = excluded.fence WHERE excluded.fence >= fence
		RETURNING fence`, id, fence)
	if err != nil {
		return err
	}
	_, err = durable.One[int64](rows)
	return err
}

// find returns what was charged for an id. If the request has a fence, find
// also raises the stored one, so that no smaller fence can charge afterwards.
func (b *Bank) find(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	fence, err := strconv.ParseInt(r.Header.Get("Fence"), 10, 64)
	if err != nil {
		http.Error(w, "the bank failed", http.StatusInternalServerError)
		return
	}
	n, cents, err := b.chargedBefore(id, fence)
	switch {
	case errors.Is(err, durable.ErrNoRows):
		http.Error(w, "a newer attempt has taken over", http.StatusConflict)
	case err != nil:
		http.Error(w, "the bank failed", http.StatusInternalServerError)
	case n == 0:
		http.Error(w, "nothing was charged", http.StatusNotFound)
	default:
		json.NewEncoder(w).Encode(payment{cents, fmt.Sprintf("receipt %d", n)})
	}
}

// chargedBefore raises the fence, if there is one, and returns what was charged.
func (b *Bank) chargedBefore(id string, fence int64) (n, cents int64, err error) {
	if fence > 0 {
		if err := b.raise(id, fence); err != nil {
			return 0, 0, err
		}
	}
	return b.charged(id)
}

// charged returns the receipt number of an id, or 0 if there is none.
func (b *Bank) charged(id string) (n, cents int64, err error) {
	rows, err := b.sql.Exec("SELECT n, cents FROM payments WHERE id = ?", id)
	if err != nil {
		return 0, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		err = errors.Join(err, rows.Scan(&n, &cents))
	}
	return n, cents, err
}
