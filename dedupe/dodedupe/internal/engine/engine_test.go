package engine

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
)

func TestLeaseIsStealableAtItsEndAndNotBefore(t *testing.T) {
	s := newFixture(t)
	first := s.claim("a", 1000, 86_400_000, dedupe.Acquired)
	s.now = noon + 999
	if a := s.claim("b", 1000, 1, dedupe.InProgress); a.RetryAfter != 1 {
		t.Errorf("retry after %d ms", a.RetryAfter)
	}
	s.now = noon + 1000
	second := s.claim("b", 1000, 1, dedupe.Acquired)
	if !second.Entry.TakenOver || second.Entry.Attempt != 2 || second.Entry.FirstSeen != noon || second.Entry.TTL != 86_400_000 {
		t.Errorf("%+v", second.Entry)
	}
	s.want(s.engine.Complete(t.Context(), "k", holderOf(first), nil), dedupe.ErrFenced)
}

func TestWindowBeginsWhenTheKeyIsFirstSeen(t *testing.T) {
	s := newFixture(t)
	s.claim("a", 100, 1000, dedupe.Acquired)
	s.now = noon + 900
	b := s.claim("b", 50, 1000, dedupe.Acquired)
	s.want(s.engine.Complete(t.Context(), "k", holderOf(b), []byte("r")), nil)
	s.now = noon + 999
	s.claim("c", 50, 1000, dedupe.Replay)
	s.now = noon + 1000
	if a := s.claim("c", 50, 1000, dedupe.Acquired); a.Entry.Attempt != 1 {
		t.Errorf("%+v", a.Entry)
	}
}

func TestCompletionAfterTheWindowIsKeptForTheLease(t *testing.T) {
	s := newFixture(t)
	a := s.claim("a", 1000, 10, dedupe.Acquired)
	s.now = noon + 500
	for range 2 {
		s.want(s.engine.Complete(t.Context(), "k", holderOf(a), []byte("r")), nil)
	}
	s.now = noon + 999
	s.claim("b", 50, 1000, dedupe.Replay)
	s.now = noon + 1000
	s.claim("b", 50, 1000, dedupe.Acquired)
}

// Known mistake: the clock runs backwards, which lengthens or revives entries.
func TestClockDoesNotRunBackwards(t *testing.T) {
	s := newFixture(t)
	s.claim("a", 100, 1000, dedupe.Acquired)
	s.now = noon + 100
	b := s.claim("b", 100, 1000, dedupe.Acquired)
	s.now = noon - 5000
	s.claim("c", 100, 1000, dedupe.InProgress)
	s.want(s.engine.Complete(t.Context(), "k", holderOf(b), nil), nil)
	if e, _ := entry.Decode(s.backend.Rows["k"].Record); e.Until != noon+100 {
		t.Errorf("completed at noon%+d", e.Until-noon)
	}
	s.evict()
	s.claim("c", 100, 1000, dedupe.Replay)
	s.forget()
	if a := s.claim("d", 100, 1000, dedupe.Acquired); a.Entry.FirstSeen != noon+100 || a.Entry.Number <= b.Entry.Number {
		t.Errorf("%+v after fence %d", a.Entry, b.Entry.Number)
	}
}

// The cost of operations: a first claim is one put and one alarm, a duplicate
// nothing, a completion one put.
func TestWrites(t *testing.T) {
	s := newFixture(t)
	writes := func(what string, want ...string) {
		t.Helper()
		var got []string
		for _, op := range s.backend.Ops {
			if op != "get" && op != "earliest" && op != "alarmAt" && op != "noted" {
				got = append(got, op)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s writes %v, want %v", what, got, want)
		}
		s.backend.Ops = nil
	}
	a := s.claim("a", 1000, 5000, dedupe.Acquired)
	writes("a first claim", "put", "setAlarm")
	s.claim("b", 1000, 5000, dedupe.InProgress)
	s.claim("a", 1000, 5000, dedupe.Acquired)
	writes("a duplicate")
	s.want(s.engine.Complete(t.Context(), "k", holderOf(a), []byte("r")), nil)
	writes("a completion", "put")
	s.claim("b", 1000, 5000, dedupe.Replay)
	s.want(s.engine.Complete(t.Context(), "k", holderOf(a), []byte("r")), nil)
	writes("a replay and a second completion")
	s.evict()
	s.claim("b", 1000, 5000, dedupe.Replay)
	writes("a duplicate after an eviction")
}

// Known mistake: a result is stored before its size is checked. The same holds
// for lease, TTL and owner.
func TestInvalidInputIsRefusedBeforeWrites(t *testing.T) {
	s := newFixture(t)
	a := s.claim("a", 1000, 5000, dedupe.Acquired)
	before := slices.Clone(s.backend.Rows["k"].Record)
	s.want(s.engine.Complete(t.Context(), "k", holderOf(a), make([]byte, dedupe.MaxResultSize+1)), dedupe.ErrResultTooLarge)
	for _, lease := range []int64{0, -1, entry.MaxLease + 1, math.MaxInt64} {
		s.want(s.engine.Extend(t.Context(), "k", holderOf(a), lease), dedupe.ErrInvalidLease)
		_, err := s.engine.Claim(t.Context(), "k", entry.Request{Owner: "b", Lease: lease, TTL: 1})
		s.want(err, dedupe.ErrInvalidLease)
	}
	for _, ttl := range []int64{0, -1, codec.MaxTTL + 1, math.MaxInt64} {
		_, err := s.engine.Claim(t.Context(), "k2", entry.Request{Owner: "b", Lease: 1, TTL: ttl})
		s.want(err, dedupe.ErrInvalidTTL)
	}
	_, err := s.engine.Claim(t.Context(), "k2", entry.Request{Owner: strings.Repeat("o", 65), Lease: 1, TTL: 1})
	s.want(err, dedupe.ErrOwnerTooLarge)
	_, err = s.engine.Wait(t.Context(), "k", "", maxWait+1)
	s.want(err, dedupe.ErrInvalidWait)
	if len(s.backend.Rows) != 1 || !bytes.Equal(s.backend.Rows["k"].Record, before) {
		t.Errorf("%d records: %x, before %x", len(s.backend.Rows), s.backend.Rows["k"].Record, before)
	}
}

// Any operation of a claim and completion may fail, before or after it was
// performed. If the error says that nothing was changed, that must be true. If
// the same owner asks again, it gets the original result.
func TestFaultsLeaveNoOrphanedClaim(t *testing.T) {
	for n := range 4 {
		for _, f := range []faulty.Fault{faulty.Fails, faulty.PerformsThenFails} {
			s := newFixture(t)
			s.backend.Plan = faulty.At{N: n, Kind: f}.Plan()
			_, err := s.engine.Claim(t.Context(), "k", entry.Request{Owner: "a", Lease: 1000, TTL: 5000})
			s.want(err, faulty.ErrInjected)
			s.backend.Plan = nil
			stored := len(s.backend.Rows) > 0
			if effect.Definite(err) && stored {
				t.Errorf("operation %d, fault %d: the error says that nothing was changed, but there is a record", n, f)
			}
			a := s.claim("a", 1000, 5000, dedupe.Acquired)
			if s.backend.Alarm != noon+5000 || a.Entry.Attempt != 1 {
				t.Errorf("operation %d, fault %d: %+v, alarm %d", n, f, a.Entry, s.backend.Alarm)
			}
			s.claim("b", 1000, 5000, dedupe.InProgress)

			s.evict()
			s.backend.Ops = nil
			s.backend.Plan = faulty.At{N: n, Kind: f}.Plan()
			s.want(s.engine.Complete(t.Context(), "k", holderOf(a), []byte("r")), faulty.ErrInjected)
			s.backend.Plan = nil
			s.want(s.engine.Complete(t.Context(), "k", holderOf(a), []byte("r")), nil)
			s.claim("b", 1000, 5000, dedupe.Replay)
		}
	}
}

// Known mistake: a takeover after the window looks like a first claim. This is
// tested with an alarm that reports holders and without, on time and late.
func TestTakeoverBeyondTheWindowIsKnown(t *testing.T) {
	for _, tells := range []bool{true, false} {
		for _, late := range []int64{0, 99, 100, 3_600_000} {
			s := newFixture(t)
			if tells {
				s.notifying(fineBy)
			}
			ask := func(owner, fingerprint string) (entry.Answer, error) {
				return s.engine.Claim(t.Context(), "k", entry.Request{Owner: owner, Fingerprint: fingerprint, Lease: 30_000, TTL: 1000})
			}
			a, err := ask("a", "1")
			s.want(err, nil)
			s.want(s.engine.Extend(t.Context(), "k", holderOf(a), 60_000), nil)
			s.now += 60_000 + late
			// Entries are not forgotten before the alarm runs.
			known := tells || late < dedupe.KeptAfter(1000)
			_, mismatch := ask("b", "2")
			if errors.Is(mismatch, dedupe.ErrMismatch) != known {
				t.Errorf("another fingerprint %d ms later: %v", late, mismatch)
			}
			if !known {
				continue
			}
			if b, err := ask("b", "1"); err != nil || !b.Entry.TakenOver || b.Entry.Attempt != 2 {
				t.Errorf("%d ms later, reports %v: taken over %v, attempt %d, %v", late, tells, b.Entry.TakenOver, b.Entry.Attempt, err)
			}
		}
	}
}

// The result of a late attempt is kept for at least a tenth of the TTL.
func TestResultOfALateAttemptIsKept(t *testing.T) {
	const day = 86_400_000
	// before is the time until the window ends.
	for _, before := range []int64{1, 1000, day / 10, day / 2} {
		s := newFixture(t)
		a := s.claim("a", 30_000, day, dedupe.Acquired)
		s.want(s.engine.Release(t.Context(), "k", holderOf(a)), nil)
		s.now += day - before
		b := s.claim("b", 30_000, day, dedupe.Acquired)
		s.now += 1000
		s.want(s.engine.Complete(t.Context(), "k", holderOf(b), []byte("r")), nil)
		kept := max(noon+day, s.now+day/10)
		for _, at := range []int64{s.now + 29_001, kept - 1} {
			s.now = at
			s.evict()
			s.claim("c", 30_000, day, dedupe.Replay)
		}
		s.now = kept
		if c := s.claim("c", 30_000, day, dedupe.Acquired); c.Entry.Attempt != 1 {
			t.Errorf("%d ms before the end: %+v", before, c.Entry)
		}
	}
}

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
