package engine

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"pgregory.net/rapid"
)

// machine is an engine on a backend, with a record of its results. It checks
// what must hold for all callers, alarms, evictions, faults, programs of other
// versions, transactions that are rolled back, users' functions, and clocks
// that jump forward and back.
type machine struct {
	now     int64
	backend *faulty.Backend
	engine  *Engine
	inside  bool             // in a user's transaction
	fences  map[string]int64 // the largest fence of each key
	// Keys whose fences were issued before the object was emptied. Their next
	// fences come from the clock.
	loose   map[string]bool
	holders map[string][]entry.Holder // all holders of each key
	results map[claimed]string        // the results of completed claims
	looks   []looked
	// Claims that were neither ended by their holders nor taken over.
	open  map[claimed]bool
	newer map[string]bool // keys whose records are of a newer version
	// The highest time of the clock since the alarm was set.
	maxNow int64

	mu       sync.Mutex
	reported map[claimed]int
	behaves  func(key string) error // what the user's function does
}

// claimed identifies a claim. Fences are per key.
type claimed struct {
	key   string
	fence int64
}

// looked is what a Forget found. The Forget may take long.
type looked struct {
	key   string
	found entry.Found
}

func newMachine() *machine {
	m := &machine{
		now: noon, backend: faulty.NewBackend(), fences: map[string]int64{}, loose: map[string]bool{}, holders: map[string][]entry.Holder{}, results: map[claimed]string{},
		open: map[claimed]bool{}, newer: map[string]bool{}, reported: map[claimed]int{},
	}
	m.backend.Cleared = func() {
		for key := range m.fences {
			m.loose[key] = true
		}
	}
	m.restart()
	return m
}

// restart starts a new instance of the object.
func (m *machine) restart() {
	m.engine = New(Config{Backend: m.backend, Clock: func() int64 { return m.now }, Many: true, Notify: m.notify})
	m.engine.Enter = func(context.Context) (bool, func(), error) { return m.inside, func() {}, nil }
}

func (m *machine) notify(_ context.Context, key string, e *entry.Entry) error {
	m.mu.Lock()
	m.reported[claimed{key, e.Number}]++
	behaves := m.behaves
	m.mu.Unlock()
	if behaves == nil {
		return nil
	}
	return behaves(key)
}

func TestEngineKeepsItsInvariants(t *testing.T) {
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

// stored returns a key's entry and the present time, as the engine sees them.
func (m *machine) stored(t *rapid.T, key string) (e entry.Entry, now int64) {
	now = m.now
	if latest := m.engine.clock.latest; latest <= m.now+entry.ClockSlack {
		now = max(now, latest)
	}
	if row, ok := m.backend.Rows[key]; ok {
		var err error
		if e, err = entry.Decode(row.Record); err != nil {
			t.Fatalf("key %s: %v", key, err)
		}
	}
	if e.Ahead(m.now) {
		e = e.Rebased(m.now)
	}
	return e, max(now, e.Latest())
}

// readable draws a key whose record this program can read.
func (m *machine) readable(t *rapid.T) string {
	key := someKey.Draw(t, "key")
	if m.newer[key] {
		t.Skip("a newer program wrote the record")
	}
	return key
}

func (m *machine) claim(t *rapid.T) {
	key := m.readable(t)
	r := entry.Request{
		Owner: anOwner.Draw(t, "owner"), Fingerprint: aPrint.Draw(t, "fingerprint"),
		Lease: rapid.Int64Range(1, 20).Draw(t, "lease"), TTL: rapid.Int64Range(1, 60).Draw(t, "TTL"),
	}
	e, now := m.stored(t, key)
	before := e.At(now)
	a, err := m.engine.Claim(t.Context(), key, r)
	inUse := before.State == entry.Held || before.State == entry.Done
	leased := before.State == entry.Held && now < before.Until
	switch {
	case inUse && before.Fingerprint != r.Fingerprint:
		if !errors.Is(err, dedupe.ErrMismatch) {
			t.Errorf("%v, want ErrMismatch", err)
		}
	case err != nil:
		t.Error(err)
	case before.State == entry.Done:
		if want, known := m.results[claimed{key, before.Number}]; a.Outcome != dedupe.Replay || !known || string(a.Entry.Result) != want || a.Entry.Until != before.Until {
			t.Errorf("%v of %q at %d, want a replay of %q at %d", a.Outcome, a.Entry.Result, a.Entry.Until, want, before.Until)
		}
	case leased && before.Owner != r.Owner:
		if a.Outcome != dedupe.InProgress || a.RetryAfter != before.Until-now {
			t.Errorf("%v for %d ms of a lease for %d", a.Outcome, a.RetryAfter, before.Until-now)
		}
	case leased:
		if a.Outcome != dedupe.Acquired || a.Entry.Number != before.Number {
			t.Errorf("the same owner again: %v, fence %d, want %d", a.Outcome, a.Entry.Number, before.Number)
		}
	default:
		m.acquired(t, key, &before, &a, now)
	}
}

func (m *machine) acquired(t *rapid.T, key string, before *entry.Entry, a *entry.Answer, now int64) {
	e := &a.Entry
	if m.loose[key] && entry.FenceAt(now) <= m.fences[key] {
		m.fences[key], m.holders[key], m.looks = 0, nil, nil
	}
	switch {
	case a.Outcome != dedupe.Acquired || e.Number <= m.fences[key] || e.Number < entry.FenceAt(now):
		t.Errorf("%v at %d with fence %d after %d", a.Outcome, now, e.Number, m.fences[key])
	case before.State != entry.Absent && (e.FirstSeen != before.FirstSeen || e.TTL != before.TTL || e.Attempt != before.Attempt+1):
		t.Errorf("the window moved: %+v became %+v", before, e)
	case before.State == entry.Absent && (e.FirstSeen != now || e.Attempt != 1 || e.TakenOver):
		t.Errorf("a new window at %d: %+v", now, e)
	case e.TakenOver != (before.State == entry.Held):
		t.Errorf("taken over: %v, before: %+v", e.TakenOver, before)
	}
	m.acquire(key, e)
}

// acquire records a claim. An earlier open claim is then known to its
// successor.
func (m *machine) acquire(key string, e *entry.Entry) {
	for c := range m.open {
		if c.key == key {
			delete(m.open, c)
		}
	}
	delete(m.loose, key)
	m.open[claimed{key, e.Number}] = true
	m.fences[key] = e.Number
	m.holders[key] = append(m.holders[key], entry.Holder{Owner: e.Owner, Fence: e.Number})
}

// change lets one of the holders so far change its claim. It checks that only
// the present holder can.
func (m *machine) change(t *rapid.T, may func(e *entry.Entry, h entry.Holder) bool, change func(key string, h entry.Holder) error) (key string, h entry.Holder, before entry.Entry, changed bool) {
	key = m.readable(t)
	if len(m.holders[key]) == 0 {
		t.Skip("the key was never claimed")
	}
	h = m.holders[key][max(0, len(m.holders[key])-1-rapid.IntRange(0, 3).Draw(t, "holders ago"))]
	e, now := m.stored(t, key)
	before = e.At(now)
	err := change(key, h)
	changed = before.HeldBy(h) && may(&before, h)
	if changed && err != nil || !changed && !errors.Is(err, dedupe.ErrFenced) {
		t.Errorf("by %v of %+v: %v", h, before, err)
	}
	if after, _ := m.stored(t, key); !changed && !bytes.Equal(after.Encode(), e.Encode()) {
		t.Errorf("fenced, but %+v became %+v", before, after)
	}
	return key, h, before, changed
}

func (m *machine) complete(t *rapid.T) {
	result := someResult.Draw(t, "result")
	key, h, before, changed := m.change(t, func(e *entry.Entry, _ entry.Holder) bool { return e.State == entry.Held || e.State == entry.Done },
		func(key string, h entry.Holder) error { return m.engine.Complete(t.Context(), key, h, []byte(result)) })
	if !changed {
		return
	}
	delete(m.open, claimed{key, h.Fence})
	if before.State == entry.Held {
		m.results[claimed{key, h.Fence}] = result
	}
	e, now := m.stored(t, key)
	if e.State != entry.Done || string(e.Result) != m.results[claimed{key, h.Fence}] || e.Fingerprint != before.Fingerprint || e.FirstSeen != before.FirstSeen {
		t.Errorf("completed: %+v", e)
	}
	// A result is kept for a minimum time. If the window has ended, it is also
	// kept for the rest of the lease.
	want := before.FirstSeen + before.TTL
	if before.State == entry.Held {
		if now >= want {
			want = max(want, before.Until)
		}
		want = max(want, now+(before.TTL+9)/10)
	}
	if e.Expires() != want {
		t.Errorf("at %d: the window %+v became %+v, want it to end at %d", now, before, e, want)
	}
}

func (m *machine) extend(t *rapid.T) {
	lease := rapid.Int64Range(1, 20).Draw(t, "lease")
	key, _, before, changed := m.change(t, func(e *entry.Entry, _ entry.Holder) bool { return e.State == entry.Held },
		func(key string, h entry.Holder) error { return m.engine.Extend(t.Context(), key, h, lease) })
	if e, now := m.stored(t, key); changed && (e.Until != max(before.Until, now+lease) || e.FirstSeen != before.FirstSeen || e.TTL != before.TTL) {
		t.Errorf("extended by %d at %d: %+v became %+v", lease, now, before, e)
	}
}

func (m *machine) release(t *rapid.T) {
	key, _, before, changed := m.change(t, func(e *entry.Entry, _ entry.Holder) bool { return e.State == entry.Held || e.State == entry.Free },
		func(key string, h entry.Holder) error { return m.engine.Release(t.Context(), key, h) })
	if changed {
		delete(m.open, claimed{key, before.Number})
	}
	if e, _ := m.stored(t, key); changed && (e.State != entry.Free || e.Attempt != before.Attempt || e.FirstSeen != before.FirstSeen || e.TTL != before.TTL) {
		t.Errorf("released: %+v became %+v", before, e)
	}
}

func (m *machine) look(t *rapid.T) {
	key := m.readable(t)
	found, err := m.engine.Look(t.Context(), key)
	if err != nil {
		t.Error(err)
	}
	m.looks = append(m.looks, looked{key, found})
}

// drop runs the second half of a Forget, late or again.
func (m *machine) drop(t *rapid.T) {
	if len(m.looks) == 0 {
		t.Skip("no Forget is pending")
	}
	l := m.looks[max(0, len(m.looks)-1-rapid.IntRange(0, 5).Draw(t, "looks ago"))]
	if m.newer[l.key] {
		t.Skip("a newer program wrote the record")
	}
	before, _ := m.stored(t, l.key)
	if err := m.engine.Forget(t.Context(), l.key, l.found); err != nil {
		t.Error(err)
	}
	e, now := m.stored(t, l.key)
	seen := l.found.What == entry.Readable && before.State != entry.Absent && before.Number == l.found.Fence
	if after := e.At(now); seen && after.State != entry.Absent || !seen && !bytes.Equal(e.Encode(), before.Encode()) {
		t.Errorf("forgetting %+v: %+v became %+v", l, before, e)
	}
	if seen {
		delete(m.open, claimed{l.key, l.found.Fence})
	}
}

func (m *machine) alarm(t *rapid.T) {
	m.ring(t)
	for n := 0; m.backend.Alarm != 0 && m.backend.Alarm <= m.now; n++ {
		if n == 10 {
			t.Fatalf("the alarm runs again and again: %s", m.backend.State())
		}
		m.ring(t)
	}
	for key, row := range m.backend.Rows {
		if row.Due <= m.now && !m.newer[key] {
			t.Errorf("key %s ended at %d and still exists at %d", key, row.Due, m.now)
		}
	}
}

// ring delivers the alarm like the platform, which first removes it. A user's
// function may do anything.
func (m *machine) ring(t *rapid.T) {
	hurts := someKey.Draw(t, "the key with trouble")
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
	m.backend.Alarm, m.maxNow = 0, m.now
	err := m.engine.Alarm(t.Context())
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

// evict clears the memory of the engine.
func (m *machine) evict(*rapid.T) { m.restart() }

// clock lets time pass, stand still, or go back.
func (m *machine) clock(t *rapid.T) {
	m.now += rapid.Int64Range(-15, 25).Draw(t, "passes")
	m.maxNow = max(m.maxNow, m.now)
}

// jump makes the clock wrong or right again. A new instance may have the clock
// of another machine, or the same instance's clock jumps.
func (m *machine) jump(t *rapid.T) {
	const hour = 3_600_000
	m.now += rapid.SampledFrom([]int64{-40 * 24 * hour, -hour, -entry.ClockSlack - 1, -entry.ClockSlack / 2, -3, entry.ClockSlack / 2, entry.ClockSlack + 1, hour, 40 * 24 * hour}).Draw(t, "jumps")
	m.maxNow = max(m.maxNow, m.now)
	if rapid.Bool().Draw(t, "in a new instance") {
		m.restart()
	}
}

func (m *machine) check(t *rapid.T) {
	for key, row := range m.backend.Rows {
		if m.newer[key] {
			continue
		}
		e, err := entry.Decode(row.Record)
		if err != nil || !bytes.Equal(e.Encode(), row.Record) {
			t.Errorf("key %s: %x, %v", key, row.Record, err)
		}
		if e.Kept() < e.Expires() || row.Due != e.Due() && !row.Notify || e.Expires() <= e.FirstSeen {
			t.Errorf("key %s: expires at %d, kept until %d, stored until %d: %+v", key, e.Expires(), e.Kept(), row.Due, e)
		}
		if over := e.At(e.Expires()); over.State != entry.Absent && e.NotifyAt == 0 {
			t.Errorf("key %s still counts after it has expired: %+v", key, e)
		}
		if last := e.At(e.Expires() - 1); last.State != e.State {
			t.Errorf("key %s does not count 1 ms before it expires: %+v", key, e)
		}
		m.oneHolder(t, key, e)
	}
	for c := range m.open {
		if _, ok := m.backend.Rows[c.key]; !ok && m.reported[c] == 0 {
			t.Errorf("the holder of key %s with fence %d was lost and not reported", c.key, c.fence)
		}
	}
	if !m.backend.IsArmed(max(m.maxNow, m.now) + firstBackOff) {
		t.Errorf("alarm at %d: %s", m.backend.Alarm, m.backend.State())
	}
}

// oneHolder checks that at most one of a key's holders so far can extend.
func (m *machine) oneHolder(t *rapid.T, key string, e entry.Entry) {
	can := 0
	for _, h := range m.holders[key] {
		if _, _, err := e.Extend(h, 1, e.FirstSeen); err == nil {
			can++
		}
	}
	if e.State == entry.Held && can != 1 || can > 1 {
		t.Errorf("key %s has %d holders: %+v", key, can, e)
	}
}
