//go:build !js

package dodedupe

import (
	"context"
	"errors"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"flow.internal/capdo/durable"
)

func TestForgetWhoseReplyIsLostIsRepeated(t *testing.T) {
	for _, plan := range [][]faulty.Fault{{faulty.Fails}, {faulty.PerformsThenFails}, {faulty.Fine, faulty.Fails}, {faulty.Fine, faulty.PerformsThenFails}, {faulty.Fails, faulty.Fine, faulty.PerformsThenFails}} {
		f := &fakeObjects{}
		s := open(t, f, nil)
		if inserted, err := s.PutIfAbsent(t.Context(), []byte("k"), 0); !inserted || err != nil {
			t.Fatal(inserted, err)
		}
		f.sent, f.network = 0, faults(plan...)
		if err := s.Forget(t.Context(), []byte("k")); err != nil {
			t.Errorf("%v: %v", plan, err)
		}
		if disk := f.storage("", "k"); disk.OK || disk.Alarm != 0 {
			t.Errorf("%v: the record still exists", plan)
		}
	}
}

// Known mistake: a late Forget deletes a successor. Here the reply to the
// removal is lost, and another caller inserts before the removal is repeated.
func TestRepeatedForgetLeavesTheSuccessor(t *testing.T) {
	f := &fakeObjects{}
	s, other := open(t, f, nil), open(t, f, nil)
	put := func(want bool) {
		t.Helper()
		if inserted, err := other.PutIfAbsent(t.Context(), []byte("k"), time.Hour); inserted != want || err != nil {
			t.Errorf("%v, %v", inserted, err)
		}
	}
	put(true)
	// The messages are look and then forget.
	f.sent, f.network = 0, faults(faulty.Fine, faulty.PerformsThenFails)
	f.before = func(n int) {
		if n == 2 {
			f.before = nil
			put(true)
		}
	}
	if err := s.Forget(t.Context(), []byte("k")); err != nil {
		t.Error(err)
	}
	put(false)
}

func TestForgetThatStaysUnknownMayBeRepeated(t *testing.T) {
	f := &fakeObjects{}
	s := open(t, f, nil)
	s.PutIfAbsent(t.Context(), []byte("k"), 0)
	f.sent, f.network = 0, faults(faulty.Fine, faulty.PerformsThenFails, faulty.Fails)
	wantUnknown(t, s.Forget(t.Context(), []byte("k")), true, durable.ErrDisconnected)
	f.network = nil
	if err := s.Forget(t.Context(), []byte("k")); err != nil {
		t.Error(err)
	}
}

func TestForgetRemovesARecordThatCannotBeRead(t *testing.T) {
	for _, stored := range [][]byte{{}, {1, 2, 3}, {9}} {
		f := &fakeObjects{prepare: func(s *faulty.Storage) { s.Record, s.OK = stored, true }}
		s := open(t, f, nil)
		if err := s.Forget(t.Context(), []byte("k")); err != nil {
			t.Errorf("record %x: %v", stored, err)
		}
		if inserted, err := s.PutIfAbsent(t.Context(), []byte("k"), 0); !inserted || err != nil {
			t.Errorf("record %x: %v, %v", stored, inserted, err)
		}
	}
}

// The context ends between Forget's look and its removal.
func TestCanceledForgetChangesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &fakeObjects{}
	s := open(t, f, nil)
	s.PutIfAbsent(t.Context(), []byte("k"), 0)
	s.call = func(c context.Context, name, method string, msg []byte) ([]byte, error) {
		defer cancel()
		return f.call(c, name, method, msg)
	}
	err := s.Forget(ctx, []byte("k"))
	if !errors.Is(err, context.Canceled) || errors.Is(err, dedupe.ErrUnknownOutcome) || !f.storage("", "k").OK {
		t.Errorf("%v", err)
	}
}
