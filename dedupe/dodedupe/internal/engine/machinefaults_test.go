package engine

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strconv"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"pgregory.net/rapid"
)

// known is the state that a rollback must restore.
type known struct {
	rows    map[string]faulty.Row
	notes   map[string][]byte
	alarm   int64
	fences  map[string]int64
	loose   map[string]bool
	holders map[string][]entry.Holder
	results map[claimed]string
	open    map[claimed]bool
}

func (m *machine) known() known {
	holders := map[string][]entry.Holder{}
	for key, h := range m.holders {
		holders[key] = slices.Clone(h)
	}
	return known{maps.Clone(m.backend.Rows), maps.Clone(m.backend.Notes), m.backend.Alarm, maps.Clone(m.fences), maps.Clone(m.loose), holders, maps.Clone(m.results), maps.Clone(m.open)}
}

// transaction runs a user's transaction with ledger calls. It commits or is
// rolled back, together with the alarm.
func (m *machine) transaction(t *rapid.T) {
	before := m.known()
	m.inside = true
	for range rapid.IntRange(1, 3).Draw(t, "calls") {
		key := someKey.Draw(t, "key")
		if m.newer[key] {
			continue
		}
		m.inTransaction(t, key)
	}
	m.inside = false
	if rapid.Bool().Draw(t, "commits") {
		return
	}
	m.backend.Rows, m.backend.Notes, m.backend.Alarm = before.rows, before.notes, before.alarm
	m.fences, m.loose, m.holders, m.results, m.open = before.fences, before.loose, before.holders, before.results, before.open
}

// inTransaction claims a key, or does its work at once.
func (m *machine) inTransaction(t *rapid.T, key string) {
	r := entry.Request{Owner: anOwner.Draw(t, "owner"), Lease: rapid.Int64Range(1, 20).Draw(t, "lease"), TTL: rapid.Int64Range(1, 60).Draw(t, "TTL")}
	e, now := m.stored(t, key)
	before := e.At(now)
	busy := before.State == entry.Done || before.State == entry.Held && now < before.Until || before.State == entry.Held && before.Fingerprint != ""
	if rapid.Bool().Draw(t, "claims") {
		a, err := m.engine.Claim(t.Context(), key, r)
		if err == nil && a.Outcome == dedupe.Acquired && (before.State != entry.Held || a.Entry.Number != before.Number) {
			m.acquired(t, key, &before, &a, now)
		}
		return
	}
	r.Owner = "once" // calls have random owners
	var given int64
	result, err := m.engine.Transactions().Once(t.Context(), key, r, func(fence int64) ([]byte, error) { given = fence; return []byte("once"), nil })
	switch {
	case busy == (given != 0):
		t.Errorf("work of %+v at %d: %v, replayed %v, %v", before, now, given != 0, result.Replayed, err)
	case given != 0:
		if given <= m.fences[key] && !m.loose[key] {
			t.Errorf("fence %d after %d", given, m.fences[key])
		}
		m.acquire(key, &entry.Entry{Owner: r.Owner, Number: given})
		delete(m.open, claimed{key, given})
		m.results[claimed{key, given}] = "once"
	}
}

// fault makes a storage call fail in a claim or a completion. After a definite
// error nothing was changed. After another error the storage shows the outcome.
func (m *machine) fault(t *rapid.T) {
	key := m.readable(t)
	n, kind := rapid.IntRange(0, 6).Draw(t, "the call that fails"), rapid.SampledFrom([]faulty.Fault{faulty.Fails, faulty.PerformsThenFails}).Draw(t, "how")
	// Wait corrects impossible times first, whatever the claim does.
	m.engine.Wait(t.Context(), key, "", 0)
	m.backend.Ops = nil
	m.backend.Plan = faulty.At{N: n, Kind: kind}.Plan()
	stored, now := m.stored(t, key)
	before, state := stored.At(now), m.backend.State()
	var err error
	completes := rapid.Bool().Draw(t, "completes") && len(m.holders[key]) > 0
	if completes {
		h := m.holders[key][len(m.holders[key])-1]
		err = m.engine.Complete(t.Context(), key, h, []byte("faulty"))
	} else {
		_, err = m.engine.Claim(t.Context(), key, entry.Request{Owner: "faulty", Lease: 10, TTL: 50})
	}
	m.backend.Plan = nil
	if err != nil && effect.Definite(err) && m.backend.State() != state {
		t.Errorf("%v is definite, but\n%s\nbecame\n%s", err, state, m.backend.State())
	}
	after, _ := m.stored(t, key)
	switch {
	case after.State == entry.Held && after.Number != stored.Number:
		m.acquired(t, key, &before, &entry.Answer{Outcome: dedupe.Acquired, Entry: after}, now)
	case after.State == entry.Done && stored.State == entry.Held:
		delete(m.open, claimed{key, after.Number})
		m.results[claimed{key, after.Number}] = string(after.Result)
	}
	for n := 0; ; n++ { // another call sets the alarm
		other := "other " + strconv.Itoa(n)
		if m.newer[other] {
			continue
		}
		if _, err := m.engine.Reserve(t.Context(), other, entry.Request{Owner: "other", TTL: 1}); err != nil {
			t.Error(err)
		}
		return
	}
}

// version switches to another version of the program. An older one can read
// only the records that it wrote itself. It must leave other records unchanged.
// Then the newer one runs again.
func (m *machine) version(t *rapid.T) {
	if len(m.newer) == 0 {
		for key, row := range m.backend.Rows {
			row.Record = slices.Clone(row.Record)
			row.Record[0] = entry.Version + 1
			m.backend.Rows[key], m.newer[key] = row, true
		}
	} else {
		for key := range m.newer {
			row, ok := m.backend.Rows[key]
			if ok {
				row.Record = slices.Clone(row.Record)
				row.Record[0] = entry.Version
				m.backend.Rows[key] = row
			}
			delete(m.newer, key)
		}
	}
	m.restart()
	for key := range m.newer {
		row := m.backend.Rows[key]
		_, err := m.engine.Claim(t.Context(), key, entry.Request{Owner: "older", Lease: 10, TTL: 50})
		if !errors.Is(err, codec.ErrVersion) || !effect.Definite(err) || !bytes.Equal(m.backend.Rows[key].Record, row.Record) {
			t.Errorf("a claim of a newer record: %v", err)
		}
	}
}

// alarmThatFails runs an alarm with a fault, and then runs it again.
func (m *machine) alarmThatFails(t *rapid.T) {
	for range rapid.IntRange(1, 8).Draw(t, "times") {
		n := rapid.IntRange(0, 6).Draw(t, "the call that fails")
		m.backend.Ops, m.backend.Alarm, m.maxNow = nil, 0, m.now
		m.backend.Plan = faulty.At{N: n, Kind: faulty.PerformsThenFails}.Plan()
		err := m.engine.Alarm(t.Context())
		m.backend.Plan = nil
		if err != nil && !errors.Is(err, faulty.ErrInjected) {
			t.Error(err)
		}
		if err != nil && m.backend.Alarm != 0 && m.backend.Alarm < m.now {
			t.Errorf("an alarm that failed runs again at once: at %d, it is %d", m.backend.Alarm, m.now)
		}
	}
	m.ring(t) // the platform repeats an alarm that failed
}

// end lets time pass. It expects that every lost holder is reported, and that
// nothing is left.
func (m *machine) end(t *rapid.T) {
	if len(m.newer) > 0 {
		m.version(t)
	}
	m.behaves = nil
	for n := 0; len(m.backend.Rows)+len(m.backend.Notes) > 0; n++ {
		if m.backend.Alarm == 0 || n > 500 {
			t.Fatalf("after %d alarms the next is at %d, at %d there is\n%s", n, m.backend.Alarm, m.now, m.backend.State())
		}
		m.now = max(m.now, m.backend.Alarm)
		m.backend.Alarm = 0
		if err := m.engine.Alarm(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for c := range m.open {
		if m.reported[c] == 0 {
			t.Errorf("the holder of key %s with fence %d was lost and not reported", c.key, c.fence)
		}
	}
	if m.backend.Alarm != 0 {
		t.Errorf("only an alarm is left")
	}
}
