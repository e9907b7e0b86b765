package durable_test

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

func TestCounterOfTheExampleCountsUntilItsAlarm(t *testing.T) {
	stub := durabletest.New(t, "COUNTER")
	increment := func(want uint64) {
		t.Helper()
		if out, err := stub.Call(t.Context(), "increment", nil); err != nil || binary.LittleEndian.Uint64(out) != want {
			t.Errorf("%v, %v; want %d", out, err, want)
		}
	}
	increment(1)
	increment(2)
	durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
		if err := state.Storage().SetAlarm(ctx, time.Now().Add(time.Hour), nil); err != nil {
			t.Error(err)
		}
	})
	if ran, err := durabletest.RunAlarm(t, stub); !ran || err != nil {
		t.Errorf("alarm: %v, %v", ran, err)
	}
	increment(1)
}
