//go:build !js

package dodedupe

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strconv"

	"pgregory.net/rapid"

	"flow.internal/capdo/dedupe"
)

// known is what is to be as it was, once what came after is rolled back.
type known struct {
	rows    map[string]fakeRow
	notes   map[string][]byte
	alarm   int64
	fences  map[string]int64
	loose   map[string]bool
	holders map[string][]holder
	results map[claimed]string
	open    map[claimed]bool
}

func (m *machine) known() known {
	holders := map[string][]holder{}
	for key, h := range m.holders {
		holders[key] = slices.Clone(h)
	}
	return known{maps.Clone(m.table.rows), maps.Clone(m.table.notes), m.table.alarm, maps.Clone(m.fences), maps.Clone(m.loose), holders, maps.Clone(m.results), maps.Clone(m.open)}
}

// transaction is a user's that works with the ledger, and commits, or is rolled
// back, with the alarm.
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
	m.table.rows, m.table.notes, m.table.alarm = before.rows, before.notes, before.alarm
	m.fences, m.loose, m.holders, m.results, m.open = before.fences, before.loose, before.holders, before.results, before.open
}

// inTransaction claims a key, or does its work at once.
func (m *machine) inTransaction(t *rapid.T, key string) {
	r := request{owner: anOwner.Draw(t, "owner"), lease: rapid.Int64Range(1, 20).Draw(t, "lease"), ttl: rapid.Int64Range(1, 60).Draw(t, "TTL")}
	e, now := m.stored(t, key)
	before := e.at(now)
	busy := before.state == done || before.state == held && now < before.until || before.state == held && before.fingerprint != ""
	if rapid.Bool().Draw(t, "claims") {
		a, err := m.book.claim(t.Context(), key, r)
		if err == nil && a.outcome == dedupe.Acquired && (before.state != held || a.entry.number != before.number) {
			m.acquired(t, key, &before, &a, now)
		}
		return
	}
	r.owner = "once" // as random as those of calls are
	var given int64
	_, replayed, _, err := m.book.once(t.Context(), key, r, func(fence int64) ([]byte, error) { given = fence; return []byte("once"), nil })
	switch {
	case busy == (given != 0):
		t.Errorf("work of %+v at %d: %v, replayed %v, %v", before, now, given != 0, replayed, err)
	case given != 0:
		if given <= m.fences[key] && !m.loose[key] {
			t.Errorf("fence %d after %d", given, m.fences[key])
		}
		m.acquire(key, &entry{owner: r.owner, number: given})
		delete(m.open, claimed{key, given})
		m.results[claimed{key, given}] = "once"
	}
}

// fault has a call of storage fail in a claim or a completion. A definite error
// changed nothing; else what is stored says what became of it.
func (m *machine) fault(t *rapid.T) {
	key := m.readable(t)
	n, kind := rapid.IntRange(0, 6).Draw(t, "the call that fails"), rapid.SampledFrom([]fault{fails, performsThenFails}).Draw(t, "how")
	m.book.wait(t.Context(), key, "", 0) // it corrects times that cannot be, whatever comes of the claim
	m.table.ops = nil
	m.table.fault = func(i int, _ string) fault {
		if i == n {
			return kind
		}
		return fine
	}
	stored, now := m.stored(t, key)
	before, state := stored.at(now), m.table.state()
	var err error
	completes := rapid.Bool().Draw(t, "completes") && len(m.holders[key]) > 0
	if completes {
		h := m.holders[key][len(m.holders[key])-1]
		err = m.book.complete(t.Context(), key, h, []byte("faulty"))
	} else {
		_, err = m.book.claim(t.Context(), key, request{owner: "faulty", lease: 10, ttl: 50})
	}
	m.table.fault = nil
	if err != nil && definite(err) && m.table.state() != state {
		t.Errorf("%v is definite, and\n%s\nbecame\n%s", err, state, m.table.state())
	}
	after, _ := m.stored(t, key)
	switch {
	case after.state == held && after.number != stored.number:
		m.acquired(t, key, &before, &answer{outcome: dedupe.Acquired, entry: after}, now)
	case after.state == done && stored.state == held:
		delete(m.open, claimed{key, after.number})
		m.results[claimed{key, after.number}] = string(after.result)
	}
	for n := 0; ; n++ { // somebody else sees to the alarm
		other := "other " + strconv.Itoa(n)
		if m.newer[other] {
			continue
		}
		if _, err := m.book.reserve(t.Context(), other, request{owner: "other", ttl: 1}); err != nil {
			t.Error(err)
		}
		return
	}
}

// version has another version of the program run: an older one, which knows no
// record that is stored but for those that it writes itself, or the newer one
// again. What it does not know it leaves as it is.
func (m *machine) version(t *rapid.T) {
	if len(m.newer) == 0 {
		for key, row := range m.table.rows {
			row.record = slices.Clone(row.record)
			row.record[0] = entryVersion + 1
			m.table.rows[key], m.newer[key] = row, true
		}
	} else {
		for key := range m.newer {
			row, ok := m.table.rows[key]
			if ok {
				row.record = slices.Clone(row.record)
				row.record[0] = entryVersion
				m.table.rows[key] = row
			}
			delete(m.newer, key)
		}
	}
	m.restart()
	for key := range m.newer {
		row := m.table.rows[key]
		_, err := m.book.claim(t.Context(), key, request{owner: "older", lease: 10, ttl: 50})
		if !errors.Is(err, ErrVersion) || !definite(err) || !bytes.Equal(m.table.rows[key].record, row.record) {
			t.Errorf("a claim of a newer record: %v", err)
		}
	}
}

// alarmThatFails meets a fault, and rings again.
func (m *machine) alarmThatFails(t *rapid.T) {
	for range rapid.IntRange(1, 8).Draw(t, "times") {
		n := rapid.IntRange(0, 6).Draw(t, "the call that fails")
		m.table.ops, m.table.alarm, m.soon = nil, 0, m.now
		m.table.fault = func(i int, _ string) fault {
			if i == n {
				return performsThenFails
			}
			return fine
		}
		err := m.book.alarm(t.Context())
		m.table.fault = nil
		if err != nil && !errors.Is(err, errInjected) {
			t.Error(err)
		}
		if err != nil && m.table.alarm != 0 && m.table.alarm < m.now {
			t.Errorf("an alarm that failed rings again at once: at %d, it is %d", m.table.alarm, m.now)
		}
	}
	m.ring(t) // the platform delivers an alarm again that failed
}

// end lets time pass, and expects that every holder who died is told of, and that nothing is left.
func (m *machine) end(t *rapid.T) {
	if len(m.newer) > 0 {
		m.version(t)
	}
	m.behaves = nil
	for n := 0; len(m.table.rows)+len(m.table.notes) > 0; n++ {
		if m.table.alarm == 0 || n > 500 {
			t.Fatalf("after %d alarms the next is at %d, at %d there is\n%s", n, m.table.alarm, m.now, m.table.state())
		}
		m.now = max(m.now, m.table.alarm)
		m.table.alarm = 0
		if err := m.book.alarm(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for c := range m.open {
		if m.told[c] == 0 {
			t.Errorf("the holder of key %s with fence %d died, and nobody was told", c.key, c.fence)
		}
	}
	if m.table.alarm != 0 {
		t.Errorf("nothing is left but an alarm")
	}
}
