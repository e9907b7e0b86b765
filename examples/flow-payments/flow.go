package main

import (
	"context"
	"regexp"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/flow"
)

// window is how long repeated payments are recognized.
const window = 24 * time.Hour

// lease is how late a payment can be after a crash. It leaves the runtime just
// enough time to extend the lease during a charge.
const lease = 3 * time.Second

// compile returns the flow. It validates a payment, charges it exactly once and
// assigns it a number in the books. The last step runs again for each
// repetition, and gets the same number from the sequencer.
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

// payment is the body of a webhook.
type payment struct {
	ID       string `json:"id"`
	Amount   int64  `json:"amount"` // in the currency's smallest unit
	Currency string `json:"currency"`
}

var (
	isID       = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`).MatchString
	isCurrency = regexp.MustCompile(`^[A-Z]{3}$`).MatchString
)

// maxAmount is far above any real card payment.
const maxAmount = 100_000_000

// validate keeps only the known members. Senders may add others, such as a
// delivery count. Key and fingerprint use only the known ones.
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

// charged is the output of a charge.
type charged struct {
	Payment string `json:"payment"`
	Charge  string `json:"charge"`
}

// charge charges a payment. It may run again for the same payment: if this
// holder crashes after the charge and before the ledger has stored the output,
// or loses its lease, the next holder of the claim runs it. So it first asks
// the processor, with the fence of its claim. From then on the processor
// refuses smaller fences, so nobody else charges between the question and the
// charge.
//
// Few real processors support fences. Most have idempotency keys: then send the
// claim's key with the charge. You need not ask first.
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

// sequence assigns a number to a charge. The sequencer remembers it as long as
// the ledger remembers the charge, but starts later, so it never forgets first.
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

// answer is what every caller receives.
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
