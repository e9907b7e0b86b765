//go:build !js

package dodedupe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"flow.internal/capdo/dedupe/dodedupe/internal/reservation"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
	"flow.internal/capdo/durable"
)

func open(t *testing.T, f *fakeObjects, opts *StoreOptions) *Store {
	t.Helper()
	s, err := newStore(f.call, opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newConformant returns a store on objects with alarms.
func newConformant(t *testing.T) dedupe.Store {
	f := &fakeObjects{}
	f.prepare = func(s *faulty.Storage) {
		var timer *time.Timer
		s.Armed = func(at int64) {
			if timer != nil {
				timer.Stop()
			}
			timer = time.AfterFunc(time.Until(time.UnixMilli(at)), func() {
				for _, o := range f.all() {
					if o.key.Storage == reservation.Storage(s) {
						o.key.Alarm(context.Background())
					}
				}
			})
		}
	}
	return open(t, f, nil)
}

func (f *fakeObjects) all() (all []*storeObject) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, o := range f.objects {
		all = append(all, o)
	}
	return all
}

func TestStore(t *testing.T) { dedupetest.TestStore(t, newConformant) }

func TestHammer(t *testing.T) { dedupetest.Hammer(t, newConformant) }

func TestName(t *testing.T) {
	if got := open(t, &fakeObjects{}, nil).Name(); got != "dedupe.durable_objects" {
		t.Errorf("Name() = %q", got)
	}
}

// Known mistake: scope a:x aliases scope a with key x.
func TestScopesAreApart(t *testing.T) {
	f := &fakeObjects{}
	for _, c := range []struct{ scope, key string }{
		{"", "k"}, {"a", "k"}, {"a:x", "k"}, {"a", "x:k"}, {"a:", "x:k"}, {"a:x:", "k"}, {"YQ", "k"}, {"\xff", "k"}, {"\ufffd", "k"}, {"k", "k"}, {"a\x00", "k"},
	} {
		s := open(t, f, &StoreOptions{Scope: c.scope})
		for _, want := range []bool{true, false} {
			if got, err := s.PutIfAbsent(t.Context(), []byte(c.key), time.Hour); got != want || err != nil {
				t.Errorf("scope %q, key %q: %v, %v", c.scope, c.key, got, err)
			}
		}
	}
}

// Known mistakes: a sub-second TTL becomes 24 h; ttl*1000 overflows.
func TestTTLArrivesInMilliseconds(t *testing.T) {
	for _, c := range []struct {
		storeDefault, ttl time.Duration
		want              int64
	}{
		{0, 300 * time.Millisecond, 300}, {0, 1, 1}, {0, 1500 * time.Microsecond, 2}, {0, 0, 86_400_000}, {time.Minute, 0, 60_000},
		{time.Microsecond, 0, 1}, {time.Minute, time.Second, 1000}, {0, dedupe.MaxTTL, codec.MaxTTL}, {0, 9_223_372 * time.Second, 9_223_372_000},
	} {
		f := &fakeObjects{clock: func() int64 { return faulty.Noon }}
		s := open(t, f, &StoreOptions{DefaultTTL: c.storeDefault})
		if inserted, err := s.PutIfAbsent(t.Context(), []byte("k"), c.ttl); !inserted || err != nil {
			t.Errorf("TTL %v: %v, %v", c.ttl, inserted, err)
		}
		r, err := reservation.Decode(f.storage("", "k").Record)
		if err != nil || r.Expires-r.Claimed != c.want || f.storage("", "k").Alarm != faulty.Noon+c.want {
			t.Errorf("TTL %v with default %v: record %+v, alarm %d, %v", c.ttl, c.storeDefault, r, f.storage("", "k").Alarm, err)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, ttl := range []time.Duration{-1, dedupe.MaxTTL + 1} {
		if s, err := newStore(nil, &StoreOptions{DefaultTTL: ttl}); s != nil || !errors.Is(err, dedupe.ErrInvalidTTL) {
			t.Errorf("default TTL %v: %v", ttl, err)
		}
	}
}

func TestInvalidInputIsNotSent(t *testing.T) {
	f := &fakeObjects{}
	s := open(t, f, nil)
	ended, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("cause")
	cancel(cause)
	_, noKey := s.PutIfAbsent(t.Context(), nil, 0)
	_, longKey := s.PutIfAbsent(t.Context(), make([]byte, 2049), 0)
	_, ttl := s.PutIfAbsent(t.Context(), []byte("k"), -1)
	_, late := s.PutIfAbsent(ended, []byte("k"), 0)
	for _, c := range []struct{ err, want error }{
		{noKey, dedupe.ErrKeyEmpty}, {longKey, dedupe.ErrKeyTooLarge}, {ttl, dedupe.ErrInvalidTTL}, {late, cause},
		{s.Forget(t.Context(), nil), dedupe.ErrKeyEmpty}, {s.Forget(ended, []byte("k")), cause},
	} {
		var e *dedupe.Error
		if !errors.As(c.err, &e) || e.Kind != dedupe.Other || e.Retryable || !errors.Is(c.err, c.want) || errors.Is(c.err, dedupe.ErrUnknownOutcome) {
			t.Errorf("%v, want %v", c.err, c.want)
		}
	}
	if f.sent != 0 {
		t.Errorf("%d messages were sent", f.sent)
	}
}

// faults returns a network in which the n-th message has the n-th fault, as a
// lost connection.
func faults(list ...faulty.Fault) func(int, string) (faulty.Fault, error) {
	return func(n int, _ string) (faulty.Fault, error) {
		if n < len(list) {
			return list[n], lost()
		}
		return faulty.Fine, nil
	}
}

// Known mistake: a lost reply turns the winner into a duplicate.
func TestWinnerWhoseReplyIsLostWins(t *testing.T) {
	for name, plan := range map[string][]faulty.Fault{"reply": {faulty.PerformsThenFails}, "request": {faulty.Fails}} {
		f := &fakeObjects{network: faults(plan...)}
		s := open(t, f, nil)
		if inserted, err := s.PutIfAbsent(t.Context(), []byte("k"), 0); !inserted || err != nil || f.sent != 2 {
			t.Errorf("lost %s: %v, %v after %d messages", name, inserted, err, f.sent)
		}
		if inserted, err := s.PutIfAbsent(t.Context(), []byte("k"), 0); inserted || err != nil {
			t.Errorf("after a lost %s: %v, %v", name, inserted, err)
		}
	}
}

func TestDuplicateWhoseReplyIsLostStaysOne(t *testing.T) {
	f := &fakeObjects{network: faults(faulty.Fine, faulty.PerformsThenFails)}
	s := open(t, f, nil)
	for _, want := range []bool{true, false} {
		if inserted, err := s.PutIfAbsent(t.Context(), []byte("k"), 0); inserted != want || err != nil {
			t.Errorf("%v, %v; want %v", inserted, err, want)
		}
	}
}

func TestOutcomeIsUnknownAfterTwoLostReplies(t *testing.T) {
	f := &fakeObjects{network: faults(faulty.PerformsThenFails, faulty.PerformsThenFails)}
	s := open(t, f, nil)
	_, err := s.PutIfAbsent(t.Context(), []byte("k"), 0)
	wantUnknown(t, err, false, durable.ErrDisconnected)
	if f.sent != 2 {
		t.Errorf("%d messages", f.sent)
	}
	if errors.Is(err, dedupe.ErrOverloaded) {
		t.Errorf("%v matches ErrOverloaded", err)
	}
}

func wantUnknown(t *testing.T, err error, retryable bool, causes ...error) {
	t.Helper()
	var e *dedupe.Error
	if !errors.Is(err, dedupe.ErrUnknownOutcome) || !errors.As(err, &e) || e.Kind != dedupe.Other || e.Retryable != retryable {
		t.Fatalf("error %v, want ErrUnknownOutcome with Retryable = %v", err, retryable)
	}
	for _, cause := range causes {
		if !errors.Is(err, cause) {
			t.Errorf("%v does not match %v", err, cause)
		}
	}
}

// outcome is what a caller of PutIfAbsent learns.
func outcome(inserted bool, err error) string {
	switch {
	case errors.Is(err, dedupe.ErrUnknownOutcome):
		return "unknown"
	case err != nil:
		return "not inserted"
	case inserted:
		return "inserted"
	}
	return "duplicate"
}

// Known mistakes: the record is written but its alarm is not, so a claim
// remains that no caller knows of; a lock is left behind when the insert fails.
// Here one caller meets every combination of network faults in both attempts
// and storage faults in one operation. Then another caller comes without
// faults.
func TestOneKnownWinnerDespiteFaults(t *testing.T) {
	kinds := []faulty.Fault{faulty.Fine, faulty.Fails, faulty.PerformsThenFails}
	tally := map[string]int{}
	for _, first := range kinds {
		for _, second := range kinds {
			for op := range 7 {
				for _, kind := range kinds {
					got := meetFaults(t, faults(first, second), func(n int, _ string) faulty.Fault {
						if n == op {
							return kind
						}
						return faulty.Fine
					})
					tally[got]++
				}
			}
		}
	}
	for _, got := range []string{"inserted", "unknown", "not inserted"} {
		if tally[got] == 0 {
			t.Errorf("no plan ends with %q: %v", got, tally)
		}
	}
}

// A failing storage fails for a while: no operation after the n-th works until
// the caller has given up.
func TestStorageThatStaysBrokenGivesNoTwoWinners(t *testing.T) {
	for from := range 6 {
		for _, kind := range []faulty.Fault{faulty.Fails, faulty.PerformsThenFails} {
			meetFaults(t, nil, func(n int, _ string) faulty.Fault {
				if n >= from {
					return kind
				}
				return faulty.Fine
			})
		}
	}
}

func meetFaults(t *testing.T, network func(int, string) (faulty.Fault, error), storage func(int, string) faulty.Fault) (first string) {
	t.Helper()
	f := &fakeObjects{network: network, prepare: func(s *faulty.Storage) { s.Plan = storage }}
	s := open(t, f, nil)
	inserted, err := s.PutIfAbsent(t.Context(), []byte("k"), time.Hour)
	first = outcome(inserted, err)

	disk := f.storage("", "k")
	trail := fmt.Sprint(first, " (", err, ") after ", disk.Ops)
	f.network, disk.Plan = nil, nil
	held := disk.OK
	second, err := s.PutIfAbsent(t.Context(), []byte("k"), time.Hour)
	switch {
	case err != nil:
		t.Errorf("%s: the next caller got %v", trail, err)
	case first == "duplicate":
		t.Errorf("%s: the key was taken without another caller", trail)
	case first == "inserted" && (second || !held || disk.Alarm == 0):
		t.Errorf("%s: record %v, alarm %d, next caller inserted = %v", trail, held, disk.Alarm, second)
	case first == "not inserted" && (held || !second):
		t.Errorf("%s: a claim that no caller knows of", trail)
	case second == held:
		t.Errorf("%s: record %v, next caller inserted = %v", trail, held, second)
	}
	return first
}

// TestHammerWithFaults: many callers use few keys, and network and storage fail
// at random. No key has two winners. If a key has no winner, a caller knows
// that it may be the winner.
func TestHammerWithFaults(t *testing.T) {
	const callers, keys = 16, 40
	chance := func() faulty.Fault {
		switch rand.IntN(6) {
		case 0:
			return faulty.Fails
		case 1:
			return faulty.PerformsThenFails
		}
		return faulty.Fine
	}
	f := &fakeObjects{
		network: func(int, string) (faulty.Fault, error) { return chance(), lost() },
		prepare: func(s *faulty.Storage) { s.Plan = func(int, string) faulty.Fault { return chance() } },
		before:  func(int) { runtime.Gosched() },
	}
	s := open(t, f, nil)
	var mu sync.Mutex
	tally := make([]map[string]int, keys)
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for key := range keys {
				got := outcome(s.PutIfAbsent(t.Context(), fmt.Append(nil, key), time.Hour))
				mu.Lock()
				if tally[key] == nil {
					tally[key] = map[string]int{}
				}
				tally[key][got]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for key, n := range tally {
		if n["inserted"] > 1 || n["inserted"] == 0 && n["duplicate"] > 0 && n["unknown"] == 0 {
			t.Errorf("key %d: %v", key, n)
		}
	}
}

// replies returns a network that answers the n-th message with the n-th error
// and does not deliver it.
func replies(errs ...error) func(int, string) (faulty.Fault, error) {
	return func(n int, _ string) (faulty.Fault, error) {
		if n < len(errs) && errs[n] != nil {
			return faulty.Fails, errs[n]
		}
		return faulty.Fine, nil
	}
}

func TestOverloadIsDefiniteAndNotRepeated(t *testing.T) {
	overload := effect.Chain(durable.ErrOverloaded, &durable.Error{Message: "Durable Object is overloaded.", Props: map[string]any{"overloaded": true}})
	f := &fakeObjects{network: replies(overload, overload)}
	s := open(t, f, nil)
	_, put := s.PutIfAbsent(t.Context(), []byte("k"), 0)
	for _, err := range []error{put, s.Forget(t.Context(), []byte("k"))} {
		var e *dedupe.Error
		if !errors.As(err, &e) || !e.Retryable || !errors.Is(err, dedupe.ErrOverloaded) || !errors.Is(err, durable.ErrOverloaded) ||
			errors.Is(err, dedupe.ErrUnknownOutcome) {
			t.Errorf("%v", err)
		}
	}
	if f.sent != 2 {
		t.Errorf("%d messages", f.sent)
	}
}

// An object that is reset because of its memory use also reports an overload,
// but it may have run the call.
func TestOverloadThatResetsTheObjectIsUnknown(t *testing.T) {
	reset := effect.Chain(durable.ErrOverloaded, &durable.Error{Message: "exceeded its memory limit", Props: map[string]any{"overloaded": true, "durableObjectReset": true}})
	f := &fakeObjects{network: func(n int, _ string) (faulty.Fault, error) {
		if n == 0 {
			return faulty.PerformsThenFails, reset
		}
		return faulty.Fine, nil
	}}
	s := open(t, f, nil)
	if inserted, err := s.PutIfAbsent(t.Context(), []byte("k"), 0); !inserted || err != nil {
		t.Errorf("%v, %v", inserted, err)
	}
}

// Whatever the result of the second attempt, the first may have had an effect.
func TestUnknownOutcomeStaysUnknown(t *testing.T) {
	for _, second := range []error{durable.ErrOverloaded, effect.None(ErrCorrupt), effect.None(faulty.ErrInjected), durable.ErrLimit} {
		f := &fakeObjects{network: func(n int, _ string) (faulty.Fault, error) {
			return []faulty.Fault{faulty.PerformsThenFails, faulty.Fails}[n], []error{lost(), second}[n]
		}}
		_, err := open(t, f, nil).PutIfAbsent(t.Context(), []byte("k"), 0)
		wantUnknown(t, err, false, durable.ErrDisconnected, second)
		if errors.Is(err, dedupe.ErrOverloaded) {
			t.Errorf("%v claims that nothing happened", err)
		}
	}
}

func TestErrorsByWhetherTheyAreRepeated(t *testing.T) {
	for _, c := range []struct {
		name     string
		err      error
		definite bool
	}{
		{"reset", durable.ErrObjectReset, false},
		{"disconnected", durable.ErrDisconnected, false},
		{"retryable", &durable.Error{Message: "?", Retryable: true}, false},
		{"unclassified", &durable.Error{Message: "internal error; reference = 123"}, false},
		{"a panic of the object", effect.Chain(durable.ErrRemote, &durable.Error{Message: "panic: x"}), false},
		{"the Go program ended", &durable.Error{Name: "GoRuntimeError", Message: "exited", Props: map[string]any{"goRuntimeExited": true}}, false},
		{"an unknown error", errors.New("?"), false},
		{"the caller's invocation has ended", durable.ErrContextClosed, false},
		{"overloaded", durable.ErrOverloaded, true},
		{"a limit", &durable.LimitError{Limit: "size", Max: 1, Actual: 2}, true},
		{"no stub", effect.None(durable.ErrContextClosed), true},
		{"natively", fmt.Errorf("natively: %w", errors.ErrUnsupported), true},
	} {
		f := &fakeObjects{network: replies(c.err, c.err)}
		_, err := open(t, f, nil).PutIfAbsent(t.Context(), []byte("k"), 0)
		if !errors.Is(err, c.err) || errors.Is(err, dedupe.ErrUnknownOutcome) == c.definite || f.sent == 1 != c.definite {
			t.Errorf("%s: %v after %d messages", c.name, err, f.sent)
		}
		f = &fakeObjects{network: replies(c.err)}
		if inserted, err := open(t, f, nil).PutIfAbsent(t.Context(), []byte("k"), 0); !c.definite && (!inserted || err != nil) {
			t.Errorf("%s, once: %v, %v", c.name, inserted, err)
		}
	}
}

func TestWhatTheObjectRefusesArrivesAsItIs(t *testing.T) {
	for _, c := range []struct {
		name   string
		stored []byte
		fault  func(int, string) faulty.Fault
		want   error
		text   string
	}{
		{"a corrupt record", []byte{1, 2, 3}, nil, ErrCorrupt, "corrupt"},
		{"a newer record", []byte{9}, nil, ErrVersion, "version"},
		{"storage that cannot be read", nil, func(int, string) faulty.Fault { return faulty.Fails }, nil, faulty.ErrInjected.Error()},
	} {
		f := &fakeObjects{prepare: func(s *faulty.Storage) { s.Record, s.OK, s.Plan = c.stored, c.stored != nil, c.fault }}
		inserted, err := open(t, f, nil).PutIfAbsent(t.Context(), []byte("k"), 0)
		var e *dedupe.Error
		if inserted || !errors.As(err, &e) || e.Kind != dedupe.Other || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) ||
			errors.Is(err, dedupe.ErrUnknownOutcome) || f.sent != 1 {
			t.Errorf("%s: %v, %v after %d messages", c.name, inserted, err, f.sent)
		}
	}
}

func TestReplyOfAnotherVersion(t *testing.T) {
	for _, out := range [][]byte{nil, {9, 9, 9}, {1}, {1, 0}, {1, 0, 7}} {
		s, err := newStore(func(context.Context, string, string, []byte) ([]byte, error) { return out, nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.PutIfAbsent(t.Context(), []byte("k"), 0)
		want := ErrMalformed
		if len(out) > 0 && out[0] != 1 {
			want = ErrVersion
		}
		wantUnknown(t, err, false, want)
	}
}

func TestRequestOfAnotherVersionIsRefused(t *testing.T) {
	o := (&fakeObjects{}).object("o")
	for _, m := range storeMethods {
		for msg, want := range map[string]error{"": ErrMalformed, "\x02": ErrVersion, "\x00": ErrVersion} {
			out, err := m.handle(o, t.Context(), []byte(msg))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := wire.DecodeReply(out); !errors.Is(err, want) || !effect.Definite(err) {
				t.Errorf("message %x: %v, want %v", msg, err, want)
			}
		}
	}
}

func TestCancelInFlightLeavesOutcomeUnknown(t *testing.T) {
	cause := errors.New("cause")
	// The call returns the cause, or an error of its own.
	for _, own := range []bool{true, false} {
		ctx, cancel := context.WithCancelCause(t.Context())
		f := &fakeObjects{}
		f.network = func(int, string) (faulty.Fault, error) {
			cancel(cause)
			if own {
				return faulty.PerformsThenFails, cause
			}
			return faulty.PerformsThenFails, lost()
		}
		_, err := open(t, f, nil).PutIfAbsent(ctx, []byte("k"), 0)
		wantUnknown(t, err, false, cause)
		if f.sent != 1 {
			t.Errorf("%d messages", f.sent)
		}
		if strings.Count(err.Error(), "cause") != 1 {
			t.Errorf("text: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	s, _ := newStore(func(ctx context.Context, _, _ string, _ []byte) ([]byte, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}, nil)
	_, err := s.PutIfAbsent(ctx, []byte("k"), 0)
	wantUnknown(t, err, false, context.DeadlineExceeded)
}

func TestContextThatEndsDuringTheRepetition(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &fakeObjects{}
	f.network = func(n int, _ string) (faulty.Fault, error) {
		if n == 1 {
			cancel()
		}
		return faulty.PerformsThenFails, lost()
	}
	_, err := open(t, f, nil).PutIfAbsent(ctx, []byte("k"), 0)
	wantUnknown(t, err, false, context.Canceled, durable.ErrDisconnected)
}

func TestErrorsDoNotTellKeys(t *testing.T) {
	const secret = "card-4111111111111111"
	name := objectName(kindStore, "", []byte(secret))
	for _, plan := range [][]faulty.Fault{{faulty.PerformsThenFails, faulty.PerformsThenFails}, {faulty.Fails, faulty.Fails}} {
		f := &fakeObjects{network: faults(plan...)}
		s := open(t, f, nil)
		_, put := s.PutIfAbsent(t.Context(), []byte(secret), 0)
		f.sent = 0
		for _, err := range []error{put, s.Forget(t.Context(), []byte(secret))} {
			if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), name) {
				t.Errorf("%v", err)
			}
		}
	}
}

func TestOwnersDiffer(t *testing.T) {
	seen := map[reservation.Owner]bool{}
	for range 1000 {
		seen[reservation.NewOwner()] = true
	}
	if len(seen) != 1000 || seen[reservation.Owner{}] {
		t.Errorf("%d of 1000 owners differ", len(seen))
	}
}

func TestNativelyThereIsNoRuntime(t *testing.T) {
	for _, opts := range []*StoreOptions{nil, {Binding: "B", Scope: "s"}} {
		s, err := NewStore(&durable.Env{}, opts)
		var e *dedupe.Error
		if s != nil || !errors.As(err, &e) || e.Kind != dedupe.RuntimeUnavailable || e.Op != "NewStore" || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v, %v", s, err)
		}
	}
	if s, err := NewStore(nil, nil); s != nil || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v, %v", s, err)
	}
}
