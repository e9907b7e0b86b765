//go:build !js

package dodedupe

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/internal/budget"
)

// shelf is a book whose clock and table are the test's.
type shelf struct {
	*testing.T
	now   int64
	table *fakeTable
	book  *book
}

func newShelf(t *testing.T) *shelf {
	s := &shelf{T: t, now: noon, table: newFakeTable()}
	s.evict()
	return s
}

// evict drops what the object has in memory.
func (s *shelf) evict() {
	s.book = &book{table: s.table, clock: func() int64 { return s.now }, many: true}
}

func (s *shelf) claim(owner string, lease, ttl int64, want dedupe.Outcome) answer {
	s.Helper()
	a, err := s.book.claim(s.Context(), "k", request{owner: owner, lease: lease, ttl: ttl})
	if err != nil || a.outcome != want {
		s.Fatalf("claim by %s at noon%+d: %v, %v; want %v", owner, s.now-noon, a.outcome, err, want)
	}
	return a
}

func (s *shelf) want(err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%v, want %v", err, want)
	}
}

func (s *shelf) ring() {
	s.Helper()
	if err := s.book.alarm(s.Context()); err != nil {
		s.Error(err)
	}
}

func (s *shelf) forget() {
	s.Helper()
	what, fence, err := s.book.look(s.Context(), "k")
	if err == nil {
		err = s.book.forget(s.Context(), "k", what, fence)
	}
	if err != nil {
		s.Error(err)
	}
}

func TestLeaseIsStealableAtItsEndAndNotBefore(t *testing.T) {
	s := newShelf(t)
	first := s.claim("a", 1000, 86_400_000, dedupe.Acquired)
	s.now = noon + 999
	if a := s.claim("b", 1000, 1, dedupe.InProgress); a.retryAfter != 1 {
		t.Errorf("retry after %d ms", a.retryAfter)
	}
	s.now = noon + 1000
	second := s.claim("b", 1000, 1, dedupe.Acquired)
	if !second.entry.takenOver || second.entry.attempt != 2 || second.entry.firstSeen != noon || second.entry.ttl != 86_400_000 {
		t.Errorf("%+v", second.entry)
	}
	s.want(s.book.complete(t.Context(), "k", first.holder(), nil), dedupe.ErrFenced)
}

func TestWindowBeginsWhenTheKeyIsFirstSeen(t *testing.T) {
	s := newShelf(t)
	s.claim("a", 100, 1000, dedupe.Acquired)
	s.now = noon + 900
	b := s.claim("b", 50, 1000, dedupe.Acquired)
	s.want(s.book.complete(t.Context(), "k", b.holder(), []byte("r")), nil)
	s.now = noon + 999
	s.claim("c", 50, 1000, dedupe.Replay)
	s.now = noon + 1000
	if a := s.claim("c", 50, 1000, dedupe.Acquired); a.entry.attempt != 1 {
		t.Errorf("%+v", a.entry)
	}
}

func TestCompletionAfterTheWindowIsKeptForTheLease(t *testing.T) {
	s := newShelf(t)
	a := s.claim("a", 1000, 10, dedupe.Acquired)
	s.now = noon + 500
	for range 2 {
		s.want(s.book.complete(t.Context(), "k", a.holder(), []byte("r")), nil)
	}
	s.now = noon + 999
	s.claim("b", 50, 1000, dedupe.Replay)
	s.now = noon + 1000
	s.claim("b", 50, 1000, dedupe.Acquired)
}

// Known mistake: the clock runs backwards, and lengthens or revives what it should not.
func TestClockOfABookDoesNotRunBackwards(t *testing.T) {
	s := newShelf(t)
	s.claim("a", 100, 1000, dedupe.Acquired)
	s.now = noon + 100
	b := s.claim("b", 100, 1000, dedupe.Acquired)
	s.now = noon - 5000
	s.claim("c", 100, 1000, dedupe.InProgress)
	s.want(s.book.complete(t.Context(), "k", b.holder(), nil), nil)
	if e, _ := decodeEntry(s.table.rows["k"].record); e.until != noon+100 {
		t.Errorf("completed at noon%+d", e.until-noon)
	}
	s.evict()
	s.claim("c", 100, 1000, dedupe.Replay)
	s.forget()
	if a := s.claim("d", 100, 1000, dedupe.Acquired); a.entry.firstSeen != noon+100 || a.entry.number <= b.entry.number {
		t.Errorf("%+v after fence %d", a.entry, b.entry.number)
	}
}

func TestFencesGrowWhateverHappensBetween(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := newShelf(t)
		last, history := int64(0), []string(nil)
		for range 60 {
			step := r.IntN(7)
			history = append(history, fmt.Sprint(step, "@", s.now-noon))
			switch step {
			case 0, 1:
				a, err := s.book.claim(t.Context(), "k", request{owner: fmt.Sprint(r.Int()), lease: 1 + r.Int64N(3), ttl: 1 + r.Int64N(3)})
				if err != nil {
					t.Fatal(err)
				}
				if a.outcome == dedupe.Acquired {
					if a.entry.number <= last {
						t.Fatalf("seed %d: fence %d after %d: %v", seed, a.entry.number, last, history)
					}
					last = a.entry.number
				}
			case 2:
				s.forget()
			case 3:
				s.evict()
			case 4:
				s.ring()
			case 5:
				s.book.release(t.Context(), "k", holder{"x", last})
			case 6:
				s.now += r.Int64N(3)
			}
		}
	}
}

func TestManyFencesWithinAMillisecond(t *testing.T) {
	s := newShelf(t)
	last := int64(0)
	for n := range 3000 {
		a := s.claim("same", 10, 10, dedupe.Acquired)
		if a.entry.number <= last {
			t.Fatalf("claim %d has fence %d after %d", n, a.entry.number, last)
		}
		last = a.entry.number
		s.want(s.book.release(t.Context(), "k", a.holder()), nil)
		if n%100 == 99 {
			s.forget()
			s.evict()
		}
	}
}

// Known mistake: a late Forget deletes a successor.
func TestLateForgetOfALedgerLeavesTheSuccessor(t *testing.T) {
	s := newShelf(t)
	s.claim("a", 1000, 5000, dedupe.Acquired)
	s.now += 10
	what, fence, err := s.book.look(t.Context(), "k")
	s.want(err, nil)
	successor := int64(0)
	for range 2 { // the second is the repetition, or the first that was under way for long
		s.want(s.book.forget(t.Context(), "k", what, fence), nil)
		if a := s.claim("b", 1000, 5000, dedupe.Acquired); successor != 0 && a.entry.number != successor {
			t.Errorf("the successor's fence %d became %d", successor, a.entry.number)
		} else {
			successor = a.entry.number
		}
	}
	s.claim("c", 1000, 5000, dedupe.InProgress)
}

func TestAlarmEmptiesABook(t *testing.T) {
	s := newShelf(t)
	for n := range 3 * sweepLimit {
		_, err := s.book.claim(t.Context(), fmt.Sprint(n), request{owner: "a", lease: 10, ttl: 1000})
		s.want(err, nil)
	}
	s.want(s.book.release(t.Context(), "k", holder{"a", 1}), dedupe.ErrFenced)
	s.now = noon + 999
	s.ring()
	if len(s.table.rows) != 3*sweepLimit || s.table.alarm != noon+1000 {
		t.Errorf("early: %d records, alarm at noon%+d", len(s.table.rows), s.table.alarm-noon)
	}
	s.now = noon + 1000
	for left := 2; left > 0; left-- {
		s.ring()
		if len(s.table.rows) != left*sweepLimit || s.table.alarm != noon+1000 {
			t.Errorf("%d records, alarm at noon%+d; want the next at once", len(s.table.rows), s.table.alarm-noon)
		}
	}
	s.ring()
	if until := int64(noon) + clockSlack; len(s.table.rows) != 0 || s.table.alarm <= until || s.table.alarm > until+10 {
		t.Errorf("%d records, alarm at noon%+d; want the fences kept for %d ms after they were given", len(s.table.rows), s.table.alarm-noon, clockSlack)
	}
	s.now = s.table.alarm
	s.ring()
	if len(s.table.notes) != 0 || s.table.alarm != 0 || s.table.ops[len(s.table.ops)-1] != "clear" {
		t.Errorf("%d records, alarm %d, %v", len(s.table.rows), s.table.alarm, s.table.ops[len(s.table.ops)-3:])
	}
}

// Known mistake: alarm errors are swallowed. And the next operation sets the alarm again.
func TestErrorsOfABooksAlarmGetOut(t *testing.T) {
	for _, op := range []string{"sweep", "earliest", "setAlarm"} {
		s := newShelf(t)
		s.claim("a", 1000, 1000, dedupe.Acquired)
		s.table.alarm = 0 // the platform has taken it
		s.table.fault = failing(op)
		s.want(s.book.alarm(t.Context()), errInjected)
		s.table.fault, s.table.alarm = nil, 0
		s.claim("a", 1000, 1000, dedupe.Acquired)
		if s.table.alarm != noon+1100 {
			t.Errorf("%s: the alarm is at %d", op, s.table.alarm)
		}
	}
}

// The cost: a first claim is a put and an alarm, a duplicate nothing, a completion a put.
func TestWritesOfABook(t *testing.T) {
	s := newShelf(t)
	writes := func(what string, want ...string) {
		t.Helper()
		var got []string
		for _, op := range s.table.ops {
			if op != "get" && op != "earliest" && op != "alarmAt" && op != "noted" {
				got = append(got, op)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s writes %v, want %v", what, got, want)
		}
		s.table.ops = nil
	}
	a := s.claim("a", 1000, 5000, dedupe.Acquired)
	writes("a first claim", "put", "setAlarm")
	s.claim("b", 1000, 5000, dedupe.InProgress)
	s.claim("a", 1000, 5000, dedupe.Acquired)
	writes("a duplicate")
	s.want(s.book.complete(t.Context(), "k", a.holder(), []byte("r")), nil)
	writes("a completion", "put")
	s.claim("b", 1000, 5000, dedupe.Replay)
	s.want(s.book.complete(t.Context(), "k", a.holder(), []byte("r")), nil)
	writes("a replay and a second completion")
	s.evict()
	s.claim("b", 1000, 5000, dedupe.Replay)
	writes("a duplicate after an eviction")
}

// Result stored before its size is checked; lease, TTL and owner likewise.
func TestObjectRefusesWhatIsInvalidBeforeItWrites(t *testing.T) {
	s := newShelf(t)
	a := s.claim("a", 1000, 5000, dedupe.Acquired)
	before := slices.Clone(s.table.rows["k"].record)
	s.want(s.book.complete(t.Context(), "k", a.holder(), make([]byte, dedupe.MaxResultSize+1)), dedupe.ErrResultTooLarge)
	for _, lease := range []int64{0, -1, maxLease + 1, math.MaxInt64} {
		s.want(s.book.extend(t.Context(), "k", a.holder(), lease), dedupe.ErrInvalidLease)
		_, err := s.book.claim(t.Context(), "k", request{owner: "b", lease: lease, ttl: 1})
		s.want(err, dedupe.ErrInvalidLease)
	}
	for _, ttl := range []int64{0, -1, maxTTL + 1, math.MaxInt64} {
		_, err := s.book.claim(t.Context(), "k2", request{owner: "b", lease: 1, ttl: ttl})
		s.want(err, dedupe.ErrInvalidTTL)
	}
	_, err := s.book.claim(t.Context(), "k2", request{owner: strings.Repeat("o", 65), lease: 1, ttl: 1})
	s.want(err, dedupe.ErrOwnerTooLarge)
	_, err = s.book.wait(t.Context(), "k", "", maxWait+1)
	s.want(err, dedupe.ErrInvalidWait)
	if len(s.table.rows) != 1 || !bytes.Equal(s.table.rows["k"].record, before) {
		t.Errorf("%d records: %x, before %x", len(s.table.rows), s.table.rows["k"].record, before)
	}
}

func TestUnreadableEntryIsLeftAndCanBeForgotten(t *testing.T) {
	for _, c := range []struct {
		record []byte
		want   error
	}{{[]byte{}, ErrCorrupt}, {[]byte{3, 9, 9}, ErrVersion}, {[]byte{1, 2, 3}, ErrCorrupt}, {[]byte{2, 0}, ErrCorrupt}} {
		s := newShelf(t)
		s.table.rows["k"] = fakeRow{record: c.record, due: noon + 10}
		_, err := s.book.claim(t.Context(), "k", request{owner: "a", lease: 1, ttl: 1})
		s.want(err, c.want)
		s.want(s.book.complete(t.Context(), "k", holder{"a", 1}, nil), c.want)
		_, err = s.book.wait(t.Context(), "k", "", 0)
		s.want(err, c.want)
		if !bytes.Equal(s.table.rows["k"].record, c.record) {
			t.Errorf("%x became %x", c.record, s.table.rows["k"].record)
		}
		s.forget()
		s.claim("a", 1, 1, dedupe.Acquired)
	}
}

// Perform, then fail: whichever operation of a claim and completion fails, and however, an error that says that nothing was changed is right,
// and the same owner gets what it would have got when it asks again.
func TestFaultsOfATableLeaveNoClaimThatNobodyKnows(t *testing.T) {
	for n := range 4 {
		for _, f := range []fault{fails, performsThenFails} {
			s := newShelf(t)
			s.table.fault = func(i int, _ string) fault {
				if i == n {
					return f
				}
				return fine
			}
			_, err := s.book.claim(t.Context(), "k", request{owner: "a", lease: 1000, ttl: 5000})
			s.want(err, errInjected)
			s.table.fault = nil
			stored := len(s.table.rows) > 0
			if definite(err) && stored {
				t.Errorf("operation %d, fault %d: the error says that nothing was changed, and there is a record", n, f)
			}
			a := s.claim("a", 1000, 5000, dedupe.Acquired)
			if s.table.alarm != noon+5000 || a.entry.attempt != 1 {
				t.Errorf("operation %d, fault %d: %+v, alarm %d", n, f, a.entry, s.table.alarm)
			}
			s.claim("b", 1000, 5000, dedupe.InProgress)

			s.evict()
			s.table.ops = nil
			s.table.fault = func(i int, _ string) fault {
				if i == n {
					return f
				}
				return fine
			}
			s.want(s.book.complete(t.Context(), "k", a.holder(), []byte("r")), errInjected)
			s.table.fault = nil
			s.want(s.book.complete(t.Context(), "k", a.holder(), []byte("r")), nil)
			s.claim("b", 1000, 5000, dedupe.Replay)
		}
	}
}

// A crash leaves neither a gap nor a second number.
func TestFaultsOfASequenceLeaveNoGap(t *testing.T) {
	for n := range 6 {
		for _, f := range []fault{fails, performsThenFails} {
			s := newShelf(t)
			s.table.fault = func(i int, _ string) fault {
				if i == n {
					return f
				}
				return fine
			}
			s.book.next(t.Context(), "k", request{owner: "a", ttl: 1000})
			s.table.fault = nil
			for _, c := range []struct {
				key, owner string
				n          int64
				inserted   bool
			}{{"k", "a", 1, true}, {"k", "b", 1, false}, {"l", "b", 2, true}, {"k", "a", 1, true}} {
				e, inserted, err := s.book.next(t.Context(), c.key, request{owner: c.owner, ttl: 1000})
				if err != nil || e.number != c.n || inserted != c.inserted {
					t.Errorf("operation %d, fault %d: %s is %d, %v, %v", n, f, c.key, e.number, inserted, err)
				}
			}
			s.now = noon + 1000
			s.ring()
			if len(s.table.rows) != 1 {
				t.Errorf("%d records after expiry, want the counter alone", len(s.table.rows))
			}
			s.evict()
			if e, _, err := s.book.next(t.Context(), "k", request{owner: "a", ttl: 1000}); e.number != 3 || err != nil {
				t.Errorf("after expiry: %d, %v", e.number, err)
			}
		}
	}
}

func TestWaitersLeaveNothingBehind(t *testing.T) {
	s, room := newShelf(t), budget.New(10)
	s.book.waiters = room
	s.claim("a", 1000, 5000, dedupe.Acquired)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := s.book.wait(ctx, "k", "", 60_000)
	s.want(err, context.DeadlineExceeded)
	if a, err := s.book.wait(t.Context(), "k", "", 20); a.outcome != dedupe.InProgress || err != nil {
		t.Errorf("%+v, %v", a, err)
	}
	if len(s.book.parked) != 0 || !room.Take("", 5) {
		t.Errorf("parked: %d keys; there is not room for everybody", len(s.book.parked))
	}
}

func TestObjectsRefuseToHaveMoreCallersWaitThanTheirLimit(t *testing.T) {
	s, other, room := newShelf(t), newShelf(t), budget.New(10)
	s.book.waiters, other.book.waiters, other.book.tenant = room, room, "another"
	a := s.claim("a", 1000, 5000, dedupe.Acquired)
	other.claim("a", 1000, 5000, dedupe.Acquired)
	var parked []*parking
	for n := range 5 { // as many as it leaves
		_, p, err := s.book.standing(t.Context(), "k", "", true)
		if p == nil || err != nil {
			t.Fatalf("caller %d: %v, %v", n, p, err)
		}
		parked = append(parked, p)
	}
	before := maps.Clone(s.table.rows)
	_, err := s.book.wait(t.Context(), "k", "", 20)
	s.want(err, dedupe.ErrOverloaded)
	if known := fail(opClaim, err).(*dedupe.Error); !definite(err) || !known.Retryable {
		t.Errorf("%#v is not definite, or not retryable", err)
	}
	if a, err := s.book.wait(t.Context(), "k", "", 0); a.outcome != dedupe.InProgress || err != nil { // it need not wait
		t.Errorf("without a wait: %+v, %v", a, err)
	}
	if !maps.EqualFunc(before, s.table.rows, func(a, b fakeRow) bool { return string(a.record) == string(b.record) && a.due == b.due }) {
		t.Error("the refused wait changed a record")
	}
	if a, err := other.book.wait(t.Context(), "k", "", 1); a.outcome != dedupe.InProgress || err != nil {
		t.Errorf("a wait of another scope: %+v, %v", a, err)
	}
	s.book.leave("k", parked[0])
	if a, err := s.book.wait(t.Context(), "k", "", 1); a.outcome != dedupe.InProgress || err != nil {
		t.Errorf("after one has left: %+v, %v", a, err)
	}
	s.want(s.book.complete(t.Context(), "k", a.holder(), nil), nil)
	for _, p := range parked[1:] {
		<-p.changed
		s.book.leave("k", p)
	}
	if len(s.book.parked) != 0 || !room.Take("", 5) {
		t.Errorf("parked: %d keys; there is not room for everybody", len(s.book.parked))
	}
}

// These bytes are in use: a change here makes live records unreadable.
func TestEntryBytesArePinned(t *testing.T) {
	for _, c := range []struct {
		e    entry
		want string
	}{
		{entry{state: held, number: 1000, attempt: 1, firstSeen: 1, ttl: 300, until: 31, owner: "ab", fingerprint: "\xff"}, "0202" + "e807" + "01" + "01" + "ac02" + "1f" + "026162" + "01ff"},
		{entry{state: held, takenOver: true, number: 1, attempt: 2, firstSeen: 1, ttl: 1, until: 2, owner: "a"}, "0282" + "01" + "02" + "01" + "01" + "02" + "0161" + "00"},
		{entry{state: done, number: 1, attempt: 1, firstSeen: 1, ttl: 1, until: 2, owner: "a", fingerprint: "f", result: []byte("res")}, "0203" + "0101010102" + "0161" + "0166" + "726573"},
		{entry{state: free, number: 5, ttl: 1}, "0201" + "0500000100" + "0000"},
		{entry{state: numbered, number: 7, firstSeen: 1, ttl: 2, owner: "a", fingerprint: "h"}, "0204" + "0700010200" + "0161" + "0168"},
	} {
		if got := hex.EncodeToString(c.e.encode()); got != c.want {
			t.Errorf("%+v: %s, want %s", c.e, got, c.want)
		}
		b, _ := hex.DecodeString(c.want)
		e, err := decodeEntry(b)
		if err != nil || hex.EncodeToString(e.encode()) != c.want {
			t.Errorf("%s: %+v, %v", c.want, e, err)
		}
	}
}

func TestLedgerNamesArePinned(t *testing.T) {
	for _, c := range []struct {
		m                          Mapping
		scope, key, object, inside string
	}{
		{PerKey(), "", "order-1041", "capdo.ledger.v1::b3JkZXItMTA0MQ", ""},
		{PerKey(), "a:x", "k", "capdo.ledger.v1:YTp4:aw", ""},
		{Buckets(1), "", "k", "capdo.ledger.v1::0/1", "k"},
		{Buckets(8), "orders", "order-1041", "capdo.ledger.v1:b3JkZXJz:2/8", "order-1041"},
		{Buckets(65536), "", "\x00", "capdo.ledger.v1::2707/65536", "\x00"},
	} {
		if object, inside := c.m.place(kindLedger, c.scope, []byte(c.key)); object != c.object || inside != c.inside {
			t.Errorf("%v, scope %q, key %q: %s, %q; want %s", c.m, c.scope, c.key, object, inside, c.object)
		}
	}
	if got := objectName(kindSequence, "s", []byte("stream")); got != "capdo.sequence.v1:cw:c3RyZWFt" {
		t.Errorf("stream: %s", got)
	}
	for _, n := range []int{0, -1, MaxBuckets + 1} {
		if _, err := newLedger(nil, &LedgerOptions{Mapping: Buckets(n)}); !errors.Is(err, ErrBuckets) {
			t.Errorf("%d buckets: %v", n, err)
		}
	}
}

func TestBucketsAreEven(t *testing.T) {
	counts := map[string]int{}
	for n := range 8000 {
		object, _ := Buckets(8).place(kindLedger, "", fmt.Append(nil, "key ", n))
		counts[object]++
	}
	for object, n := range counts {
		if len(counts) != 8 || n < 850 || n > 1150 {
			t.Errorf("%s has %d of 8000 keys", object, n)
		}
	}
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3})
	f.Add((&entry{state: held, number: 1000, attempt: 1, firstSeen: 1, ttl: 300, until: 31, owner: "ab", fingerprint: "\xff"}).encode())
	f.Add((&entry{state: done, number: seed(never), attempt: 1, firstSeen: maxNow, ttl: maxTTL, until: 2, result: []byte("r")}).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEntry(b)
		if err != nil {
			if err != ErrCorrupt && err != ErrVersion {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(e.encode(), b) || e.expires() < e.firstSeen || (e.kept() >= never) != (e.state == counting) {
			t.Fatalf("%x: %+v", b, e)
		}
	})
}

// FuzzLedgerObject: whatever the messages are, an object answers, and leaves readable records behind.
func FuzzLedgerObject(f *testing.F) {
	claim := appendNumbers(message("k", "owner", "f"), 1000, 5000)
	f.Add(claim, claim)
	f.Add(appendNumbers(message("", "owner", ""), 1000, 5000), []byte{1})
	f.Add(appendNumbers(message("k", "owner", "f"), 5000), append(appendNumbers(message("k", "owner"), 1), "result"...))
	f.Add([]byte{2}, []byte{})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		one, many := newFakeTable(), newFakeTable()
		clock := func() int64 { return noon }
		o := &ledgerObject{one: book{table: one, clock: clock}, many: book{table: many, clock: clock}}
		for _, msg := range [][]byte{first, second} {
			for _, m := range ledgerMethods {
				if m.name == methodAwait {
					continue // it would wait
				}
				out, err := m.handle(o, t.Context(), msg)
				if err != nil {
					t.Fatalf("%s %x: thrown: %v", m.name, msg, err)
				}
				if _, err := decodeReply(out); err != nil && !definite(err) {
					t.Fatalf("%s %x: %v", m.name, msg, err)
				}
			}
		}
		for _, table := range []*fakeTable{one, many} {
			for key, row := range table.rows {
				if _, err := decodeEntry(row.record); err != nil {
					t.Fatalf("key %q: %x: %v", key, row.record, err)
				}
			}
		}
	})
}
