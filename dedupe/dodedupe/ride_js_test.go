package dodedupe

import (
	"context"
	"errors"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// awayUntil is the time from which objects of the class Away can be
// constructed.
var awayUntil time.Time

func registerAway(class string) {
	construct := func(_ context.Context, state *durable.State, env *durable.Env) (*ledgerObject, error) {
		if time.Now().Before(awayUntil) {
			return nil, errors.New("away")
		}
		return newLedgerObject(state, env, nil)
	}
	var methods []durable.RPCMethod[*ledgerObject]
	for _, m := range ledgerMethods {
		methods = append(methods, durable.Method(m.name, m.serve).Retryable())
	}
	durable.Register(class, construct, methods...)
}

// An object may be reset repeatedly, for example while it moves. Callers wait
// for it until their deadline.
func TestCallsRideOverResets(t *testing.T) {
	l, err := NewLedger(durabletest.Env(t, nil), &LedgerOptions{Binding: "AWAY"})
	if err != nil {
		t.Fatal(err)
	}
	claim := func(key string, away, deadline time.Duration) (c dedupe.Claim, took time.Duration, err error) {
		ctx := t.Context()
		if deadline > 0 {
			within, cancel := context.WithTimeout(ctx, deadline)
			defer cancel()
			ctx = within
		}
		begin := time.Now()
		awayUntil = begin.Add(away)
		c, err = l.Claim(ctx, []byte(key), dedupe.ClaimOptions{Lease: time.Minute})
		return c, time.Since(begin), err
	}
	c, took, err := claim("patient", 2*time.Second, time.Minute)
	if err != nil || c.Outcome != dedupe.Acquired || c.Attempt != 1 || took < 2*time.Second {
		t.Errorf("with a late deadline: %+v, %v after %v", c, err, took)
	}
	t.Logf("away for 2 s, claimed after %v", took.Round(time.Millisecond))
	for _, deadline := range []time.Duration{time.Second, 0} {
		_, took, err := claim("impatient", time.Hour, deadline)
		if !errors.Is(err, dedupe.ErrUnknownOutcome) || !errors.Is(err, durable.ErrObjectReset) {
			t.Errorf("with a deadline of %v: %v after %v", deadline, err, took)
		}
	}
	awayUntil = time.Time{}
}
