//go:build !js

package dodedupe

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
)

// TestKnownMistakes has the mistakes of earlier implementations that are below the interfaces of package dedupe; those of the interfaces are in the
// names of dedupetest's tests. What looks for one returns what is wrong: nothing here, and something where the mistake is made on purpose.
func TestKnownMistakes(t *testing.T) {
	for _, m := range []struct {
		name string
		find func(t *testing.T, made bool) (wrong string)
	}{
		{"record written but its alarm not (a store)", missingAlarmOfASlot},
		{"record written but its alarm not (a ledger)", missingAlarmOfABook},
		{"late Forget deleting a successor (a store)", lateForgetOfAStore},
		{"late Forget deleting a successor (a ledger)", lateForgetOfALedger},
		{"caller's clock expiring live entries", callersClock},
		{"scope a:x aliasing scope a key x", aliasedScopes},
		{"alarm errors swallowed (a store)", swallowedBySlot},
		{"alarm errors swallowed (a ledger)", swallowedByBook},
		{"a sweep that lists the whole object", boundlessSweep},
	} {
		t.Run("known mistake: "+m.name, func(t *testing.T) {
			if wrong := m.find(t, false); wrong != "" {
				t.Error(wrong)
			}
			if m.find(t, true) == "" {
				t.Error("it is not found where it is made")
			}
		})
	}
}

// noAlarms and noTableAlarms say that an alarm is set, and do not set it.
type noAlarms struct{ *fakeStorage }

func (noAlarms) setAlarm(context.Context, int64) error { return nil }

type noTableAlarms struct{ *fakeTable }

func (noTableAlarms) setAlarm(context.Context, int64) error { return nil }

// eachFault calls try with a plan for each fault in each of n calls, and returns the first thing that it finds wrong.
func eachFault(n int, try func(plan func(int, string) fault) string) string {
	for _, b := range append(blows(n), blow{-1, fine}) {
		plan := func(i int, _ string) fault {
			if i == b.n {
				return b.kind
			}
			return fine
		}
		if wrong := try(plan); wrong != "" {
			return fmt.Sprintf("fault %v: %s", b, wrong)
		}
	}
	return ""
}

func missingAlarmOfASlot(t *testing.T, made bool) string {
	return eachFault(3, func(plan func(int, string) fault) string {
		b := newBench(t)
		if made {
			b.slot.storage = noAlarms{b.storage}
		}
		b.storage.fault = plan
		inserted, err := b.put(1, 1000)
		b.storage.fault = nil
		if err != nil { // the provider's repetition
			inserted, err = b.put(1, 1000)
		}
		if !inserted || err != nil || b.storage.alarm != noon+1000 {
			return fmt.Sprintf("inserted %v, %v, alarm %d", inserted, err, b.storage.alarm)
		}
		return ""
	})
}

func missingAlarmOfABook(t *testing.T, made bool) string {
	return eachFault(4, func(plan func(int, string) fault) string {
		s := newShelf(t)
		if made {
			s.book.table = noTableAlarms{s.table}
		}
		r := request{owner: "a", lease: 10, ttl: 1000}
		s.table.fault = plan
		a, err := s.book.claim(t.Context(), "k", r)
		s.table.fault = nil
		if err != nil {
			a, err = s.book.claim(t.Context(), "k", r)
		}
		if a.outcome != dedupe.Acquired || err != nil || s.table.alarm != noon+1000 {
			return fmt.Sprintf("%v, %v, alarm %d", a.outcome, err, s.table.alarm)
		}
		return ""
	})
}

// lateForgetOfAStore has the second message of a Forget arrive when the key has been forgotten and inserted again.
func lateForgetOfAStore(t *testing.T, made bool) string {
	f := &fakeObjects{}
	late, other := open(t, f, nil), open(t, f, nil)
	mustInsert := func() {
		t.Helper()
		if inserted, err := other.PutIfAbsent(t.Context(), []byte("k"), time.Hour); !inserted || err != nil {
			t.Fatal(inserted, err)
		}
	}
	mustInsert()
	late.call = func(ctx context.Context, name, method string, msg []byte) ([]byte, error) {
		if method == methodForget {
			if err := other.Forget(t.Context(), []byte("k")); err != nil {
				t.Error(err)
			}
			mustInsert()
			if made { // it removes what is there
				msg = encodeForget(f.storage("", "k").record)
			}
		}
		return f.call(ctx, name, method, msg)
	}
	if err := late.Forget(t.Context(), []byte("k")); err != nil {
		t.Error(err)
	}
	if !f.storage("", "k").ok {
		return "the successor's record is gone"
	}
	return ""
}

func lateForgetOfALedger(t *testing.T, made bool) string {
	s := newShelf(t)
	s.claim("a", 1000, 5000, dedupe.Acquired)
	s.now += 10
	what, fence, err := s.book.look(t.Context(), "k")
	s.want(err, nil)
	s.forget()
	b := s.claim("b", 1000, 5000, dedupe.Acquired)
	s.now += 10
	if made {
		fence = b.entry.number
	}
	s.want(s.book.forget(t.Context(), "k", what, fence), nil)
	if err := s.book.complete(t.Context(), "k", b.holder(), nil); err != nil {
		return fmt.Sprint("the successor: ", err)
	}
	return ""
}

// callersClock has callers whose clocks are an hour further each time. Only the object's counts, which stands.
func callersClock(t *testing.T, made bool) string {
	callers := int64(noon)
	clock := func() int64 { return noon }
	if made {
		clock = func() int64 { callers += 3_600_000; return callers }
	}
	store := open(t, &fakeObjects{clock: clock}, nil)
	ledger := fakeLedger(t, &fakeLedgerObjects{clock: clock}, PerKey())
	for n := range 3 {
		inserted, err := store.PutIfAbsent(t.Context(), []byte("k"), time.Minute)
		c, errClaim := ledger.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute, TTL: time.Minute})
		if err := errors.Join(err, errClaim); err != nil {
			t.Fatal(err)
		}
		if inserted != (n == 0) || c.Attempt != 1 || (c.Outcome == dedupe.Acquired) != (n == 0) {
			return fmt.Sprintf("call %d: inserted %v, %v", n, inserted, c.Outcome)
		}
	}
	return ""
}

// joined is an object's name as one makes it who joins scope and key as they are.
func joined(name string) string {
	parts := strings.Split(name, ":")
	for i, p := range parts[1:] {
		b, _ := base64.RawURLEncoding.DecodeString(p)
		parts[i+1] = string(b)
	}
	return strings.Join(parts, ":")
}

func aliasedScopes(t *testing.T, made bool) string {
	f, fl := &fakeObjects{}, &fakeLedgerObjects{}
	name := func(name string) string {
		if made {
			return joined(name)
		}
		return name
	}
	for _, c := range []struct{ scope, key string }{{"a", "x:k"}, {"a:x", "k"}, {"", "a:x:k"}, {"a:x:k", ":"}, {"a:x:k:", "\x00"}} {
		call := func(ctx context.Context, object, method string, msg []byte) ([]byte, error) {
			return f.call(ctx, name(object), method, msg)
		}
		store, err := newStore(call, &Options{Scope: c.scope})
		if err != nil {
			t.Fatal(err)
		}
		callLedger := func(ctx context.Context, object, method string, msg []byte) ([]byte, error) {
			return fl.call(ctx, name(object), method, msg)
		}
		ledger, err := newLedger(callLedger, &LedgerOptions{Scope: c.scope})
		if err != nil {
			t.Fatal(err)
		}
		inserted, err := store.PutIfAbsent(t.Context(), []byte(c.key), time.Hour)
		claim, errClaim := ledger.Claim(t.Context(), []byte(c.key), dedupe.ClaimOptions{Lease: time.Minute})
		if !inserted || claim.Outcome != dedupe.Acquired || err != nil || errClaim != nil {
			return fmt.Sprintf("scope %q, key %q: %v, %v, %v, %v", c.scope, c.key, inserted, err, claim.Outcome, errClaim)
		}
	}
	return ""
}

// mute and muteTable swallow the errors of what an alarm does.
type mute struct{ *fakeStorage }

func (m mute) clear(ctx context.Context) error { m.fakeStorage.clear(ctx); return nil }

type muteTable struct{ *fakeTable }

func (m muteTable) sweep(ctx context.Context, now int64, limit int, keep func(int64) error) error {
	m.fakeTable.sweep(ctx, now, limit, keep)
	return nil
}

func failing(op string) func(int, string) fault {
	return func(_ int, o string) fault {
		if o == op {
			return fails
		}
		return fine
	}
}

func swallowedBySlot(t *testing.T, made bool) string {
	for _, op := range []string{"get", "clear"} {
		b := newBench(t)
		if made {
			b.slot.storage = mute{b.storage}
		}
		b.wantPut(1, 1000, true)
		b.now += 1000
		b.storage.fault = failing(op)
		if err := b.slot.alarm(t.Context()); !errors.Is(err, errInjected) {
			return fmt.Sprintf("%s fails, and the alarm says %v", op, err)
		}
	}
	return ""
}

func swallowedByBook(t *testing.T, made bool) string {
	for _, op := range []string{"earliest", "clear", "sweep"} {
		s := newShelf(t)
		if made {
			s.book.table = muteTable{s.table}
		}
		s.claim("a", 10, 1000, dedupe.Acquired)
		s.now += 1000 + clockSlack
		s.table.fault = failing(op)
		if err := s.book.alarm(t.Context()); !errors.Is(err, errInjected) {
			return fmt.Sprintf("%s fails, and the alarm says %v", op, err)
		}
	}
	return ""
}

// greedy sweeps everything at once.
type greedy struct{ *fakeTable }

func (g greedy) sweep(ctx context.Context, now int64, _ int, keep func(int64) error) error {
	return g.fakeTable.sweep(ctx, now, 1<<30, keep)
}

// boundlessSweep looks at how much an alarm does; TestKnownMistakeOfASweep in workerd, at what SQLite reads for it.
func boundlessSweep(t *testing.T, made bool) string {
	s := newShelf(t)
	if made {
		s.book.table = greedy{s.table}
	}
	const records = 3*sweepLimit + 1
	for n := range records {
		_, err := s.book.claim(t.Context(), fmt.Sprint(n), request{owner: "a", lease: 10, ttl: 1000})
		s.want(err, nil)
	}
	s.now += 1000
	s.ring()
	if left := len(s.table.rows); left != records-sweepLimit || s.table.alarm > s.now {
		return fmt.Sprintf("one alarm left %d of %d records, the next is at noon%+d", left, records, s.table.alarm-noon)
	}
	return ""
}
