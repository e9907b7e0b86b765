package engine

import (
	"context"
	"errors"
	"testing"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
)

// A user's transaction is rolled back. Then the instance must not use what it
// remembers of it.
func TestNothingIsRememberedOfATransaction(t *testing.T) {
	s := newFixture(t)
	inside := true
	s.engine.Enter = func(context.Context) (bool, func(), error) { return inside, func() {}, nil }
	s.engine.Many = true
	s.claim("a", 1000, 1000, dedupe.Acquired)
	s.backend.Rows, s.backend.Alarm = map[string]faulty.Row{}, 0
	inside = false
	s.claim("b", 1000, 5000, dedupe.Acquired)
	if !s.backend.IsArmed(s.now) {
		t.Errorf("the alarm is at %d", s.backend.Alarm)
	}
	s.now++
	s.forget() // the fence is stored
	s.claim("c", 1000, 5000, dedupe.Acquired)
	inside = true
	before := s.backend.Notes[fenceName]
	s.forget()
	s.backend.Notes[fenceName], s.backend.Rows, inside = before, map[string]faulty.Row{}, false
	c := s.claim("d", 1000, 5000, dedupe.Acquired)
	s.now++
	s.forget()
	r, err := codec.Versioned(s.backend.Notes[fenceName], fenceVersion)
	if err != nil || r.Number() < c.Entry.Number {
		t.Errorf("the stored fence is not that of the last removed record: %v", err)
	}
}

// Errors after a write are never definite, whatever their cause claims. The
// same is true for errors that cross the wire.
func TestErrorAfterAWriteIsNotDefinite(t *testing.T) {
	for _, cause := range []error{effect.None(codec.ErrVersion), effect.None(faulty.ErrInjected), faulty.ErrInjected} {
		err := effect.AfterWrite(cause)
		if effect.Definite(err) || !errors.Is(err, cause) {
			t.Errorf("%v is definite", err)
		}
		if out, thrown := wire.Reply(nil, err); thrown == nil || out != nil {
			t.Errorf("%v becomes the answer %x", err, out)
		}
	}
	for _, op := range []string{"earliest", "alarmAt", "setAlarm"} {
		s := newFixture(t)
		s.engine.Backend = noEffectBackend{s.backend, op}
		_, err := s.engine.Claim(t.Context(), "k", entry.Request{Owner: "a", Lease: 1000, TTL: 1000})
		if err == nil || effect.Definite(err) || len(s.backend.Rows) != 1 {
			t.Errorf("%s fails: %v, %d records", op, err, len(s.backend.Rows))
		}
	}
}

// noEffectBackend has one failing operation, which reports that it changed nothing.
// That is true for the operation, but not for the step it is part of.
type noEffectBackend struct {
	*faulty.Backend
	op string
}

func (b noEffectBackend) Earliest(now int64) (int64, bool, error) {
	if b.op == "earliest" {
		return entry.Never, false, effect.None(codec.ErrVersion)
	}
	return b.Backend.Earliest(now)
}

func (b noEffectBackend) AlarmAt(ctx context.Context) (int64, error) {
	if b.op == "alarmAt" {
		return 0, effect.None(codec.ErrVersion)
	}
	return b.Backend.AlarmAt(ctx)
}

func (b noEffectBackend) SetAlarm(ctx context.Context, at int64) error {
	if b.op == "setAlarm" {
		return effect.None(codec.ErrVersion)
	}
	return b.Backend.SetAlarm(ctx, at)
}
