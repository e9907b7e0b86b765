//go:build !js

package flow_test

import (
	"context"
	"fmt"
	"time"

	"flow.internal/capdo/dedupe/memdedupe"
	"flow.internal/capdo/flow"
)

type payment struct {
	ID     string `json:"id"`
	Amount int    `json:"amount"`
}

type receipt struct {
	Charge string `json:"charge"`
}

func Example() {
	f := flow.New("payments").
		Node("validate", flow.Pure, flow.Strict).
		Node("charge", flow.Effectful, flow.BestEffort, flow.Idempotent("/id", "", 24*time.Hour), flow.Requires(flow.Dedupe)).
		Edge("validate", "charge", flow.ExactlyOnce)

	charges := 0
	program, err := flow.Compile(f, map[string]flow.Handler{
		"validate": flow.Func(func(ctx context.Context, p payment) (payment, error) {
			if p.Amount <= 0 {
				return p, &flow.Rejection{Detail: "the amount is not positive"}
			}
			return p, nil
		}),
		"charge": flow.Func(func(ctx context.Context, p payment) (receipt, error) {
			charges++
			return receipt{fmt.Sprint("ch_", charges)}, nil
		}),
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	bindings := flow.Bindings{flow.Dedupe: memdedupe.NewLedger(nil)}
	for range 3 {
		out, err := program.Run(context.Background(), bindings, []byte(`{"id":"pay_1","amount":1250}`))
		fmt.Println(string(out), err)
	}
	_, err = program.Run(context.Background(), bindings, []byte(`{"id":"pay_2","amount":-1}`))
	fmt.Println(err)
	// Output:
	// {"charge":"ch_1"} <nil>
	// {"charge":"ch_1"} <nil>
	// {"charge":"ch_1"} <nil>
	// flow: node "validate": the amount is not positive
}

func ExampleFlow_Validate() {
	f := flow.New("payments").
		Node("validate", flow.Pure, flow.Strict).
		Node("charge", flow.Effectful, flow.BestEffort, flow.Requires(flow.Dedupe)).
		Edge("validate", "charge", flow.ExactlyOnce)
	for _, finding := range f.Validate() {
		fmt.Println(finding)
	}
	// Output:
	// exactly_once_without_key node "charge" edge "validate" -> "charge": exactly-once delivery needs an idempotency key
	//   hint: give it one, a JSON pointer into its input such as "/id"
	// exactly_once_short_ttl node "charge" edge "validate" -> "charge": exactly-once delivery needs a TTL of 300000 ms or more
	//   hint: set ttl_ms to the time for which senders repeat messages
}
