package reservation

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
)

// fixture is an object's key with a clock and storage that the test controls.
type fixture struct {
	*testing.T
	now     int64
	storage *faulty.Storage
	key     *Key
}

func newFixture(t *testing.T) *fixture {
	b := &fixture{T: t, now: faulty.Noon, storage: &faulty.Storage{}}
	b.evict()
	return b
}

// evict clears the memory of the object.
func (b *fixture) evict() { b.key = &Key{Storage: b.storage, Clock: func() int64 { return b.now }} }

// token returns the owner of a PutIfAbsent call.
func token(n byte) Owner { return Owner{n} }

func (b *fixture) put(by byte, ttl int64) (bool, error) {
	return b.key.PutIfAbsent(b.Context(), token(by), ttl)
}

func (b *fixture) wantPut(by byte, ttl int64, want bool) {
	b.Helper()
	if got, err := b.put(by, ttl); got != want || err != nil {
		b.Errorf("putIfAbsent of %d at noon%+d: %v, %v; want %v", by, b.now-faulty.Noon, got, err, want)
	}
}

// wantRecord checks the stored record, and that the alarm is set to its expiry.
func (b *fixture) wantRecord(by byte, claimed, expires int64) {
	b.Helper()
	r, err := Decode(b.storage.Record)
	if want := (Record{token(by), claimed, expires}); r != want || err != nil || b.storage.Alarm != expires {
		b.Errorf("stored %+v with alarm %d (%v), want %+v", r, b.storage.Alarm, err, want)
	}
}

func (b *fixture) wantNothing() {
	b.Helper()
	if b.storage.OK || b.storage.Alarm != 0 {
		b.Errorf("stored %x with alarm %d, want nothing", b.storage.Record, b.storage.Alarm)
	}
}

func (b *fixture) look() []byte {
	b.Helper()
	seen, _, err := b.key.Look()
	if err != nil {
		b.Error(err)
	}
	return seen
}

func (b *fixture) wantForget(seen []byte) {
	b.Helper()
	if err := b.key.Forget(b.Context(), seen); err != nil {
		b.Error(err)
	}
}

func (b *fixture) wantAlarm() {
	b.Helper()
	if err := b.key.Alarm(b.Context()); err != nil {
		b.Error(err)
	}
}

func TestRecordIsLiveUntilItExpires(t *testing.T) {
	for _, ttl := range []int64{1, 2, 299, 86_400_000, codec.MaxTTL} {
		b := newFixture(t)
		b.wantPut(1, ttl, true)
		b.wantRecord(1, faulty.Noon, faulty.Noon+ttl)
		b.now = faulty.Noon + ttl - 1
		b.wantPut(2, ttl, false)
		b.now = faulty.Noon + ttl
		b.wantPut(3, ttl, true)
		b.wantRecord(3, faulty.Noon+ttl, faulty.Noon+2*ttl)
	}
}

func TestHitChangesNothing(t *testing.T) {
	b := newFixture(t)
	b.wantPut(1, 1000, true)
	b.storage.Ops = nil
	for b.now = faulty.Noon; b.now < faulty.Noon+1000; b.now += 100 {
		b.wantPut(2, 5000, false)
	}
	b.wantRecord(1, faulty.Noon, faulty.Noon+1000)
	for _, op := range b.storage.Ops {
		if op != "get" {
			t.Errorf("a hit does %s", op)
		}
	}
}

func TestInvalidTTLIsRefusedBeforeStorageIsTouched(t *testing.T) {
	b := newFixture(t)
	for _, ttl := range []int64{0, -1, codec.MaxTTL + 1, math.MaxInt64, math.MinInt64} {
		if inserted, err := b.put(1, ttl); inserted || !errors.Is(err, dedupe.ErrInvalidTTL) || !effect.Definite(err) {
			t.Errorf("TTL of %d ms: %v, %v", ttl, inserted, err)
		}
	}
	if len(b.storage.Ops) != 0 {
		t.Errorf("storage saw %v", b.storage.Ops)
	}
}

func TestTimesDoNotOverflow(t *testing.T) {
	for _, now := range []int64{math.MinInt64, -1, 0, codec.MaxNow, codec.MaxNow + 1, math.MaxInt64 - 1, math.MaxInt64} {
		b := newFixture(t)
		b.now = now
		b.wantPut(1, codec.MaxTTL, true)
		b.wantPut(2, codec.MaxTTL, false)
		b.evict()
		b.wantPut(2, codec.MaxTTL, false)
		claimed := min(max(now, 0), codec.MaxNow)
		b.wantRecord(1, claimed, claimed+codec.MaxTTL)
	}
}

func TestRepetitionOfTheWinnerWinsAgain(t *testing.T) {
	b := newFixture(t)
	b.wantPut(1, 1000, true)
	b.now += 500
	b.wantPut(1, 1000, true)
	b.wantRecord(1, faulty.Noon, faulty.Noon+1000)
	b.evict()
	b.wantPut(1, 1000, true)
	b.wantPut(2, 1000, false)
	b.now = faulty.Noon + 1000
	b.wantPut(2, 1000, true)
	b.wantPut(1, 1000, false)
}

func TestClockThatRunsBackwards(t *testing.T) {
	t.Run("stands still for records in memory", func(t *testing.T) {
		b := newFixture(t)
		b.now = faulty.Noon + 1000
		b.wantForget(b.look())
		b.wantPut(1, 100, true)
		b.now = faulty.Noon + 1100
		b.wantPut(2, 100, true)
		b.now = faulty.Noon
		b.wantPut(3, 100, false)
		b.wantForget(b.look())
		b.wantPut(3, 100, true)
		b.wantRecord(3, faulty.Noon+1100, faulty.Noon+1200)
	})
	t.Run("does not revive a record seen as expired", func(t *testing.T) {
		b := newFixture(t)
		b.wantPut(1, 100, true)
		b.now = faulty.Noon + 100
		b.storage.Plan = func(_ int, op string) faulty.Fault { return map[string]faulty.Fault{"put": faulty.Fails}[op] }
		if _, err := b.put(2, 100); err == nil {
			t.Error("the fault was not reported")
		}
		b.storage.Plan = nil
		b.now = faulty.Noon + 50
		b.wantPut(3, 100, true)
	})
	t.Run("is not before the record after an eviction", func(t *testing.T) {
		b := newFixture(t)
		b.wantPut(1, 100, true)
		b.evict()
		b.now = faulty.Noon - 1_000_000
		b.wantPut(2, 100, false)
		b.now = faulty.Noon + 99
		b.wantPut(2, 100, false)
		b.now = faulty.Noon + 100
		b.wantPut(2, 100, true)
	})
	t.Run("is not before a record that was read", func(t *testing.T) {
		b := newFixture(t)
		b.wantPut(1, 100, true)
		b.evict()
		b.now = faulty.Noon - 1_000_000
		b.wantPut(2, 100, false)
		b.wantForget(b.look())
		b.wantPut(2, 100, true)
		b.wantRecord(2, faulty.Noon, faulty.Noon+100)
	})
	t.Run("does not let the alarm delete or shorten a record", func(t *testing.T) {
		b := newFixture(t)
		b.wantPut(1, 100, true)
		b.evict()
		b.now = faulty.Noon - 1_000_000
		b.storage.Alarm = 0
		b.wantAlarm()
		b.wantRecord(1, faulty.Noon, faulty.Noon+100)
	})
}

func TestUnreadableRecordIsNotChanged(t *testing.T) {
	for _, c := range []struct {
		stored []byte
		want   error
	}{
		{[]byte{}, codec.ErrCorrupt}, {[]byte("{}"), codec.ErrVersion}, {[]byte{0, 1, 2}, codec.ErrCorrupt}, {append([]byte{2}, make([]byte, 99)...), codec.ErrVersion},
	} {
		b := newFixture(t)
		b.storage.Record, b.storage.OK, b.storage.Alarm = c.stored, true, faulty.Noon
		inserted, err := b.put(1, 1000)
		if inserted || !errors.Is(err, c.want) || !effect.Definite(err) {
			t.Errorf("record %q: %v, %v; want %v", c.stored, inserted, err, c.want)
		}
		if err := b.key.Alarm(t.Context()); !errors.Is(err, c.want) {
			t.Errorf("record %q: alarm: %v, want %v", c.stored, err, c.want)
		}
		if string(b.storage.Record) != string(c.stored) || !b.storage.OK || b.storage.Alarm != faulty.Noon {
			t.Errorf("record %q became %q, alarm %d", c.stored, b.storage.Record, b.storage.Alarm)
		}
		b.wantForget(b.look()) // Forget repairs it
		b.wantNothing()
		b.wantPut(2, 1000, true)
	}
}

func TestForget(t *testing.T) {
	b := newFixture(t)
	b.wantForget(nil)
	b.wantNothing()
	b.wantPut(1, 1000, true)
	b.wantForget(b.look())
	b.wantNothing()
	b.wantPut(2, 1000, true)
	b.wantRecord(2, faulty.Noon, faulty.Noon+1000)
	b.now += 1000
	b.wantForget(b.look()) // expired
	b.wantNothing()
}

// Known mistake: a late Forget deletes a successor.
func TestLateForgetLeavesTheSuccessor(t *testing.T) {
	b := newFixture(t)
	b.wantPut(1, 1000, true)
	seen := b.look()
	b.wantForget(seen)
	b.wantPut(2, 1000, true)
	// A repetition, or a first one that was delayed.
	b.wantForget(seen)
	b.wantRecord(2, faulty.Noon, faulty.Noon+1000)

	b.now += 1000
	seen = b.look()
	b.wantPut(3, 1000, true)
	b.wantForget(seen)
	b.wantRecord(3, faulty.Noon+1000, faulty.Noon+2000)
}

func TestAlarm(t *testing.T) {
	t.Run("on time deletes everything", func(t *testing.T) {
		b := newFixture(t)
		b.wantPut(1, 1000, true)
		b.now += 1000
		b.wantAlarm()
		b.wantNothing()
	})
	t.Run("late deletes everything, also twice", func(t *testing.T) {
		b := newFixture(t)
		b.wantPut(1, 1000, true)
		b.now += 1_000_000
		b.wantAlarm()
		b.wantAlarm()
		b.wantNothing()
	})
	t.Run("early is set again", func(t *testing.T) {
		b := newFixture(t)
		b.wantPut(1, 1000, true)
		b.now += 999
		b.storage.Alarm = 0
		b.wantAlarm()
		b.wantRecord(1, faulty.Noon, faulty.Noon+1000)
		b.wantPut(2, 1000, false)
	})
	t.Run("of an earlier record leaves the present one", func(t *testing.T) {
		b := newFixture(t)
		b.wantPut(1, 1000, true)
		b.wantForget(b.look())
		b.wantPut(2, 5000, true)
		b.now += 1000
		b.storage.Alarm = 0
		b.wantAlarm()
		b.wantRecord(2, faulty.Noon, faulty.Noon+5000)
	})
	t.Run("after an eviction reads the record", func(t *testing.T) {
		b := newFixture(t)
		b.wantPut(1, 1000, true)
		b.evict()
		b.now += 1000
		b.wantAlarm()
		b.wantNothing()
	})
	t.Run("without a record deletes everything else", func(t *testing.T) {
		b := newFixture(t)
		b.storage.Alarm = faulty.Noon
		b.wantAlarm()
		b.wantNothing()
	})
}

// Known mistake: alarm errors are swallowed, so the platform does not retry.
func TestAlarmReportsErrors(t *testing.T) {
	for _, c := range []struct {
		after int64
		op    string
	}{{1000, "get"}, {1000, "clear"}, {500, "setAlarm"}} {
		for _, f := range []faulty.Fault{faulty.Fails, faulty.PerformsThenFails} {
			b := newFixture(t)
			b.wantPut(1, 1000, true)
			b.now += c.after
			b.storage.Plan = func(_ int, op string) faulty.Fault {
				if op == c.op {
					return f
				}
				return faulty.Fine
			}
			if err := b.key.Alarm(t.Context()); !errors.Is(err, faulty.ErrInjected) {
				t.Errorf("%s fails: %v", c.op, err)
			}
			b.storage.Plan = nil
			b.wantAlarm()
			if c.after >= 1000 {
				b.wantNothing()
			} else {
				b.wantRecord(1, faulty.Noon, faulty.Noon+1000)
			}
		}
	}
}

// The alarm is part of the write before it: nothing may wait in between.
func TestOperationsOfAStep(t *testing.T) {
	b := newFixture(t)
	b.wantPut(1, 1000, true)
	b.wantPut(1, 1000, true)
	b.wantPut(2, 1000, false)
	b.wantForget(b.look())
	want := []string{"get", "put", "setAlarm", "get", "setAlarm", "get", "get", "get", "clear"}
	if !reflect.DeepEqual(b.storage.Ops, want) {
		t.Errorf("operations %v, want %v", b.storage.Ops, want)
	}
}

// Known mistake: the record is written but its alarm is not, because the caller
// left.
func TestAlarmIsSetThoughTheCallerIsGone(t *testing.T) {
	b := newFixture(t)
	strict := &ctxStorage{Storage: b.storage}
	b.key.Storage = strict
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if inserted, err := b.key.PutIfAbsent(ctx, token(1), 1000); !inserted || err != nil {
		t.Errorf("%v, %v", inserted, err)
	}
	b.wantRecord(1, faulty.Noon, faulty.Noon+1000)
	if err := b.key.Forget(ctx, b.look()); err != nil {
		t.Error(err)
	}
	b.wantNothing()
}

// ctxStorage does nothing if the context has ended, like durable.Storage.
type ctxStorage struct{ *faulty.Storage }

func (s *ctxStorage) SetAlarm(ctx context.Context, at int64) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.Storage.SetAlarm(ctx, at)
}

func (s *ctxStorage) Clear(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.Storage.Clear(ctx)
}

// Known mistakes: the record is written but its alarm is not, so a claim
// remains that no caller knows of; a lock is left behind when the insert fails.
// Any operation of a claim may fail, before or after it was performed. If the
// error says that nothing was changed, that must be true. Otherwise only the
// same owner gets the key when it asks again.
func TestFaultsLeaveNoOrphanedClaim(t *testing.T) {
	for n := range 3 {
		for _, f := range []faulty.Fault{faulty.Fails, faulty.PerformsThenFails} {
			t.Run(fmt.Sprintf("operation %d fault %d", n, f), func(t *testing.T) {
				b := newFixture(t)
				b.storage.Plan = faulty.At{N: n, Kind: f}.Plan()
				inserted, err := b.put(1, 1000)
				if inserted || !errors.Is(err, faulty.ErrInjected) {
					t.Fatalf("%v, %v", inserted, err)
				}
				b.storage.Plan = nil
				if effect.Definite(err) && b.storage.OK {
					t.Error("the error says that nothing was changed, but there is a record")
				}
				held := b.storage.OK
				b.wantPut(2, 1000, !held)
				b.wantPut(1, 1000, held)
				if held {
					// The record has its alarm.
					b.wantRecord(1, faulty.Noon, faulty.Noon+1000)
				}
			})
		}
	}
}

func TestConcurrentStepsHaveOneWinner(t *testing.T) {
	for range 100 {
		s := &Key{Storage: &faulty.Storage{}, Clock: func() int64 { return faulty.Noon }}
		var winners atomic.Int32
		var wg sync.WaitGroup
		for n := range 8 {
			wg.Go(func() {
				if inserted, err := s.PutIfAbsent(t.Context(), token(byte(n)), 1000); err != nil {
					t.Error(err)
				} else if inserted {
					winners.Add(1)
				}
				s.Alarm(t.Context())
				s.Look()
				s.Forget(t.Context(), nil)
			})
		}
		wg.Wait()
		if winners.Load() != 1 {
			t.Fatalf("%d winners", winners.Load())
		}
	}
}

// model describes the behavior of a key independently: by a history of claims,
// not by bytes.
type model struct {
	held             bool
	by               byte
	claimed, expires int64
	largest          int64 // the largest time that the object has seen
}

// TestKeyFollowsTheModel walks at random through claims, repetitions, forgets,
// alarms, evictions and clock jumps.
func TestKeyFollowsTheModel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		b, m := newFixture(t), model{}
		for step := range 200 {
			if !walk(b, &m, r) {
				t.Fatalf("seed %d, step %d", seed, step)
			}
		}
	}
}

func walk(b *fixture, m *model, r *rand.Rand) bool {
	step := r.IntN(8)
	if step <= 3 { // these steps read the clock
		m.largest = max(m.largest, b.now)
		if m.held {
			m.largest = max(m.largest, m.claimed)
		}
	}
	live := m.held && m.largest < m.expires
	switch step {
	case 0, 1, 2:
		by, ttl := byte(r.IntN(4)), 1+r.Int64N(50)
		got, err := b.put(by, ttl)
		if want := !live || m.by == by; got != want || err != nil {
			b.Errorf("putIfAbsent of %d: %v, %v; want %v", by, got, err, want)
			return false
		}
		if !live {
			*m = model{true, by, m.largest, m.largest + ttl, m.largest}
		}
	case 4:
		b.wantForget(b.look())
		m.held = false
	case 3:
		b.wantAlarm()
		m.held = live
		if b.storage.OK != live {
			b.Errorf("after an alarm stored = %v, want %v", b.storage.OK, live)
			return false
		}
	case 5:
		b.evict()
		m.largest = 0
	default:
		b.now += r.Int64N(60) - 20
	}
	return !b.Failed() && b.storage.OK == (b.storage.Alarm != 0)
}
