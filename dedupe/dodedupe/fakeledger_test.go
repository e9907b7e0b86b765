//go:build !js

package dodedupe

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/durable"
)

// fakeRow is a record in memory.
type fakeRow struct {
	record  []byte
	watched bool
	due     int64
}

// fakeTable is a table in memory, which can be told to fail.
type fakeTable struct {
	rows  map[string]fakeRow
	notes map[string][]byte
	alarm int64 // 0: none
	ops   []string
	// fault, if set, decides about the n-th operation, counted from 0.
	fault func(n int, op string) fault
	// armed, if set, is told of alarms.
	armed func(at int64)
	// cleared, if set, is told that everything was deleted.
	cleared func()
}

func newFakeTable() *fakeTable {
	return &fakeTable{rows: map[string]fakeRow{}, notes: map[string][]byte{}}
}

func (f *fakeTable) do(op string, perform func()) error {
	n := len(f.ops)
	f.ops = append(f.ops, op)
	if f.fault == nil {
		return fine.do(perform)
	}
	return f.fault(n, op).do(perform)
}

func (f *fakeTable) get(_ context.Context, key string) (record []byte, ok bool, err error) {
	err = f.do("get", func() {})
	if err != nil {
		return nil, false, err
	}
	row, ok := f.rows[key]
	return slices.Clone(row.record), ok, nil
}

func (f *fakeTable) put(_ context.Context, key string, e, before *entry) error {
	if row, ok := f.rows[key]; ok != (before.state != absent) || ok && row.due != before.due() && !row.watched { // one that is watched may have been put off
		return errors.New("the record that is replaced is another one")
	}
	record := e.encode()
	return f.do("put", func() { f.rows[key] = fakeRow{record, e.watch != 0, e.due()} })
}

func (f *fakeTable) remove(_ context.Context, key string) error {
	return f.do("remove", func() { delete(f.rows, key) })
}

func (f *fakeTable) sweep(ctx context.Context, now int64, limit int, keep func(int64) error) error {
	return f.transact(ctx, func() error {
		fence, due := int64(0), f.due(false, now, limit)
		for _, key := range due {
			fence = max(fence, givenFence(f.rows[key].record))
		}
		if err := keep(fence); err != nil {
			return err
		}
		return f.do("sweep", func() {
			for _, key := range due {
				delete(f.rows, key)
			}
		})
	})
}

func (f *fakeTable) watched(_ context.Context, now int64, limit int) (due []sighting, err error) {
	err = f.do("watched", func() {
		for _, key := range f.due(true, now, limit) {
			row := f.rows[key]
			e, err := decodeEntry(row.record)
			if err == nil {
				due = append(due, sighting{key, e})
				continue
			}
			row.watched, row.due = putOff(err, now)
			f.rows[key] = row
		}
	})
	return due, err
}

// due returns the keys that are due, the oldest first.
func (f *fakeTable) due(watched bool, now int64, limit int) (keys []string) {
	for key, row := range f.rows {
		if row.watched == watched && row.due <= now {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(f.rows[a].due, f.rows[b].due), cmp.Compare(a, b))
	})
	return keys[:min(limit, len(keys))]
}

func (f *fakeTable) earliest(context.Context, int64) (due int64, some bool, err error) {
	if err := f.do("earliest", func() {}); err != nil {
		return never, false, err
	}
	return f.earliestOf()
}

func (f *fakeTable) earliestOf() (due int64, some bool, err error) {
	due = never
	for _, row := range f.rows {
		due = min(due, row.due)
	}
	return due, len(f.rows) > 0, nil
}

func (f *fakeTable) transact(_ context.Context, fn func() error) error {
	before := maps.Clone(f.rows)
	err := fn()
	if err != nil {
		f.rows = before
	}
	return err
}

func (f *fakeTable) setAlarm(_ context.Context, at int64) error {
	return f.do("setAlarm", func() {
		f.alarm = at
		if f.armed != nil {
			f.armed(at)
		}
	})
}

func (f *fakeTable) alarmAt(context.Context) (at int64, err error) {
	err = f.do("alarmAt", func() { at = f.alarm })
	return at, err
}

func (f *fakeTable) note(_ context.Context, name string, value []byte) error {
	return f.do("note", func() { f.notes[name] = slices.Clone(value) })
}

func (f *fakeTable) noted(_ context.Context, name string) (value []byte, err error) {
	err = f.do("noted", func() { value = slices.Clone(f.notes[name]) })
	return value, err
}

func (f *fakeTable) clear(context.Context) error {
	return f.do("clear", func() {
		f.rows, f.notes, f.alarm = map[string]fakeRow{}, map[string][]byte{}, 0
		if f.cleared != nil {
			f.cleared()
		}
	})
}

// fakeLedgerObjects is a namespace of ledger objects over fake tables, and a network in front that can be told to fail.
type fakeLedgerObjects struct {
	// clock, if set, is the objects', and alarms do not ring by themselves.
	clock func() int64
	// network, if set, decides about the n-th message, counted from 0, and returns the error that the caller gets.
	network func(n int, method string) (fault, error)

	mu      sync.Mutex
	sent    []string
	objects map[string]*ledgerObject
}

func (f *fakeLedgerObjects) object(name string) *ledgerObject {
	f.mu.Lock()
	defer f.mu.Unlock()
	if o := f.objects[name]; o != nil {
		return o
	}
	if f.objects == nil {
		f.objects = map[string]*ledgerObject{}
	}
	one, many := newFakeTable(), newFakeTable()
	o := &ledgerObject{one: book{table: one, clock: unixMilli}, many: book{table: many, clock: unixMilli, many: true}}
	f.objects[name] = o
	if f.clock != nil {
		o.one.clock, o.many.clock = f.clock, f.clock
		return o
	}
	var timer *time.Timer
	ring := func(at int64) { // alarms ring
		if timer != nil {
			timer.Stop()
		}
		timer = time.AfterFunc(time.Until(time.UnixMilli(at)), func() { o.Alarm(context.Background(), durable.AlarmInfo{}) })
	}
	one.armed, many.armed = ring, ring
	return o
}

func (f *fakeLedgerObjects) call(ctx context.Context, name, method string, msg []byte) ([]byte, error) {
	f.mu.Lock()
	n := len(f.sent)
	f.sent = append(f.sent, method)
	f.mu.Unlock()
	what, lostErr := fine, lost()
	if f.network != nil {
		what, lostErr = f.network(n, method)
	}
	var out []byte
	var thrown error
	failed := what.do(func() { out, thrown = f.object(name).deliver(ctx, method, msg) })
	switch {
	case failed != nil:
		return nil, lostErr
	case thrown != nil:
		return nil, &chain{[]error{durable.ErrRemote, &durable.Error{Name: "Error", Message: thrown.Error(), Props: map[string]any{"remote": true}}}}
	}
	return out, nil
}

func (o *ledgerObject) deliver(ctx context.Context, method string, msg []byte) ([]byte, error) {
	return o.call(ctx, "", method, msg)
}

func fakeLedger(t *testing.T, f *fakeLedgerObjects, m Mapping) *Ledger {
	t.Helper()
	l, err := newLedger(f.call, &LedgerOptions{Mapping: m})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLedgerPerKey(t *testing.T) {
	dedupetest.TestLedger(t, func(t *testing.T) dedupe.Ledger { return fakeLedger(t, &fakeLedgerObjects{}, PerKey()) })
}

func TestLedgerInBuckets(t *testing.T) {
	dedupetest.TestLedger(t, func(t *testing.T) dedupe.Ledger { return fakeLedger(t, &fakeLedgerObjects{}, Buckets(3)) })
}

func TestSequencer(t *testing.T) {
	dedupetest.TestSequencer(t, func(t *testing.T) dedupe.Sequencer { return newSequencer((&fakeLedgerObjects{}).call, nil) })
}

// lossy delivers each message in vain the first time: by turns the message is lost, or its answer.
func (f *fakeLedgerObjects) lossy() caller {
	var mu sync.Mutex
	sent := map[string]bool{}
	return func(ctx context.Context, object, method string, msg []byte) ([]byte, error) {
		id := method + object + string(msg)
		mu.Lock()
		first, turn := !sent[id], len(sent)%2
		sent[id] = true
		mu.Unlock()
		if !first {
			return f.call(ctx, object, method, msg)
		}
		if turn == 0 {
			f.call(ctx, object, method, msg)
		}
		return nil, lost()
	}
}

func TestLedgerOverANetworkThatLosesEveryMessageOnce(t *testing.T) {
	dedupetest.TestLedger(t, func(t *testing.T) dedupe.Ledger {
		l := fakeLedger(t, &fakeLedgerObjects{}, Buckets(2))
		l.call = (&fakeLedgerObjects{}).lossy()
		return l
	})
}

func TestSequencerOverANetworkThatLosesEveryMessageOnce(t *testing.T) {
	dedupetest.TestSequencer(t, func(t *testing.T) dedupe.Sequencer { return newSequencer((&fakeLedgerObjects{}).lossy(), nil) })
}

func TestLedgerCallThatStaysUnknownSaysSo(t *testing.T) {
	f := &fakeLedgerObjects{network: func(int, string) (fault, error) { return performsThenFails, lost() }}
	l := fakeLedger(t, f, PerKey())
	o := dedupe.ClaimOptions{Lease: time.Minute}
	claim, err := l.Claim(t.Context(), []byte("k"), o)
	wantUnknown(t, err, true, durable.ErrDisconnected)
	f.network = nil
	o.Owner = claim.Owner
	if claim, err = l.Claim(t.Context(), []byte("k"), o); claim.Outcome != dedupe.Acquired || claim.Attempt != 1 || err != nil {
		t.Errorf("the repetition by the same owner: %+v, %v", claim, err)
	}
	f.network = func(int, string) (fault, error) { return performsThenFails, lost() }
	wantUnknown(t, l.Complete(t.Context(), claim, []byte("r")), true, durable.ErrDisconnected)
	f.network = nil
	if err := l.Complete(t.Context(), claim, []byte("r")); err != nil {
		t.Error(err)
	}
	if n := len(f.sent); n != 6 {
		t.Errorf("%d messages: %v", n, f.sent)
	}
}
