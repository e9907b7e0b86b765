package main

import (
	"context"
	"regexp"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/flow"
)

// window is for how long a payment's repetitions are known.
const window = 24 * time.Hour

// lease is how late a payment is after a crash: longer than the runtime needs
// to extend it while a charge is under way, and no longer.
const lease = 3 * time.Second

// compile has the flow: a payment is checked, charged exactly once and given
// its place in the books. That runs again for each repetition, and is told the
// same number by the sequencer.
func compile() (*flow.Program, error) {
	f := flow.New("payments").
		Node("validate", flow.Pure, flow.Strict).
		Node("charge", flow.Effectful, flow.BestEffort, flow.Idempotent("/id", "", window),
			flow.Fingerprint("/amount", "/currency"),
			flow.Requires(flow.Dedupe, "processor", "crash")).
		Node("sequence", flow.Effectful, flow.Stable, flow.Requires(flow.Sequencer, "crash")).
		Node("respond", flow.Pure, flow.Strict).
		Edge("validate", "charge", flow.ExactlyOnce).
		Edge("charge", "sequence", flow.AtLeastOnce).
		Edge("charge", "respond", flow.AtLeastOnce).
		Edge("sequence", "respond", flow.AtLeastOnce)
	return flow.Compile(f, map[string]flow.Handler{
		"validate": flow.Func(validate),
		"charge":   flow.Func(charge),
		"sequence": flow.Func(sequence),
		"respond":  flow.Func(respond),
	}, &flow.Options{Lease: lease, Recovery: recovery()})
}

// payment is what a webhook brings.
type payment struct {
	ID       string `json:"id"`
	Amount   int64  `json:"amount"` // in the currency's smallest unit
	Currency string `json:"currency"`
}

var (
	isID       = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`).MatchString
	isCurrency = regexp.MustCompile(`^[A-Z]{3}$`).MatchString
)

// maxAmount is far beyond what a card is charged with.
const maxAmount = 100_000_000

// validate hands on the members that it knows. Senders may add others, such as
// a count of deliveries: key and fingerprint name what matters.
func validate(_ context.Context, p payment) (payment, error) {
	switch {
	case !isID(p.ID):
		return p, &flow.Rejection{Detail: "the id is not valid",
			Hint: "an id has 1 to 64 letters, digits, _ and -"}
	case p.Amount < 1 || p.Amount > maxAmount:
		return p, &flow.Rejection{Detail: "the amount is not valid",
			Hint: "an amount is from 1 to 100000000, in the currency's smallest unit"}
	case !isCurrency(p.Currency):
		return p, &flow.Rejection{Detail: "the currency is not valid",
			Hint: "a currency is three capital letters, such as EUR"}
	}
	return p, nil
}

// charged is a payment that was charged.
type charged struct {
	Payment string `json:"payment"`
	Charge  string `json:"charge"`
}

// charge charges a payment, and may be run again for it: by the next holder of
// the claim, when this one crashes after the charge and before the ledger has
// the output, or loses its lease. So it asks the processor first, with the
// fence of its claim: from then on the processor refuses whoever comes with a
// smaller one, so nobody charges between the question and the charge.
//
// A real processor seldom knows of fences, and has idempotency keys instead:
// there the claim's key goes along with the charge, and asking first is not
// needed.
func charge(ctx context.Context, p payment) (charged, error) {
	stub, err := flow.Resource[*durable.Stub](ctx, "processor")
	if err != nil {
		return charged{}, err
	}
	crash, err := flow.Resource[crash](ctx, "crash")
	if err != nil {
		return charged{}, err
	}
	claim, _ := flow.ClaimOf(ctx)
	id, err := durable.Call[string](ctx, stub, "find", p.ID, claim.Fence)
	if err == nil && id == "" {
		crash.at("before-charge")
		id, err = durable.Call[string](ctx, stub, "charge", p.ID, claim.Fence, p.Amount, p.Currency)
		crash.at("after-charge")
	}
	return charged{p.ID, id}, err
}

// sequence gives a charge its number. It is remembered for as long as the
// charge, from a later begin.
func sequence(ctx context.Context, c charged) (int64, error) {
	sequencer, err := flow.Resource[dedupe.Sequencer](ctx, flow.Sequencer)
	if err != nil {
		return 0, err
	}
	crash, err := flow.Resource[crash](ctx, "crash")
	if err != nil {
		return 0, err
	}
	crash.at("after-step")
	seq, err := sequencer.Next(ctx, []byte("payments"), []byte(c.Payment), []byte(c.Charge), window)
	return seq.N, err
}

// answer is what each caller is told.
type answer struct {
	charged
	Sequence int64 `json:"sequence"`
}

func respond(_ context.Context, in struct {
	Charge   charged `json:"charge"`
	Sequence int64   `json:"sequence"`
}) (answer, error) {
	return answer{in.Charge, in.Sequence}, nil
}
