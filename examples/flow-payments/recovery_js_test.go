package main

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
	"flow.internal/capdo/flow"
	"flow.internal/capdo/flow/flowseal"
)

// A run fails midway, and its sender does not return. The alarm of the object
// continues the run, in this process or in the next one.
func TestTheAlarmTakesARunUp(t *testing.T) {
	for n, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %v", restart), func(t *testing.T) {
			program, err := compile()
			if err != nil {
				t.Fatal(err)
			}
			env := durabletest.Env(t, nil)
			b := bindingsOf(t.Context(), env, "")
			ledger, err := newLedger(env) // the console observes only the ledgers of requests
			b.Add(flow.Dedupe, ledger, err)
			b["processor"] = 7 // not a processor
			payment := fmt.Sprintf("pay_alarm_%d", n)
			in := fmt.Appendf(nil, `{"id":%q,"amount":1250,"currency":"EUR"}`, payment)
			if _, err := program.Run(t.Context(), b, in); !errors.Is(err, flow.ErrResource) {
				t.Fatalf("%v", err)
			}
			if restart {
				durabletest.Restart(t)
			}
			for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
				stub, err := newProcessor(durabletest.Env(t, nil))
				if err != nil {
					t.Fatal(err)
				}
				charges, err := durable.Call[int64](t.Context(), stub, "count", payment)
				if err == nil && charges == 1 {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%d charges, %v", charges, err)
				}
			}
		})
	}
}

func TestKeysSeal(t *testing.T) {
	keys, err := flowseal.ParseKeys("a:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoyMzQ1Njc=")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := keys.Seal([]byte("text"), []byte("about"))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := keys.Open(sealed, []byte("about")); string(text) != "text" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
}
