package engine

import (
	"bytes"
	"testing"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
)

// Known mistake: a late Forget deletes a successor.
func TestLateForgetLeavesTheSuccessor(t *testing.T) {
	s := newFixture(t)
	s.claim("a", 1000, 5000, dedupe.Acquired)
	s.now += 10
	found, err := s.engine.Look(t.Context(), "k")
	s.want(err, nil)
	successor := int64(0)
	// The second is the repetition, or a first one that was delayed.
	for range 2 {
		s.want(s.engine.Forget(t.Context(), "k", found), nil)
		if a := s.claim("b", 1000, 5000, dedupe.Acquired); successor != 0 && a.Entry.Number != successor {
			t.Errorf("the successor's fence %d became %d", successor, a.Entry.Number)
		} else {
			successor = a.Entry.Number
		}
	}
	s.claim("c", 1000, 5000, dedupe.InProgress)
}

func TestUnreadableEntryIsLeftAndCanBeForgotten(t *testing.T) {
	for _, c := range []struct {
		record []byte
		want   error
	}{{[]byte{}, codec.ErrCorrupt}, {[]byte{3, 9, 9}, codec.ErrVersion}, {[]byte{1, 2, 3}, codec.ErrCorrupt}, {[]byte{2, 0}, codec.ErrCorrupt}} {
		s := newFixture(t)
		s.backend.Rows["k"] = faulty.Row{Record: c.record, Due: noon + 10}
		_, err := s.engine.Claim(t.Context(), "k", entry.Request{Owner: "a", Lease: 1, TTL: 1})
		s.want(err, c.want)
		s.want(s.engine.Complete(t.Context(), "k", entry.Holder{Owner: "a", Fence: 1}, nil), c.want)
		_, err = s.engine.Wait(t.Context(), "k", "", 0)
		s.want(err, c.want)
		if !bytes.Equal(s.backend.Rows["k"].Record, c.record) {
			t.Errorf("%x became %x", c.record, s.backend.Rows["k"].Record)
		}
		s.forget()
		s.claim("a", 1, 1, dedupe.Acquired)
	}
}
