//go:build !js

package dodedupe

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
)

// bench is a slot on a table: its clock and its storage are the test's.
type bench struct {
	*testing.T
	now     int64
	storage *fakeStorage
	slot    *slot
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, now: noon, storage: &fakeStorage{}}
	b.evict()
	return b
}

// evict drops what the object has in memory.
func (b *bench) evict() { b.slot = &slot{storage: b.storage, clock: func() int64 { return b.now }} }

// token is the owner of one PutIfAbsent call.
func token(n byte) owner { return owner{n} }

func (b *bench) put(by byte, ttl int64) (bool, error) {
	return b.slot.putIfAbsent(b.Context(), token(by), ttl)
}

func (b *bench) wantPut(by byte, ttl int64, want bool) {
	b.Helper()
	if got, err := b.put(by, ttl); got != want || err != nil {
		b.Errorf("putIfAbsent of %d at noon%+d: %v, %v; want %v", by, b.now-noon, got, err, want)
	}
}

// wantRecord checks what is stored, and that the alarm is set to the end of it.
func (b *bench) wantRecord(by byte, claimed, expires int64) {
	b.Helper()
	r, err := decodeRecord(b.storage.record)
	if want := (record{token(by), claimed, expires}); r != want || err != nil || b.storage.alarm != expires {
		b.Errorf("stored %+v with alarm %d (%v), want %+v", r, b.storage.alarm, err, want)
	}
}

func (b *bench) wantNothing() {
	b.Helper()
	if b.storage.ok || b.storage.alarm != 0 {
		b.Errorf("stored %x with alarm %d, want nothing", b.storage.record, b.storage.alarm)
	}
}

func (b *bench) look() []byte {
	b.Helper()
	seen, _, err := b.slot.look()
	if err != nil {
		b.Error(err)
	}
	return seen
}

func (b *bench) wantForget(seen []byte) {
	b.Helper()
	if err := b.slot.forget(b.Context(), seen); err != nil {
		b.Error(err)
	}
}

func (b *bench) wantAlarm() {
	b.Helper()
	if err := b.slot.alarm(b.Context()); err != nil {
		b.Error(err)
	}
}

func TestRecordIsLiveUntilItExpires(t *testing.T) {
	for _, ttl := range []int64{1, 2, 299, 86_400_000, maxTTL} {
		b := newBench(t)
		b.wantPut(1, ttl, true)
		b.wantRecord(1, noon, noon+ttl)
		b.now = noon + ttl - 1
		b.wantPut(2, ttl, false)
		b.now = noon + ttl
		b.wantPut(3, ttl, true)
		b.wantRecord(3, noon+ttl, noon+2*ttl)
	}
}

func TestHitChangesNothing(t *testing.T) {
	b := newBench(t)
	b.wantPut(1, 1000, true)
	b.storage.ops = nil
	for b.now = noon; b.now < noon+1000; b.now += 100 {
		b.wantPut(2, 5000, false)
	}
	b.wantRecord(1, noon, noon+1000)
	for _, op := range b.storage.ops {
		if op != "get" {
			t.Errorf("a hit does %s", op)
		}
	}
}

func TestInvalidTTLIsRefusedBeforeStorageIsTouched(t *testing.T) {
	b := newBench(t)
	for _, ttl := range []int64{0, -1, maxTTL + 1, math.MaxInt64, math.MinInt64} {
		if inserted, err := b.put(1, ttl); inserted || !errors.Is(err, dedupe.ErrInvalidTTL) || !definite(err) {
			t.Errorf("TTL of %d ms: %v, %v", ttl, inserted, err)
		}
	}
	if len(b.storage.ops) != 0 {
		t.Errorf("storage saw %v", b.storage.ops)
	}
}

func TestTimesDoNotOverflow(t *testing.T) {
	for _, now := range []int64{math.MinInt64, -1, 0, maxNow, maxNow + 1, math.MaxInt64 - 1, math.MaxInt64} {
		b := newBench(t)
		b.now = now
		b.wantPut(1, maxTTL, true)
		b.wantPut(2, maxTTL, false)
		b.evict()
		b.wantPut(2, maxTTL, false)
		claimed := min(max(now, 0), maxNow)
		b.wantRecord(1, claimed, claimed+maxTTL)
	}
}

func TestRepetitionOfTheWinnerWinsAgain(t *testing.T) {
	b := newBench(t)
	b.wantPut(1, 1000, true)
	b.now += 500
	b.wantPut(1, 1000, true)
	b.wantRecord(1, noon, noon+1000)
	b.evict()
	b.wantPut(1, 1000, true)
	b.wantPut(2, 1000, false)
	b.now = noon + 1000
	b.wantPut(2, 1000, true)
	b.wantPut(1, 1000, false)
}

func TestClockThatRunsBackwards(t *testing.T) {
	t.Run("stands still for what is in memory", func(t *testing.T) {
		b := newBench(t)
		b.now = noon + 1000
		b.wantForget(b.look())
		b.wantPut(1, 100, true)
		b.now = noon + 1100
		b.wantPut(2, 100, true)
		b.now = noon
		b.wantPut(3, 100, false)
		b.wantForget(b.look())
		b.wantPut(3, 100, true)
		b.wantRecord(3, noon+1100, noon+1200)
	})
	t.Run("does not revive what was found to be expired", func(t *testing.T) {
		b := newBench(t)
		b.wantPut(1, 100, true)
		b.now = noon + 100
		b.storage.fault = func(_ int, op string) fault { return map[string]fault{"put": fails}[op] }
		if _, err := b.put(2, 100); err == nil {
			t.Error("the fault was not reported")
		}
		b.storage.fault = nil
		b.now = noon + 50
		b.wantPut(3, 100, true)
	})
	t.Run("is held by the record after an eviction", func(t *testing.T) {
		b := newBench(t)
		b.wantPut(1, 100, true)
		b.evict()
		b.now = noon - 1_000_000
		b.wantPut(2, 100, false)
		b.now = noon + 99
		b.wantPut(2, 100, false)
		b.now = noon + 100
		b.wantPut(2, 100, true)
	})
	t.Run("is not before the record that was read", func(t *testing.T) {
		b := newBench(t)
		b.wantPut(1, 100, true)
		b.evict()
		b.now = noon - 1_000_000
		b.wantPut(2, 100, false)
		b.wantForget(b.look())
		b.wantPut(2, 100, true)
		b.wantRecord(2, noon, noon+100)
	})
	t.Run("does not let the alarm delete or shorten a record", func(t *testing.T) {
		b := newBench(t)
		b.wantPut(1, 100, true)
		b.evict()
		b.now = noon - 1_000_000
		b.storage.alarm = 0
		b.wantAlarm()
		b.wantRecord(1, noon, noon+100)
	})
}

func TestRecordOfAnotherVersionOrCorruptIsLeftUntouched(t *testing.T) {
	for _, c := range []struct {
		stored []byte
		want   error
	}{
		{[]byte{}, ErrCorrupt}, {[]byte("{}"), ErrVersion}, {[]byte{0, 1, 2}, ErrCorrupt}, {append([]byte{2}, make([]byte, 99)...), ErrVersion},
	} {
		b := newBench(t)
		b.storage.record, b.storage.ok, b.storage.alarm = c.stored, true, noon
		inserted, err := b.put(1, 1000)
		if inserted || !errors.Is(err, c.want) || !definite(err) {
			t.Errorf("record %q: %v, %v; want %v", c.stored, inserted, err, c.want)
		}
		if err := b.slot.alarm(t.Context()); !errors.Is(err, c.want) {
			t.Errorf("record %q: alarm: %v, want %v", c.stored, err, c.want)
		}
		if string(b.storage.record) != string(c.stored) || !b.storage.ok || b.storage.alarm != noon {
			t.Errorf("record %q became %q, alarm %d", c.stored, b.storage.record, b.storage.alarm)
		}
		b.wantForget(b.look()) // the way to repair it
		b.wantNothing()
		b.wantPut(2, 1000, true)
	}
}

func TestForget(t *testing.T) {
	b := newBench(t)
	b.wantForget(nil)
	b.wantNothing()
	b.wantPut(1, 1000, true)
	b.wantForget(b.look())
	b.wantNothing()
	b.wantPut(2, 1000, true)
	b.wantRecord(2, noon, noon+1000)
	b.now += 1000
	b.wantForget(b.look()) // expired
	b.wantNothing()
}

// Known mistake: a late Forget deletes a successor.
func TestLateForgetLeavesTheSuccessor(t *testing.T) {
	b := newBench(t)
	b.wantPut(1, 1000, true)
	seen := b.look()
	b.wantForget(seen)
	b.wantPut(2, 1000, true)
	b.wantForget(seen) // the repetition, or the first that was under way for long
	b.wantRecord(2, noon, noon+1000)

	b.now += 1000
	seen = b.look()
	b.wantPut(3, 1000, true)
	b.wantForget(seen)
	b.wantRecord(3, noon+1000, noon+2000)
}

func TestAlarm(t *testing.T) {
	t.Run("on time deletes everything", func(t *testing.T) {
		b := newBench(t)
		b.wantPut(1, 1000, true)
		b.now += 1000
		b.wantAlarm()
		b.wantNothing()
	})
	t.Run("late deletes everything, twice too", func(t *testing.T) {
		b := newBench(t)
		b.wantPut(1, 1000, true)
		b.now += 1_000_000
		b.wantAlarm()
		b.wantAlarm()
		b.wantNothing()
	})
	t.Run("early is set again", func(t *testing.T) {
		b := newBench(t)
		b.wantPut(1, 1000, true)
		b.now += 999
		b.storage.alarm = 0
		b.wantAlarm()
		b.wantRecord(1, noon, noon+1000)
		b.wantPut(2, 1000, false)
	})
	t.Run("of a record before leaves the one there is", func(t *testing.T) {
		b := newBench(t)
		b.wantPut(1, 1000, true)
		b.wantForget(b.look())
		b.wantPut(2, 5000, true)
		b.now += 1000
		b.storage.alarm = 0
		b.wantAlarm()
		b.wantRecord(2, noon, noon+5000)
	})
	t.Run("after an eviction decides by the record", func(t *testing.T) {
		b := newBench(t)
		b.wantPut(1, 1000, true)
		b.evict()
		b.now += 1000
		b.wantAlarm()
		b.wantNothing()
	})
	t.Run("of nothing deletes what else there may be", func(t *testing.T) {
		b := newBench(t)
		b.storage.alarm = noon
		b.wantAlarm()
		b.wantNothing()
	})
}

// Known mistake: alarm errors are swallowed, so that the platform does not retry.
func TestAlarmReportsErrors(t *testing.T) {
	for _, c := range []struct {
		after int64
		op    string
	}{{1000, "get"}, {1000, "clear"}, {500, "setAlarm"}} {
		for _, f := range []fault{fails, performsThenFails} {
			b := newBench(t)
			b.wantPut(1, 1000, true)
			b.now += c.after
			b.storage.fault = func(_ int, op string) fault {
				if op == c.op {
					return f
				}
				return fine
			}
			if err := b.slot.alarm(t.Context()); !errors.Is(err, errInjected) {
				t.Errorf("%s fails: %v", c.op, err)
			}
			b.storage.fault = nil
			b.wantAlarm()
			if c.after >= 1000 {
				b.wantNothing()
			} else {
				b.wantRecord(1, noon, noon+1000)
			}
		}
	}
}

// The alarm belongs to the write before it: nothing may be waited for between.
func TestOperationsOfAStep(t *testing.T) {
	b := newBench(t)
	b.wantPut(1, 1000, true)
	b.wantPut(1, 1000, true)
	b.wantPut(2, 1000, false)
	b.wantForget(b.look())
	want := []string{"get", "put", "setAlarm", "get", "setAlarm", "get", "get", "get", "clear"}
	if !reflect.DeepEqual(b.storage.ops, want) {
		t.Errorf("operations %v, want %v", b.storage.ops, want)
	}
}

// Known mistake: the record is written but its alarm is not, because the caller went away.
func TestAlarmIsSetThoughTheCallerIsGone(t *testing.T) {
	b := newBench(t)
	strict := &ctxStorage{fakeStorage: b.storage}
	b.slot.storage = strict
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if inserted, err := b.slot.putIfAbsent(ctx, token(1), 1000); !inserted || err != nil {
		t.Errorf("%v, %v", inserted, err)
	}
	b.wantRecord(1, noon, noon+1000)
	if err := b.slot.forget(ctx, b.look()); err != nil {
		t.Error(err)
	}
	b.wantNothing()
}

// ctxStorage does nothing for a context that has ended, as durable.Storage does.
type ctxStorage struct{ *fakeStorage }

func (s *ctxStorage) setAlarm(ctx context.Context, at int64) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.fakeStorage.setAlarm(ctx, at)
}

func (s *ctxStorage) clear(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.fakeStorage.clear(ctx)
}

// Known mistakes: the record is written but its alarm is not, leaving a claim nobody knows; a lock is left behind when the insert fails.
// Whichever operation of a claim fails, and however: where the error says that nothing was changed, nothing was; else the same owner, and
// only that, gets the key when it asks again.
func TestFaultsOfStorageLeaveNoClaimThatNobodyKnows(t *testing.T) {
	for n := range 3 {
		for _, f := range []fault{fails, performsThenFails} {
			t.Run(fmt.Sprintf("operation %d fault %d", n, f), func(t *testing.T) {
				b := newBench(t)
				b.storage.fault = func(i int, _ string) fault {
					if i == n {
						return f
					}
					return fine
				}
				inserted, err := b.put(1, 1000)
				if inserted || !errors.Is(err, errInjected) {
					t.Fatalf("%v, %v", inserted, err)
				}
				b.storage.fault = nil
				if definite(err) && b.storage.ok {
					t.Error("the error says that nothing was changed, and there is a record")
				}
				held := b.storage.ok
				b.wantPut(2, 1000, !held)
				b.wantPut(1, 1000, held)
				if held {
					b.wantRecord(1, noon, noon+1000) // with its alarm
				}
			})
		}
	}
}

func TestConcurrentStepsHaveOneWinner(t *testing.T) {
	for range 100 {
		s := &slot{storage: &fakeStorage{}, clock: func() int64 { return noon }}
		var winners atomic.Int32
		var wg sync.WaitGroup
		for n := range 8 {
			wg.Go(func() {
				if inserted, err := s.putIfAbsent(t.Context(), token(byte(n)), 1000); err != nil {
					t.Error(err)
				} else if inserted {
					winners.Add(1)
				}
				s.alarm(t.Context())
				s.look()
				s.forget(t.Context(), nil)
			})
		}
		wg.Wait()
		if winners.Load() != 1 {
			t.Fatalf("%d winners", winners.Load())
		}
	}
}

// model is what a slot is to do, said in another way: by a history of claims instead of bytes.
type model struct {
	held             bool
	by               byte
	claimed, expires int64
	largest          int64 // now that the object knows of
}

// TestSlotFollowsTheModel walks at random through claims, repetitions, forgets, alarms, evictions and a clock that jumps.
func TestSlotFollowsTheModel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		b, m := newBench(t), model{}
		for step := range 200 {
			if !walk(b, &m, r) {
				t.Fatalf("seed %d, step %d", seed, step)
			}
		}
	}
}

func walk(b *bench, m *model, r *rand.Rand) bool {
	step := r.IntN(8)
	if step <= 3 { // these look at the clock
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
		if b.storage.ok != live {
			b.Errorf("after an alarm stored = %v, want %v", b.storage.ok, live)
			return false
		}
	case 5:
		b.evict()
		m.largest = 0
	default:
		b.now += r.Int64N(60) - 20
	}
	return !b.Failed() && b.storage.ok == (b.storage.alarm != 0)
}
