package engine

import (
	"testing"

	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
)

// A crash must cause neither a gap nor a second number.
func TestFaultsOfASequenceLeaveNoGap(t *testing.T) {
	for n := range 6 {
		for _, f := range []faulty.Fault{faulty.Fails, faulty.PerformsThenFails} {
			s := newFixture(t)
			s.backend.Plan = faulty.At{N: n, Kind: f}.Plan()
			s.engine.Sequence().Next(t.Context(), "k", entry.Request{Owner: "a", TTL: 1000})
			s.backend.Plan = nil
			for _, c := range []struct {
				key, owner string
				n          int64
				inserted   bool
			}{{"k", "a", 1, true}, {"k", "b", 1, false}, {"l", "b", 2, true}, {"k", "a", 1, true}} {
				e, inserted, err := s.engine.Sequence().Next(t.Context(), c.key, entry.Request{Owner: c.owner, TTL: 1000})
				if err != nil || e.Number != c.n || inserted != c.inserted {
					t.Errorf("operation %d, fault %d: %s is %d, %v, %v", n, f, c.key, e.Number, inserted, err)
				}
			}
			s.now = noon + 1000
			s.ring()
			if len(s.backend.Rows) != 1 {
				t.Errorf("%d records after expiry, want only the counter", len(s.backend.Rows))
			}
			s.evict()
			if e, _, err := s.engine.Sequence().Next(t.Context(), "k", entry.Request{Owner: "a", TTL: 1000}); e.Number != 3 || err != nil {
				t.Errorf("after expiry: %d, %v", e.Number, err)
			}
		}
	}
}
