//go:build !js

package main

import "testing"

// TestAllocations limits Go's heap allocations per request: all of them, and
// those of the Worker's and the object's handlers.
func TestAllocations(t *testing.T) {
	b, err := newBuilder()
	if err != nil {
		t.Fatal(err)
	}
	defer b.remove()
	s, err := b.startAllocating(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	want := map[string]struct{ all, worker, object, constructor float64 }{
		"no claim":                     {20.5, 11, 1, 1},
		"claim of a taken key":         {57, 30, 9, 1},
		"claim of a new key":           {126, 30, 27, 32},
		"put_if_absent of a taken key": {52, 28, 5, 1},
		"put_if_absent of a new key":   {89, 28, 16, 7},
	}
	for _, kind := range allocationKinds {
		limit := want[kind.title]
		a, err := s.allocations(kind, 100)
		if err != nil {
			t.Fatal(err)
		}
		for what, n := range map[string][2]float64{
			"in all":             {a.All, limit.all},
			"in the Worker":      {a.of(inWorker), limit.worker},
			"in the object":      {a.of(inObject), limit.object},
			"in its constructor": {a.of(inConstructor), limit.constructor},
		} {
			if n[0] > n[1] || limit.all == 0 || a.of(inWorker) < 1 {
				t.Errorf("%s: %.2f allocations %s, want %v at most", kind.title, n[0], what, n[1])
			}
		}
	}
}
