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
	// lease is how late a payment is when the program dies in the middle of it.
	lease = 30 * time.Second
	// bankTimeout is how long the bank may take.
	bankTimeout = 10 * time.Second
)

// pay has the bank charge an order once, and answers repetitions with the
// receipt.
func pay(w http.ResponseWriter, r *http.Request) {
	cents, err := strconv.ParseInt(r.URL.Query().Get("cents"), 10, 64)
	if err != nil {
		http.Error(w, "cents is a whole number", http.StatusBadRequest)
		return
	}
	env, order, receipt := durablehttp.Env(r), r.PathValue("order"), []byte(nil)
	err = errors.New("the payment did not come to its end")
	done := make(chan struct{})
	durable.WaitUntil(r.Context(), func(ctx context.Context) { // it goes on if the client leaves
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
		return nil, errDeclined // that of an earlier call
	case err != nil && len(receipt) > 0 && !errors.Is(err, dedupe.ErrFenced) && !errors.Is(err, errDeclined):
		log.Error("a payment was made and is not recorded", "err", err)
		return receipt, nil // the receipt is real
	}
	return receipt, err
}

// fingerprintOf stands for what is asked for, so that the key cannot be used
// for something else.
func fingerprintOf(cents int64) []byte {
	sum := sha256.Sum256(strconv.AppendInt(nil, cents, 10))
	return sum[:]
}

// afterFailure says what becomes of a claim whose work failed.
func afterFailure(err error) dedupe.Disposition {
	if errors.Is(err, errDeclined) {
		return dedupe.StoreResult // final: later callers get the same answer
	}
	return dedupe.DefaultDisposition(err)
}

const declined = "declined" // the result that StoreResult keeps

var errDeclined = errors.New("the bank declined")

// unknownError: the bank was asked to charge, and nobody knows whether it has.
type unknownError struct {
	reference string // by which the bank knows
	fence     int64
	err       error
}

func (u *unknownError) Error() string {
	return "whether the bank has charged is not known: " + u.err.Error()
}
func (u *unknownError) Unwrap() error { return u.err }

// askBank has the bank charge. Where an earlier attempt may have been there it
// looks first.
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
		return nil, dedupe.NoEffect(errors.New("the bank is busy, and has done nothing"))
	default:
		err = errors.New("the bank answers " + strconv.Itoa(status))
	}
	return nil, unknown(err, reference, claim.Fence)
}

func unknown(err error, reference string, fence int64) error {
	if err == nil {
		return nil
	}
	return &unknownError{reference, fence, err}
}

// payment is what the bank has under a reference.
type payment struct {
	Cents   int64  `json:"cents"`
	Receipt string `json:"receipt"` // empty if there is none
}

// look asks the bank what it has charged. From then on the bank refuses smaller
// fences.
func look(ctx context.Context, env *durable.Env, reference string, fence int64) (payment, error) {
	var p payment
	status, body, err := callBank(ctx, env, "GET", reference, fence, "")
	switch {
	case err != nil:
	case status == http.StatusOK:
		err = json.Unmarshal(body, &p)
	case status != http.StatusNotFound:
		err = errors.New("the bank answers " + strconv.Itoa(status))
	}
	return p, err
}

// orderReference and chargeReference are the bank's idempotency keys. No two
// payments have the same one.
func orderReference(order string) string { return "orders/" + url.PathEscape(order) }

func chargeReference(customer, key string) string {
	return "charges/" + url.PathEscape(customer) + "/" + url.PathEscape(key)
}

// status answers what the bank has of an order: whoever was told that the
// outcome is not known asks here.
func status(w http.ResponseWriter, r *http.Request) {
	p, err := look(r.Context(), durablehttp.Env(r), orderReference(r.PathValue("order")), 0)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(p)
}

// charge runs once for each Idempotency-Key of a customer, and once more after
// a failure whose effect is not known.
func charge(w http.ResponseWriter, r *http.Request) {
	cents, err := strconv.ParseInt(r.FormValue("cents"), 10, 64)
	if err != nil {
		http.Error(w, "cents is a whole number", http.StatusBadRequest)
		return
	}
	name, _ := customer(r)
	key, _ := dedupehttp.Key(r.Context())
	claim, _ := dedupehttp.ClaimOf(r.Context())
	receipt, err := askBank(r.Context(), durablehttp.Env(r), chargeReference(name, key), claim, cents)
	if errors.Is(err, dedupe.ErrNoEffect) { // the bank was busy: the key's next request may ask it at once
		dedupehttp.NoEffect(r.Context())
	}
	answer(w, http.StatusCreated, receipt, err)
}

// resume is called when the lease of a claim ran out whose holder neither
// completed nor released it: it died, or does not know what it has done.
func resume(ctx context.Context, env *durable.Env, claim dodedupe.Expired) error {
	if claim.Scope != "orders" || claim.Key == nil {
		return nil // the next caller takes it over
	}
	order := string(claim.Key)
	made, err := look(ctx, env, orderReference(order), 0)
	if err != nil || made.Receipt == "" {
		return err // with an error resume is called again; where nothing was charged the next caller begins anew
	}
	_, err = payOnce(ctx, env, order, made.Cents) // the bank gives the same receipt, and the order is completed
	return err
}
