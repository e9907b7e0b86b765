package reservation

import (
	"bytes"
	"fmt"
	"testing"

	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
)

// step makes a step on an object's key. do gets the record from before.
func step(prepare func(f *fixture), do func(f *fixture, seen []byte) (string, error)) func(t *testing.T) *faulty.Step {
	return func(t *testing.T) *faulty.Step {
		f := newFixture(t)
		prepare(f)
		seen := bytes.Clone(f.storage.Record)
		return &faulty.Step{
			Do:    func() (string, error) { return faulty.Answered(do(f, seen)) },
			Evict: f.evict,
			State: func() string { r, err := Decode(f.storage.Record); return fmt.Sprint(f.storage.OK, r, err) },
			IsArmed: func() bool {
				r, err := Decode(f.storage.Record)
				return err != nil || f.storage.Alarm != 0 && f.storage.Alarm <= r.Expires
			},
			Alarm: &f.storage.Alarm, IsEmpty: func() bool { return !f.storage.OK },
			Fence: func() int64 { r, _ := Decode(f.storage.Record); return int64(r.Owner[0]) },
			Log:   &f.storage.Log,
		}
	}
}

func inserts(by byte) func(f *fixture, _ []byte) (string, error) {
	return func(f *fixture, _ []byte) (string, error) {
		inserted, err := f.put(by, 1000)
		return fmt.Sprint(inserted), err
	}
}

func forgets(f *fixture, seen []byte) (string, error) { return "", f.key.Forget(f.Context(), seen) }

func looks(f *fixture, _ []byte) (string, error) {
	r, ok, err := f.key.Look()
	return fmt.Sprint(r, ok), err
}

func rings(f *fixture, _ []byte) (string, error) {
	f.storage.Alarm = 0
	return "", f.key.Alarm(f.Context())
}

// after makes a record, and lets time pass.
func after(ms int64) func(f *fixture) {
	return func(f *fixture) { f.wantPut(1, 1000, true); f.now += ms }
}

func TestFaultsInEveryStep(t *testing.T) {
	empty := func(*fixture) {}
	corrupt := func(f *fixture) { f.storage.Record, f.storage.OK = []byte{9}, true }
	faulty.TestSteps(t, map[string]func(t *testing.T) *faulty.Step{
		"insert":                         step(empty, inserts(1)),
		"insert after the TTL":           step(after(1000), inserts(2)),
		"insert again":                   step(after(10), inserts(1)),
		"insert that is a duplicate":     step(after(10), inserts(2)),
		"insert of an unreadable record": step(corrupt, inserts(2)),
		"look":                           step(after(10), looks),
		"look at nothing":                step(empty, looks),
		"forget":                         step(after(10), forgets),
		"forget after the TTL":           step(after(1000), forgets),
		"forget of an unreadable record": step(corrupt, forgets),
		"forget of nothing":              step(empty, forgets),
		"alarm":                          step(after(1000), rings),
		"alarm that is early":            step(after(999), rings),
		"alarm of nothing":               step(empty, rings),
	})
}
