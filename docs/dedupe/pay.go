package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupehttp"
	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

const (
	// lease is how late a payment can be if the program crashes during it.
	lease = 30 * time.Second
	// bankTimeout is how long the bank may take.
	bankTimeout = 10 * time.Second
)

// pay charges an order once, and answers repeated requests with the receipt.
func pay(w http.ResponseWriter, r *http.Request) {
	cents, err := strconv.ParseInt(r.URL.Query().Get("cents"), 10, 64)
	if err != nil {
		http.Error(w, "cents must be a whole number", http.StatusBadRequest)
		return
	}
	env, order, receipt := durablehttp.Env(r), r.PathValue("order"), []byte(nil)
	err = errors.New("the payment did not finish")
	done := make(chan struct{})
	durable.WaitUntil(r.Context(), func(ctx context.Context) { // continues if the client disconnects
		defer close(done)
		receipt, err = payOnce(ctx, env, order, cents)
	})
	<-done
	answer(w, http.StatusOK, receipt, err)
}

func payOnce(ctx context.Context, env *durable.Env, order string, cents int64) ([]byte, error) {
	ledger, err := orders(env)
	if err != nil {
		return nil, err
	}
	options := dedupe.DoOptions{
		ClaimOptions: dedupe.ClaimOptions{Fingerprint: fingerprintOf(cents), Lease: lease, Wait: 10 * time.Second},
		OnFailure:    afterFailure,
	}
	receipt, err := dedupe.Do(ctx, ledger, []byte(order), options, func(ctx context.Context, claim dedupe.Claim) ([]byte, error) {
		return askBank(ctx, env, orderReference(order), claim, cents)
	})
	switch {
	case err == nil && string(receipt) == declined:
		return nil, errDeclined // the stored result of an earlier call
	case err != nil && len(receipt) > 0 && !errors.Is(err, dedupe.ErrFenced) && !errors.Is(err, errDeclined):
		log.Error("a payment was made but not recorded", "err", err)
		return receipt, nil // the receipt is valid
	}
	return receipt, err
}

// fingerprintOf returns a fingerprint of the request, so that the key cannot be
// reused for another request.
func fingerprintOf(cents int64) []byte {
	sum := sha256.Sum256(strconv.AppendInt(nil, cents, 10))
	return sum[:]
}

// afterFailure decides what happens to the claim after its work failed.
func afterFailure(err error) dedupe.Disposition {
	if errors.Is(err, errDeclined) {
		return dedupe.StoreResult // final: later callers get the same answer
	}
	return dedupe.DefaultDisposition(err)
}

const declined = "declined" // the result that StoreResult stores

var errDeclined = errors.New("the bank declined")

// unknownError means that the bank was asked to charge, and the outcome is
// unknown.
type unknownError struct {
	reference string // the bank's idempotency key
	fence     int64
	err       error
}

func (u *unknownError) Error() string {
	return "it is not known whether the bank charged: " + u.err.Error()
}
func (u *unknownError) Unwrap() error { return u.err }

// askBank asks the bank to charge. If an earlier attempt may have charged, it
// asks the bank about that first.
func askBank(ctx context.Context, env *durable.Env, reference string, claim dedupe.Claim, cents int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, bankTimeout)
	defer cancel()
	if claim.Attempt > 1 {
		made, err := look(ctx, env, reference, claim.Fence)
		if err != nil || made.Receipt != "" {
			return []byte(made.Receipt), unknown(err, reference, claim.Fence)
		}
	}
	status, body, err := callBank(ctx, env, "POST", reference, claim.Fence, "?cents="+strconv.FormatInt(cents, 10))
	switch {
	case err != nil: // no answer
	case status == http.StatusOK:
		return body, nil
	case status == http.StatusPaymentRequired:
		return []byte(declined), errDeclined
	case status == http.StatusServiceUnavailable:
		return nil, dedupe.NoEffect(errors.New("the bank is busy and did nothing"))
	default:
		err = errors.New("the bank answered with status " + strconv.Itoa(status))
	}
	return nil, unknown(err, reference, claim.Fence)
}

func unknown(err error, reference string, fence int64) error {
	if err == nil {
		return nil
	}
	return &unknownError{reference, fence, err}
}

// payment is the bank's record of a reference.
type payment struct {
	Cents   int64  `json:"cents"`
	Receipt string `json:"receipt"` // empty if there is none
}

// look returns what the bank has charged. Afterwards the bank refuses smaller
// fences.
func look(ctx context.Context, env *durable.Env, reference string, fence int64) (payment, error) {
	var p payment
	status, body, err := callBank(ctx, env, "GET", reference, fence, "")
	switch {
	case err != nil:
	case status == http.StatusOK:
		err = json.Unmarshal(body, &p)
	case status != http.StatusNotFound:
		err = errors.New("the bank answered with status " + strconv.Itoa(status))
	}
	return p, err
}

// orderReference and chargeReference return the bank's idempotency keys. Each
// payment has a different one.
func orderReference(order string) string { return "orders/" + url.PathEscape(order) }

func chargeReference(customer, key string) string {
	return "charges/" + url.PathEscape(customer) + "/" + url.PathEscape(key)
}

// status answers with the bank's record of an order. A client asks here after
// it was told that the outcome is unknown.
func status(w http.ResponseWriter, r *http.Request) {
	p, err := look(r.Context(), durablehttp.Env(r), orderReference(r.PathValue("order")), 0)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(p)
}

// charge runs once for each Idempotency-Key of a customer. It runs again only
// after a failure whose effect is unknown.
func charge(w http.ResponseWriter, r *http.Request) {
	cents, err := strconv.ParseInt(r.FormValue("cents"), 10, 64)
	if err != nil {
		http.Error(w, "cents must be a whole number", http.StatusBadRequest)
		return
	}
	name, _ := customer(r)
	key, _ := dedupehttp.Key(r.Context())
	claim, _ := dedupehttp.ClaimOf(r.Context())
	receipt, err := askBank(r.Context(), durablehttp.Env(r), chargeReference(name, key), claim, cents)
	if errors.Is(err, dedupe.ErrNoEffect) { // the bank was busy: the next request with this key may try at once
		dedupehttp.NoEffect(r.Context())
	}
	answer(w, http.StatusCreated, receipt, err)
}

// resume is called when a lease ran out and the holder neither completed nor
// released its claim. The holder crashed, or does not know what it did.
func resume(ctx context.Context, env *durable.Env, claim dodedupe.Expired) error {
	if claim.Scope != "orders" || claim.Key == nil {
		return nil // the next caller takes it over
	}
	order := string(claim.Key)
	made, err := look(ctx, env, orderReference(order), 0)
	if err != nil || made.Receipt == "" {
		return err // after an error resume is called again; if nothing was charged, the next caller starts again
	}
	_, err = payOnce(ctx, env, order, made.Cents) // the bank returns the same receipt, and the order is completed
	return err
}
