//go:build !js

package main

import "testing"

// TestCrossings limits how often a request enters Go: once for the request, and
// once for the answer of the object that it calls.
func TestCrossings(t *testing.T) {
	b, err := newBuilder()
	if err != nil {
		t.Fatal(err)
	}
	defer b.remove()
	want := map[string]struct{ worker, object float64 }{"hello": {1, 0}, "taken": {2, 1}}
	for _, p := range peers {
		if !p.Capdo {
			continue
		}
		s, err := b.counting(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		defer s.stop()
		if err := s.takeKeys(); err != nil {
			t.Fatal(err)
		}
		for _, w := range works {
			limit, ok := want[w.Name]
			if !ok {
				continue
			}
			c, err := s.crossings(t.Context(), w, 50)
			if err != nil {
				t.Fatal(err)
			}
			if c.into("worker") > limit.worker || c.into("object") > limit.object || c.into("worker") < 1 {
				t.Errorf("%s, %s: %v", p.Title, w.Title, c)
			}
		}
	}
}
