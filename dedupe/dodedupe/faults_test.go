//go:build !js

package dodedupe

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
)

// stage is an operation in a situation, over storage that can be told to fail.
type stage struct {
	// do does the operation. It returns what came of it, in words and without fences, or the error if that is not the object's answer.
	do    func() (string, error)
	evict func()
	// state is what is stored, in words and without fences.
	state func() string
	// alarmed reports that nothing is stored that expires, or that the alarm comes when it does at the latest.
	alarmed func() bool
	alarm   *int64
	empty   func() bool
	// fence is that of the record that the operation is about; 0 if there is none.
	fence func() int64
	// other is another operation on the same object, which writes; nil if there is none.
	other func() error
	ops   *[]string
	fault *func(n int, op string) fault
	// settles: it writes nothing, and is answered though the alarm, which an
	// instance does not know of, fails.
	settles bool
}

// blow is a fault that the n-th call of storage meets, counted from 0.
type blow struct {
	n    int
	kind fault
}

// attempt does the operation with a fault, and checks what holds after each: it is reported, an error that says that nothing was changed is
// right, and what is stored is either what was there or what is to be. hit is false if there was no such call.
func (s *stage) attempt(t *testing.T, b blow, states ...string) (hit bool) {
	t.Helper()
	*s.ops = nil
	*s.fault = func(n int, _ string) fault {
		if n == b.n {
			return b.kind
		}
		return fine
	}
	before := s.state()
	got, err := s.do()
	*s.fault = nil
	if len(*s.ops) <= b.n {
		return false
	}
	if s.settles && err == nil && s.state() == before && slices.Contains([]string{"earliest", "alarmAt", "setAlarm"}, (*s.ops)[b.n]) {
		return true // the next step tries again
	}
	switch {
	case !errors.Is(err, errInjected):
		t.Errorf("the fault is not reported: %s, %v", got, err)
	case definite(err) && s.state() != before:
		t.Errorf("the error says that nothing was changed: %v\n%s became\n%s", err, before, s.state())
	case !slices.Contains(states, s.state()):
		t.Errorf("stored: %s\nwant one of %q", s.state(), states)
	}
	return true
}

// testFaults meets each operation with every fault in every call of storage that it makes, and its repetition with another. Then it is repeated,
// undisturbed, in the same instance of the object and in a new one: it has to end as if there had been no fault, with an alarm. Where
// somebody else's operation comes instead, that has to set the alarm.
func testFaults(t *testing.T, acts map[string]func(t *testing.T) *stage) {
	for name, act := range acts {
		t.Run(name, func(t *testing.T) {
			twin := act(t)
			before := twin.state()
			*twin.ops = nil
			want, err := twin.do()
			if err != nil || !twin.alarmed() {
				t.Fatalf("without a fault: %s, %v; alarm %v", want, err, twin.alarmed())
			}
			after, calls := twin.state(), len(*twin.ops)
			if twin.empty() && *twin.alarm != 0 {
				t.Errorf("nothing is left but an alarm at noon%+d", *twin.alarm-noon)
			}
			for _, first := range blows(calls) {
				for _, second := range append(blows(calls+2), blow{-1, fine}) {
					for _, evict := range []bool{false, true} {
						run(t, act(t), first, second, evict, before, after, want)
					}
				}
				for _, evict := range []bool{false, true} {
					insteadOfRepeating(t, act(t), first, evict, before, after)
				}
			}
			t.Logf("%d calls", calls)
		})
	}
}

func blows(calls int) (all []blow) {
	for n := range calls {
		all = append(all, blow{n, fails}, blow{n, performsThenFails})
	}
	return all
}

func run(t *testing.T, s *stage, first, second blow, evict bool, before, after, want string) {
	t.Helper()
	if !s.attempt(t, first, before, after) {
		t.Fatalf("no call %d", first.n)
	}
	stored, fence := s.state(), s.fence()
	if evict {
		s.evict()
	}
	if second.n >= 0 && !s.attempt(t, second, before, after) {
		return // the repetition is shorter
	}
	if stored == after && before != after && s.fence() != fence {
		t.Errorf("faults %v and %v: fence %d became %d", first, second, fence, s.fence())
	}
	fence, stored = s.fence(), s.state()
	got, err := s.do()
	if got != want || err != nil || s.state() != after || !s.alarmed() {
		t.Errorf("faults %v and %v, evicted %v: %s, %v; want %s\nstored: %s\nwant:   %s\nalarm:  %v", first, second, evict, got, err, want, s.state(), after, s.alarmed())
	}
	if stored == after && s.fence() != fence {
		t.Errorf("faults %v and %v: fence %d became %d", first, second, fence, s.fence())
	}
}

// insteadOfRepeating has the caller, or the platform, give up. Another operation sees to the alarm then.
func insteadOfRepeating(t *testing.T, s *stage, first blow, evict bool, before, after string) {
	t.Helper()
	s.attempt(t, first, before, after)
	if s.other == nil {
		return
	}
	if evict {
		s.evict()
	}
	if err := s.other(); err != nil || *s.alarm == 0 || !s.alarmed() {
		t.Errorf("fault %v, evicted %v, and then another operation: %v, alarm at noon%+d", first, evict, err, *s.alarm-noon)
	}
}

// answered tells an answer, an error also, from a failure.
func answered(got string, err error) (string, error) {
	if errors.Is(err, errInjected) {
		return "", err
	}
	return fmt.Sprint(got, " ", err), nil
}

// onBook makes a stage of a book. prepare makes the situation and returns the operation on the key k.
func onBook(prepare func(s *shelf) func(b *book) (string, error)) func(t *testing.T) *stage {
	return func(t *testing.T) *stage {
		s := newShelf(t)
		do := prepare(s)
		other := func() error {
			_, err := s.book.claim(t.Context(), "z", request{owner: "z", lease: 10, ttl: 10_000_000})
			return err
		}
		return &stage{
			do:    func() (string, error) { return answered(do(s.book)) },
			evict: s.evict, state: s.table.state, empty: func() bool { return len(s.table.rows)+len(s.table.notes) == 0 },
			alarmed: func() bool { return s.table.alarmed(s.now + firstBackOff) }, alarm: &s.table.alarm, other: other,
			fence: func() int64 { e, _ := decodeEntry(s.table.rows["k"].record); return e.number },
			ops:   &s.table.ops, fault: &s.table.fault,
		}
	}
}

func (f *fakeTable) state() string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(f.rows)) {
		e, err := decodeEntry(f.rows[key].record)
		if e.state != numbered { // numbers in a sequence must not differ
			e.number = 0
		}
		all = append(all, fmt.Sprintf("%q: %+v until %d %v", key, e, f.rows[key].due-noon, err))
	}
	return strings.Join(all, "\n")
}

// alarmed reports whether there is an alarm when the first record is due, or soon, if that is past.
func (f *fakeTable) alarmed(soon int64) bool {
	due, _, _ := f.earliestOf()
	return due >= never || f.alarm != 0 && f.alarm <= max(due, soon)
}

// held is a claim of the key k by a, that lasts 1 s in a window of 5 s.
func (s *shelf) held() holder {
	s.Helper()
	a := s.claim("a", 1000, 5000, dedupe.Acquired)
	return a.holder()
}

func (s *shelf) completed() holder {
	s.Helper()
	h := s.held()
	s.want(s.book.complete(s.Context(), "k", h, []byte("r")), nil)
	return h
}

// claiming is a claim of k.
func (s *shelf) claiming(owner, fingerprint string, ttl int64) func(b *book) (string, error) {
	return func(b *book) (string, error) {
		a, err := b.claim(s.Context(), "k", request{owner: owner, fingerprint: fingerprint, lease: 1000, ttl: ttl})
		return fmt.Sprint(a.outcome, a.entry.attempt, a.entry.takenOver, a.entry.owner, string(a.entry.result), a.retryAfter), err
	}
}

func (s *shelf) forgetting() func(b *book) (string, error) {
	what, fence, err := s.book.look(s.Context(), "k")
	s.want(err, nil)
	return func(b *book) (string, error) { return "", b.forget(s.Context(), "k", what, fence) }
}

func (s *shelf) numbering(key, owner, hash string) func(b *book) (string, error) {
	return func(b *book) (string, error) {
		e, inserted, err := b.next(s.Context(), key, request{owner: owner, fingerprint: hash, ttl: 5000})
		return fmt.Sprint(e.number, inserted), err
	}
}

func (s *shelf) ringing() func(b *book) (string, error) {
	return func(b *book) (string, error) {
		s.table.alarm = 0 // the platform has taken it, and leaves it so if the error is the last
		return "", b.alarm(s.Context())
	}
}

// fill claims other keys: one that is over before k is, one that is over later.
func (s *shelf) fill() {
	for key, ttl := range map[string]int64{"early": 2000, "late": 9000} {
		_, err := s.book.claim(s.Context(), key, request{owner: "o", lease: 100, ttl: ttl})
		s.want(err, nil)
	}
}

type onShelf = func(s *shelf) func(b *book) (string, error)

// changing is a change by a holder.
func changing(prepare func(s *shelf) holder, change func(b *book, h holder, s *shelf) error) onShelf {
	return func(s *shelf) func(b *book) (string, error) {
		h := prepare(s)
		return func(b *book) (string, error) { return "", change(b, h, s) }
	}
}

func completeIt(b *book, h holder, s *shelf) error {
	return b.complete(s.Context(), "k", h, []byte("r"))
}
func extendIt(b *book, h holder, s *shelf) error  { return b.extend(s.Context(), "k", h, 2000) }
func releaseIt(b *book, h holder, s *shelf) error { return b.release(s.Context(), "k", h) }

// later lets time pass after a situation was made.
func later[T any](ms int64, prepare func(s *shelf) T) func(s *shelf) T {
	return func(s *shelf) T {
		v := prepare(s)
		s.now += ms
		return v
	}
}

func leaseBeyondWindow(s *shelf) holder {
	a := s.claim("a", 2000, 500, dedupe.Acquired)
	return a.holder()
}

func stranger(s *shelf) holder { h := (*shelf).held(s); h.fence++; return h }

func released(s *shelf) holder {
	h := s.held()
	s.want(s.book.release(s.Context(), "k", h), nil)
	return h
}

func numberedOnce(s *shelf) holder {
	_, err := s.numbering("k", "a", "h")(s.book)
	s.want(err, nil)
	return holder{}
}

func nothing(*shelf) holder { return holder{} }

// claims are claims of k in a situation.
func claims(prepare func(s *shelf) holder, owner, fingerprint string, ttl int64) onShelf {
	return func(s *shelf) func(b *book) (string, error) { prepare(s); return s.claiming(owner, fingerprint, ttl) }
}

func full(prepare func(s *shelf) holder) func(s *shelf) holder {
	return func(s *shelf) holder { s.fill(); return prepare(s) }
}

func forgets(prepare func(s *shelf) holder) onShelf {
	return func(s *shelf) func(b *book) (string, error) { prepare(s); return s.forgetting() }
}

func numbers(prepare func(s *shelf) holder, key, owner, hash string) onShelf {
	return func(s *shelf) func(b *book) (string, error) { prepare(s); return s.numbering(key, owner, hash) }
}

func ringsOn(prepare func(s *shelf) holder) onShelf {
	return func(s *shelf) func(b *book) (string, error) { prepare(s); return s.ringing() }
}

func unreadable(s *shelf) holder {
	s.table.rows["k"] = fakeRow{record: []byte{9}, due: never}
	return holder{}
}

// looks reads k, as forget and a waiter do.
func looks(prepare func(s *shelf) holder) onShelf {
	return func(s *shelf) func(b *book) (string, error) {
		prepare(s)
		return func(b *book) (string, error) {
			what, fence, err := b.look(s.Context(), "k")
			return fmt.Sprint(what, fence), err
		}
	}
}

func waits(prepare func(s *shelf) holder) onShelf {
	return func(s *shelf) func(b *book) (string, error) {
		prepare(s)
		return func(b *book) (string, error) {
			a, err := b.wait(s.Context(), "k", "", 0)
			return fmt.Sprint(a.outcome, a.retryAfter), err
		}
	}
}

var bookActs = map[string]onShelf{
	"claim of a new key":                       claims(nothing, "a", "", 5000),
	"claim of a new key among others":          claims(full(nothing), "a", "", 5000),
	"claim of a new key that ends first":       claims(full(nothing), "a", "", 1000),
	"claim that takes over":                    claims(later(1000, (*shelf).held), "b", "", 5000),
	"claim that takes over, the same owner":    claims(later(1000, (*shelf).held), "a", "", 5000),
	"claim after the window":                   claims(later(5000, (*shelf).held), "b", "", 7000),
	"claim after release":                      claims(released, "b", "other", 5000),
	"claim by the same owner again":            claims((*shelf).held, "a", "", 5000),
	"claim of a key in progress":               claims((*shelf).held, "b", "", 5000),
	"claim of a key that is completed":         claims((*shelf).completed, "b", "", 5000),
	"claim that mismatches":                    claims((*shelf).held, "b", "other", 5000),
	"claim of an unreadable record":            claims(unreadable, "b", "", 5000),
	"completion":                               changing((*shelf).held, completeIt),
	"completion among others":                  changing(full((*shelf).held), completeIt),
	"completion after the lease":               changing(later(1500, (*shelf).held), completeIt),
	"completion after the window":              changing(later(1000, leaseBeyondWindow), completeIt),
	"completion that ends sooner":              changing(later(10, leaseBeyondWindow), completeIt),
	"second completion":                        changing((*shelf).completed, completeIt),
	"completion that is fenced":                changing(stranger, completeIt),
	"extension":                                changing((*shelf).held, extendIt),
	"extension beyond the window":              changing(later(4500, (*shelf).held), extendIt),
	"extension that is shorter":                changing(func(s *shelf) holder { a := s.claim("a", 3000, 5000, dedupe.Acquired); return a.holder() }, extendIt),
	"extension that is fenced":                 changing(stranger, extendIt),
	"release":                                  changing((*shelf).held, releaseIt),
	"release that ends sooner":                 changing(later(10, leaseBeyondWindow), releaseIt),
	"second release":                           changing(released, releaseIt),
	"release that is fenced":                   changing((*shelf).completed, releaseIt),
	"forget of the only key":                   forgets(later(10, (*shelf).held)),
	"forget of one key of several":             forgets(later(10, full((*shelf).completed))),
	"forget of the key that ends first":        forgets(later(10, func(s *shelf) holder { s.fill(); s.claim("a", 1, 1000, dedupe.Acquired); return holder{} })),
	"forget within the millisecond of a claim": forgets((*shelf).held),
	"forget of an unreadable record":           forgets(unreadable),
	"forget of nothing":                        forgets(nothing),
	"look":                                     looks((*shelf).held),
	"look at nothing":                          looks(nothing),
	"look at what is unreadable":               looks(unreadable),
	"wait for a key that is free":              waits(nothing),
	"wait for a key in progress":               waits((*shelf).held),
	"wait for a key that is completed":         waits((*shelf).completed),
	"first number":                             numbers(nothing, "k", "a", "h"),
	"second number":                            numbers(numberedOnce, "l", "b", "h"),
	"number of the same owner again":           numbers(numberedOnce, "k", "a", "h"),
	"number that another was given":            numbers(numberedOnce, "k", "b", "h"),
	"number that mismatches":                   numbers(numberedOnce, "k", "b", "other"),
	"number after the TTL":                     numbers(later(5000, numberedOnce), "k", "b", "other"),
	"alarm of nothing":                         ringsOn(nothing),
	"alarm that is early":                      ringsOn(later(10, full((*shelf).held))),
	"alarm of one key of several":              ringsOn(later(2000, full((*shelf).held))),
	"alarm of everything":                      ringsOn(later(9000, full((*shelf).held))),
	"alarm of a sequence":                      ringsOn(later(5000, numberedOnce)),
	"alarm of a sequence that is early":        ringsOn(later(10, numberedOnce)),
}

func TestFaultsInEveryStepOfABook(t *testing.T) {
	acts := map[string]func(t *testing.T) *stage{}
	for name, act := range bookActs {
		acts[name] = func(t *testing.T) *stage {
			s := onBook(act)(t)
			s.settles = slices.Contains([]string{"claim of a key in progress", "claim of a key that is completed", "number that another was given"}, name)
			return s
		}
	}
	testFaults(t, acts)
}

// onSlot makes a stage of a slot.
func onSlot(prepare func(b *bench), do func(b *bench, seen []byte) (string, error)) func(t *testing.T) *stage {
	return func(t *testing.T) *stage {
		b := newBench(t)
		prepare(b)
		seen := bytes.Clone(b.storage.record)
		return &stage{
			do:    func() (string, error) { return answered(do(b, seen)) },
			evict: b.evict,
			state: func() string { r, err := decodeRecord(b.storage.record); return fmt.Sprint(b.storage.ok, r, err) },
			alarmed: func() bool {
				r, err := decodeRecord(b.storage.record)
				return err != nil || b.storage.alarm != 0 && b.storage.alarm <= r.expires
			},
			alarm: &b.storage.alarm, empty: func() bool { return !b.storage.ok },
			fence: func() int64 { r, _ := decodeRecord(b.storage.record); return int64(r.owner[0]) },
			ops:   &b.storage.ops, fault: &b.storage.fault,
		}
	}
}

func slotPut(by byte) func(b *bench, _ []byte) (string, error) {
	return func(b *bench, _ []byte) (string, error) {
		inserted, err := b.put(by, 1000)
		return fmt.Sprint(inserted), err
	}
}

func slotForget(b *bench, seen []byte) (string, error) { return "", b.slot.forget(b.Context(), seen) }
func slotLook(b *bench, _ []byte) (string, error) {
	r, ok, err := b.slot.look()
	return fmt.Sprint(r, ok), err
}
func slotRing(b *bench, _ []byte) (string, error) {
	b.storage.alarm = 0
	return "", b.slot.alarm(b.Context())
}

// after makes a record, and lets time pass.
func after(ms int64) func(b *bench) {
	return func(b *bench) { b.wantPut(1, 1000, true); b.now += ms }
}

func TestFaultsInEveryStepOfASlot(t *testing.T) {
	empty := func(*bench) {}
	corrupt := func(b *bench) { b.storage.record, b.storage.ok = []byte{9}, true }
	testFaults(t, map[string]func(t *testing.T) *stage{
		"insert":                         onSlot(empty, slotPut(1)),
		"insert after the TTL":           onSlot(after(1000), slotPut(2)),
		"insert again":                   onSlot(after(10), slotPut(1)),
		"insert that is a duplicate":     onSlot(after(10), slotPut(2)),
		"insert of an unreadable record": onSlot(corrupt, slotPut(2)),
		"look":                           onSlot(after(10), slotLook),
		"look at nothing":                onSlot(empty, slotLook),
		"forget":                         onSlot(after(10), slotForget),
		"forget after the TTL":           onSlot(after(1000), slotForget),
		"forget of an unreadable record": onSlot(corrupt, slotForget),
		"forget of nothing":              onSlot(empty, slotForget),
		"alarm":                          onSlot(after(1000), slotRing),
		"alarm that is early":            onSlot(after(999), slotRing),
		"alarm of nothing":               onSlot(empty, slotRing),
	})
}

// providerActs are the operations of a ledger and a sequencer, on the key k.
var providerActs = map[string]func(p *provided) (string, error){
	"claim": func(p *provided) (string, error) {
		c, err := p.ledger.Claim(p.t.Context(), []byte("new"), dedupe.ClaimOptions{Owner: "a", Lease: time.Second, TTL: time.Minute})
		return fmt.Sprint(c.Outcome, c.Attempt, c.TakenOver), err
	},
	"complete": func(p *provided) (string, error) { return "", p.ledger.Complete(p.t.Context(), p.claim, []byte("r")) },
	"extend":   func(p *provided) (string, error) { return "", p.ledger.Extend(p.t.Context(), p.claim, time.Minute) },
	"release":  func(p *provided) (string, error) { return "", p.ledger.Release(p.t.Context(), p.claim) },
	"forget":   func(p *provided) (string, error) { return "", p.ledger.Forget(p.t.Context(), []byte("k")) },
}

type provided struct {
	t       *testing.T
	now     int64
	objects *fakeLedgerObjects
	ledger  *Ledger
	claim   dedupe.Claim
}

func provide(t *testing.T, m Mapping) *provided {
	p := &provided{t: t, now: noon, objects: &fakeLedgerObjects{}}
	p.objects.clock = func() int64 { return p.now }
	p.ledger = fakeLedger(t, p.objects, m)
	var err error
	p.claim, err = p.ledger.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Owner: "a", Lease: time.Second, TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	p.now += 10
	object, _ := m.place(kindLedger, "", []byte("new"))
	p.objects.object(object)
	return p
}

func (p *provided) tables() (all []*fakeTable) {
	for _, name := range slices.Sorted(maps.Keys(p.objects.objects)) {
		o := p.objects.objects[name]
		all = append(all, o.one.table.(*fakeTable), o.many.table.(*fakeTable))
	}
	return all
}

func (p *provided) state() (s string) {
	for _, table := range p.tables() {
		s += table.state() + "\n"
	}
	return s
}

// breakFrom has storage fail in the n-th call from now on, and in so many after that.
func (p *provided) breakFrom(n, times int, kind fault) {
	calls := 0
	for _, table := range p.tables() {
		table.fault = func(int, string) fault {
			calls++
			if calls > n && calls <= n+times {
				return kind
			}
			return fine
		}
	}
}

// One fault of storage is made up for by the provider's repetition, or is an error that is definite, and then nothing was changed. More may leave
// the outcome unknown; then the caller's repetition finds what would have been.
func TestFaultsOfStorageUnderTheProvider(t *testing.T) {
	for name, act := range providerActs {
		for _, m := range []Mapping{PerKey(), Buckets(1)} {
			twin := provide(t, m)
			before := twin.state()
			want, err := act(twin)
			if err != nil {
				t.Fatal(name, err)
			}
			after := twin.state()
			for n := range 8 {
				for _, kind := range []fault{fails, performsThenFails} {
					for _, times := range []int{1, 2, 1000} {
						p := provide(t, m)
						p.breakFrom(n, times, kind)
						got, err := act(p)
						p.breakFrom(0, 0, fine)
						unknown := errors.Is(err, dedupe.ErrUnknownOutcome)
						switch {
						case err == nil && (got != want || p.state() != after):
							t.Errorf("%s, %v, fault %d from %d: %s, %s", name, m, kind, n, got, p.state())
						case err != nil && !unknown && p.state() != before:
							t.Errorf("%s, %v, fault %d from %d: %v is definite, and stored is\n%s", name, m, kind, n, err, p.state())
						case unknown && times == 1:
							t.Errorf("%s, %v, fault %d from %d: %v", name, m, kind, n, err)
						}
						if got, err := act(p); got != want || err != nil || p.state() != after {
							t.Errorf("%s, %v, fault %d from %d, and again: %s, %v\n%s\nwant\n%s", name, m, kind, n, got, err, p.state(), after)
						}
					}
				}
			}
		}
	}
}
