//go:build !js

package dodedupe

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"flow.internal/capdo/dedupe"
)

// machine is a book on a table, with what has been seen of it: what has to stay
// true over whatever callers, alarms, evictions, faults, programs of other
// versions, transactions that are rolled back, users' functions, and clocks
// that jump both ways do.
type machine struct {
	now     int64
	table   *fakeTable
	book    *book
	inside  bool                // a user's transaction is under way
	fences  map[string]int64    // the largest of a key
	loose   map[string]bool     // keys whose fences were given before the object was emptied: then they grow as the clock does
	holders map[string][]holder // all of a key
	results map[claimed]string  // what was completed
	looks   []looked
	open    map[claimed]bool // claims that their holders have not ended, and that nobody has taken over
	newer   map[string]bool  // keys whose records are of a newer version
	soon    int64            // when the clock was at its highest since the alarm was set

	mu      sync.Mutex
	told    map[claimed]int
	behaves func(key string) error // what the function does that is told
}

// claimed is a claim: fences are those of a key.
type claimed struct {
	key   string
	fence int64
}

// looked is what a Forget saw, which may be under way for long.
type looked struct {
	key         string
	what, fence int64
}

func newMachine() *machine {
	m := &machine{
		now: noon, table: newFakeTable(), fences: map[string]int64{}, loose: map[string]bool{}, holders: map[string][]holder{}, results: map[claimed]string{},
		open: map[claimed]bool{}, newer: map[string]bool{}, told: map[claimed]int{},
	}
	m.table.cleared = func() {
		for key := range m.fences {
			m.loose[key] = true
		}
	}
	m.restart()
	return m
}

// restart begins a new instance of the object.
func (m *machine) restart() {
	m.book = &book{table: m.table, clock: func() int64 { return m.now }, many: true, tell: m.tell}
	m.book.section = func(context.Context) (bool, func(), error) { return m.inside, func() {}, nil }
}

func (m *machine) tell(_ context.Context, key string, e *entry) error {
	m.mu.Lock()
	m.told[claimed{key, e.number}]++
	behaves := m.behaves
	m.mu.Unlock()
	if behaves == nil {
		return nil
	}
	return behaves(key)
}

func TestBookKeepsItsInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine()
		t.Repeat(map[string]func(*rapid.T){
			"claim": m.claim, "claim again": m.claim, "complete": m.complete, "extend": m.extend, "release": m.release, "look": m.look, "drop": m.drop,
			"alarm": m.alarm, "evict": m.evict, "clock": m.clock, "jump": m.jump, "transaction": m.transaction, "fault": m.fault, "version": m.version,
			"alarm that fails": m.alarmThatFails, "": m.check,
		})
		m.end(t)
	})
}

// stored returns a key's entry and when that is, as the book sees it.
func (m *machine) stored(t *rapid.T, key string) (e entry, now int64) {
	now = m.now
	if latest := m.book.latest; latest <= m.now+clockSlack {
		now = max(now, latest)
	}
	if row, ok := m.table.rows[key]; ok {
		var err error
		if e, err = decodeEntry(row.record); err != nil {
			t.Fatalf("key %s: %v", key, err)
		}
	}
	if e.ahead(m.now) {
		e = e.rebased(m.now)
	}
	return e, max(now, e.latest())
}

// readable draws a key whose record this program knows.
func (m *machine) readable(t *rapid.T) string {
	key := someKey.Draw(t, "key")
	if m.newer[key] {
		t.Skip("a newer program wrote it")
	}
	return key
}

func (m *machine) claim(t *rapid.T) {
	key := m.readable(t)
	r := request{
		owner: anOwner.Draw(t, "owner"), fingerprint: aPrint.Draw(t, "fingerprint"),
		lease: rapid.Int64Range(1, 20).Draw(t, "lease"), ttl: rapid.Int64Range(1, 60).Draw(t, "TTL"),
	}
	e, now := m.stored(t, key)
	before := e.at(now)
	a, err := m.book.claim(t.Context(), key, r)
	inUse := before.state == held || before.state == done
	leased := before.state == held && now < before.until
	switch {
	case inUse && before.fingerprint != r.fingerprint:
		if !errors.Is(err, dedupe.ErrMismatch) {
			t.Errorf("%v, want ErrMismatch", err)
		}
	case err != nil:
		t.Error(err)
	case before.state == done:
		if want, known := m.results[claimed{key, before.number}]; a.outcome != dedupe.Replay || !known || string(a.entry.result) != want || a.entry.until != before.until {
			t.Errorf("%v of %q at %d, want a replay of %q at %d", a.outcome, a.entry.result, a.entry.until, want, before.until)
		}
	case leased && before.owner != r.owner:
		if a.outcome != dedupe.InProgress || a.retryAfter != before.until-now {
			t.Errorf("%v for %d ms of a lease for %d", a.outcome, a.retryAfter, before.until-now)
		}
	case leased:
		if a.outcome != dedupe.Acquired || a.entry.number != before.number {
			t.Errorf("the same owner again: %v, fence %d, want %d", a.outcome, a.entry.number, before.number)
		}
	default:
		m.acquired(t, key, &before, &a, now)
	}
}

func (m *machine) acquired(t *rapid.T, key string, before *entry, a *answer, now int64) {
	e := &a.entry
	if m.loose[key] && seed(now) <= m.fences[key] {
		m.fences[key], m.holders[key], m.looks = 0, nil, nil
	}
	switch {
	case a.outcome != dedupe.Acquired || e.number <= m.fences[key] || e.number < seed(now):
		t.Errorf("%v at %d with fence %d after %d", a.outcome, now, e.number, m.fences[key])
	case before.state != absent && (e.firstSeen != before.firstSeen || e.ttl != before.ttl || e.attempt != before.attempt+1):
		t.Errorf("the window moved: %+v became %+v", before, e)
	case before.state == absent && (e.firstSeen != now || e.attempt != 1 || e.takenOver):
		t.Errorf("a new window at %d: %+v", now, e)
	case e.takenOver != (before.state == held):
		t.Errorf("taken over: %v, before: %+v", e.takenOver, before)
	}
	m.acquire(key, e)
}

// acquire notes a claim. One that was open is known to its successor.
func (m *machine) acquire(key string, e *entry) {
	for c := range m.open {
		if c.key == key {
			delete(m.open, c)
		}
	}
	delete(m.loose, key)
	m.open[claimed{key, e.number}] = true
	m.fences[key] = e.number
	m.holders[key] = append(m.holders[key], holder{e.owner, e.number})
}

// change has a holder of any time change its claim, and checks that the present one can, another cannot.
func (m *machine) change(t *rapid.T, may func(e *entry, h holder) bool, change func(key string, h holder) error) (key string, h holder, before entry, changed bool) {
	key = m.readable(t)
	if len(m.holders[key]) == 0 {
		t.Skip("nobody has claimed it")
	}
	h = m.holders[key][max(0, len(m.holders[key])-1-rapid.IntRange(0, 3).Draw(t, "holders ago"))]
	e, now := m.stored(t, key)
	before = e.at(now)
	err := change(key, h)
	changed = before.holds(h) && may(&before, h)
	if changed && err != nil || !changed && !errors.Is(err, dedupe.ErrFenced) {
		t.Errorf("by %v of %+v: %v", h, before, err)
	}
	if after, _ := m.stored(t, key); !changed && !bytes.Equal(after.encode(), e.encode()) {
		t.Errorf("fenced, and %+v became %+v", before, after)
	}
	return key, h, before, changed
}

func (m *machine) complete(t *rapid.T) {
	result := someResult.Draw(t, "result")
	key, h, before, changed := m.change(t, func(e *entry, _ holder) bool { return e.state == held || e.state == done },
		func(key string, h holder) error { return m.book.complete(t.Context(), key, h, []byte(result)) })
	if !changed {
		return
	}
	delete(m.open, claimed{key, h.fence})
	if before.state == held {
		m.results[claimed{key, h.fence}] = result
	}
	e, now := m.stored(t, key)
	if e.state != done || string(e.result) != m.results[claimed{key, h.fence}] || e.fingerprint != before.fingerprint || e.firstSeen != before.firstSeen {
		t.Errorf("completed: %+v", e)
	}
	// a result is kept for some time after it, and for as long as the lease
	// would have lasted if the window is over
	want := before.firstSeen + before.ttl
	if before.state == held {
		if now >= want {
			want = max(want, before.until)
		}
		want = max(want, now+(before.ttl+9)/10)
	}
	if e.expires() != want {
		t.Errorf("at %d: the window %+v became %+v, want it to end at %d", now, before, e, want)
	}
}

func (m *machine) extend(t *rapid.T) {
	lease := rapid.Int64Range(1, 20).Draw(t, "lease")
	key, _, before, changed := m.change(t, func(e *entry, _ holder) bool { return e.state == held },
		func(key string, h holder) error { return m.book.extend(t.Context(), key, h, lease) })
	if e, now := m.stored(t, key); changed && (e.until != max(before.until, now+lease) || e.firstSeen != before.firstSeen || e.ttl != before.ttl) {
		t.Errorf("extended by %d at %d: %+v became %+v", lease, now, before, e)
	}
}

func (m *machine) release(t *rapid.T) {
	key, _, before, changed := m.change(t, func(e *entry, _ holder) bool { return e.state == held || e.state == free },
		func(key string, h holder) error { return m.book.release(t.Context(), key, h) })
	if changed {
		delete(m.open, claimed{key, before.number})
	}
	if e, _ := m.stored(t, key); changed && (e.state != free || e.attempt != before.attempt || e.firstSeen != before.firstSeen || e.ttl != before.ttl) {
		t.Errorf("released: %+v became %+v", before, e)
	}
}

func (m *machine) look(t *rapid.T) {
	key := m.readable(t)
	what, fence, err := m.book.look(t.Context(), key)
	if err != nil {
		t.Error(err)
	}
	m.looks = append(m.looks, looked{key, what, fence})
}

// drop is the second half of a Forget, at last, or again.
func (m *machine) drop(t *rapid.T) {
	if len(m.looks) == 0 {
		t.Skip("nobody forgets")
	}
	l := m.looks[max(0, len(m.looks)-1-rapid.IntRange(0, 5).Draw(t, "looks ago"))]
	if m.newer[l.key] {
		t.Skip("a newer program wrote it")
	}
	before, _ := m.stored(t, l.key)
	if err := m.book.forget(t.Context(), l.key, l.what, l.fence); err != nil {
		t.Error(err)
	}
	e, now := m.stored(t, l.key)
	seen := l.what == lookFence && before.state != absent && before.number == l.fence
	if after := e.at(now); seen && after.state != absent || !seen && !bytes.Equal(e.encode(), before.encode()) {
		t.Errorf("forgetting %+v: %+v became %+v", l, before, e)
	}
	if seen {
		delete(m.open, claimed{l.key, l.fence})
	}
}

func (m *machine) alarm(t *rapid.T) {
	m.ring(t)
	for n := 0; m.table.alarm != 0 && m.table.alarm <= m.now; n++ {
		if n == 10 {
			t.Fatalf("the alarm rings again and again: %s", m.table.state())
		}
		m.ring(t)
	}
	for key, row := range m.table.rows {
		if row.due <= m.now && !m.newer[key] {
			t.Errorf("key %s is over at %d and still there at %d", key, row.due, m.now)
		}
	}
}

// ring has the alarm ring, as the platform does: then it is not set any more. A
// function that is told may do what it likes.
func (m *machine) ring(t *rapid.T) {
	hurts := someKey.Draw(t, "the key that is trouble")
	how := rapid.SampledFrom([]string{"returns", "returns", "fails", "panics", "exits"}).Draw(t, "what its function does")
	m.behaves = func(key string) error {
		switch {
		case key != hurts || how == "returns":
			return nil
		case how == "panics":
			panic("boom")
		case how == "exits":
			runtime.Goexit()
		}
		return errBoom
	}
	m.table.alarm, m.soon = 0, m.now
	err := m.book.alarm(t.Context())
	for _, known := range []error{errBoom, errPanic, errGoexit} {
		if errors.Is(err, known) {
			err = nil
		}
	}
	if err != nil {
		t.Error(err)
	}
	m.behaves = nil
}

var errBoom = errors.New("boom")

// evict drops what the book has in memory.
func (m *machine) evict(*rapid.T) { m.restart() }

// clock has time pass, stand, or be set back.
func (m *machine) clock(t *rapid.T) {
	m.now += rapid.Int64Range(-15, 25).Draw(t, "passes")
	m.soon = max(m.soon, m.now)
}

// jump has the clock be wrong, or right again: that of another machine, in a
// new instance, or that of the same.
func (m *machine) jump(t *rapid.T) {
	const hour = 3_600_000
	m.now += rapid.SampledFrom([]int64{-40 * 24 * hour, -hour, -clockSlack - 1, -clockSlack / 2, -3, clockSlack / 2, clockSlack + 1, hour, 40 * 24 * hour}).Draw(t, "jumps")
	m.soon = max(m.soon, m.now)
	if rapid.Bool().Draw(t, "in a new instance") {
		m.restart()
	}
}

func (m *machine) check(t *rapid.T) {
	for key, row := range m.table.rows {
		if m.newer[key] {
			continue
		}
		e, err := decodeEntry(row.record)
		if err != nil || !bytes.Equal(e.encode(), row.record) {
			t.Errorf("key %s: %x, %v", key, row.record, err)
		}
		if e.kept() < e.expires() || row.due != e.due() && !row.watched || e.expires() <= e.firstSeen {
			t.Errorf("key %s: expires at %d, kept until %d, stored until %d: %+v", key, e.expires(), e.kept(), row.due, e)
		}
		if over := e.at(e.expires()); over.state != absent && e.watch == 0 {
			t.Errorf("key %s counts when it has expired: %+v", key, e)
		}
		if last := e.at(e.expires() - 1); last.state != e.state {
			t.Errorf("key %s does not count a ms before it expires: %+v", key, e)
		}
		m.oneHolder(t, key, e)
	}
	for c := range m.open {
		if _, ok := m.table.rows[c.key]; !ok && m.told[c] == 0 {
			t.Errorf("the holder of key %s with fence %d is gone, and nobody was told", c.key, c.fence)
		}
	}
	if !m.table.alarmed(max(m.soon, m.now) + firstBackOff) {
		t.Errorf("alarm at %d: %s", m.table.alarm, m.table.state())
	}
}

// oneHolder checks that of all who ever claimed a key one at most can extend.
func (m *machine) oneHolder(t *rapid.T, key string, e entry) {
	can := 0
	for _, h := range m.holders[key] {
		if _, _, err := e.extend(h, 1, e.firstSeen); err == nil {
			can++
		}
	}
	if e.state == held && can != 1 || can > 1 {
		t.Errorf("key %s has %d holders: %+v", key, can, e)
	}
}

// TestTransitionsOfASequence: the pure transition has one number for a key while it counts.
func TestTransitionsOfASequence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e entry
		now, last := int64(noon), int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"time": func(t *rapid.T) { now += rapid.Int64Range(0, 20).Draw(t, "passes") },
			"enter": func(t *rapid.T) {
				r := request{owner: anOwner.Draw(t, "owner"), fingerprint: aPrint.Draw(t, "hash"), ttl: rapid.Int64Range(1, 30).Draw(t, "TTL")}
				before := e.at(now)
				next, inserted, err := e.enter(r, now, last+1)
				switch {
				case before.state == absent:
					if !inserted || err != nil || next.number != last+1 || next.expires() != now+r.ttl {
						t.Fatalf("%+v, %v, %v", next, inserted, err)
					}
					last++
				case before.fingerprint != r.fingerprint:
					if inserted || !errors.Is(err, dedupe.ErrMismatch) {
						t.Fatalf("%+v, %v, %v", next, inserted, err)
					}
				default:
					if err != nil || inserted != (before.owner == r.owner) {
						t.Fatalf("%+v, %v, %v", next, inserted, err)
					}
				}
				if before.state != absent && !bytes.Equal(next.encode(), before.encode()) {
					t.Fatalf("%+v became %+v", before, next)
				}
				e = next
			},
		})
	})
}

// anEntry is one that may be stored, with times at the ends of what they may be.
func anEntry(t *rapid.T) entry {
	number := func(name string, most int64) int64 {
		return rapid.OneOf(rapid.Int64Range(0, most), rapid.SampledFrom([]int64{0, 1, most - 1, most})).Draw(t, name)
	}
	e := entry{
		state: state(rapid.IntRange(int(free), int(numbered)).Draw(t, "state")), takenOver: rapid.Bool().Draw(t, "taken over"),
		number: number("number", maxNow*1000), attempt: number("attempt", 1<<40), firstSeen: number("first seen", maxNow), ttl: max(1, number("TTL", maxTTL)),
		until: number("until", maxNow+maxLease), owner: anOwner.Draw(t, "owner"), fingerprint: aPrint.Draw(t, "fingerprint"),
	}
	if e.state == done {
		e.result = []byte(someResult.Draw(t, "result"))
	}
	return e
}

// TestTransitionsKeepEntriesReadable: whatever an entry is, and whenever, what becomes of it can be stored and read again, and ends.
func TestTransitionsKeepEntriesReadable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, now := anEntry(t), rapid.SampledFrom([]int64{0, 1, noon, maxNow - 1, maxNow}).Draw(t, "now")
		now = max(now, e.latest())
		if now > maxNow {
			t.Skip("a time that no book shows")
		}
		h, lease := holder{e.owner, e.number}, rapid.SampledFrom([]int64{1, 1000, maxLease}).Draw(t, "lease")
		r := request{owner: anOwner.Draw(t, "claimant"), fingerprint: e.fingerprint, lease: lease, ttl: rapid.SampledFrom([]int64{1, 1000, maxTTL}).Draw(t, "its TTL")}
		all := map[string]entry{"as it is": e}
		if e.state == numbered {
			all["enter"], _, _ = e.enter(r, now, e.number+1)
		} else {
			all["claim"], _, _ = e.claim(r, now, max(e.number+1, seed(now)))
			all["complete"], _, _ = e.complete(h, []byte("r"), now)
			all["extend"], _, _ = e.extend(h, lease, now)
			all["release"], _, _ = e.release(h, now)
			if before, after := e.at(now), all["extend"]; after.until < before.until {
				t.Errorf("extending %+v by %d ms at %d shortens it: %+v", before, lease, now, after)
			}
		}
		for name, next := range all {
			if next.state == absent {
				continue
			}
			back, err := decodeEntry(next.encode())
			if err != nil || !bytes.Equal(back.encode(), next.encode()) || next.kept() >= never || next.kept() < next.expires() {
				t.Errorf("%s of %+v at %d: %+v, kept until %d, %v", name, e, now, next, next.kept(), err)
			}
		}
	})
}
