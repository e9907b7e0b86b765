package main

import (
	"strings"
	"testing"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

func TestMain(m *testing.M) {
	main() // registers the classes
	m.Run()
}

func TestProcessorRefusesSmallerFences(t *testing.T) {
	p := durabletest.New(t, "PROCESSOR")
	charge := func(payment string, fence int64) (string, error) {
		return durable.Call[string](t.Context(), p, "charge", payment, fence, 1250, "EUR")
	}
	for _, fence := range []int64{7, 5} { // the largest fence counts, not the last one
		if id, err := durable.Call[string](t.Context(), p, "find", "a", fence); id != "" || err != nil {
			t.Errorf("%q, %v", id, err)
		}
	}
	if id, err := charge("a", 6); err == nil || !strings.Contains(err.Error(), errStale.Error()) {
		t.Errorf("a stale charge: %q, %v", id, err)
	}
	for payment, want := range map[string]int64{"a": 0, "b": 0} {
		if n, err := durable.Call[int64](t.Context(), p, "count", payment); n != want || err != nil {
			t.Errorf("%s: %d, %v", payment, n, err)
		}
	}
	if id, err := charge("b", 6); id != "ch_1" || err != nil { // another payment
		t.Errorf("%q, %v", id, err)
	}
	for _, want := range []string{"ch_2", "ch_3"} { // it is not idempotent
		if id, err := charge("a", 7); id != want || err != nil {
			t.Errorf("%q, %v; want %s", id, err, want)
		}
	}
	if id, err := durable.Call[string](t.Context(), p, "find", "a", 8); id != "ch_2" || err != nil {
		t.Errorf("%q, %v", id, err)
	}
	if n, err := durable.Call[int64](t.Context(), p, "count", "a"); n != 2 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}
