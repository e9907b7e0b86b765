//go:build !js

package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/memdedupe"
	"flow.internal/capdo/flow/flowseal"
)

// process is a process that can die. After that it does not reach any ledger.
type process struct {
	dedupe.Ledger
	dead  *atomic.Bool
	calls *atomic.Int64
}

var errDead = errors.New("the process is dead")

func (p process) try() error {
	p.calls.Add(1)
	if p.dead.Load() {
		return errDead
	}
	return nil
}

func (p process) Claim(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
	if err := p.try(); err != nil {
		return dedupe.Claim{}, err
	}
	return p.Ledger.Claim(ctx, key, o)
}

func (p process) Complete(ctx context.Context, c dedupe.Claim, result []byte) error {
	return errors.Join(p.try(), live(p, func() error { return p.Ledger.Complete(ctx, c, result) }))
}

func (p process) Extend(ctx context.Context, c dedupe.Claim, lease time.Duration) error {
	return errors.Join(p.try(), live(p, func() error { return p.Ledger.Extend(ctx, c, lease) }))
}

func (p process) Release(ctx context.Context, c dedupe.Claim) error {
	return errors.Join(p.try(), live(p, func() error { return p.Ledger.Release(ctx, c) }))
}

func (p process) Forget(ctx context.Context, key []byte) error {
	return errors.Join(p.try(), live(p, func() error { return p.Ledger.Forget(ctx, key) }))
}

func live(p process, f func() error) error {
	if p.dead.Load() {
		return nil
	}
	return f()
}

// world has ledgers that outlive processes, and a flow whose nodes a test sets:
// in, which is pure; charge, exactly once; number, at least once.
type world struct {
	t            *testing.T
	nodes, runs  dedupe.Ledger
	keys         Sealer
	p            *Program
	dead         *atomic.Bool // whether the current process is dead
	charge       func(ctx context.Context, p payment) error
	number       func(ctx context.Context) error
	charges      int
	numbers      int
	deadLetters  []DeadLetter
	onDeadLetter func() error
	runKey       []byte
	runsCalls    *atomic.Int64
	chargeClaims []Claim
}

func newWorld(t *testing.T, rec *Recovery) *world {
	w := &world{t: t, nodes: memdedupe.NewLedger(nil), runs: memdedupe.NewLedger(nil), keys: Unsealed{}, dead: &atomic.Bool{}, runsCalls: &atomic.Int64{}}
	if rec == nil {
		rec = &Recovery{}
	}
	rec.DeadLetter = func(_ context.Context, _ Bindings, d DeadLetter) error {
		if w.dead.Load() {
			return errDead
		}
		w.deadLetters = append(w.deadLetters, d)
		if w.onDeadLetter != nil {
			return w.onDeadLetter()
		}
		return nil
	}
	f := New("f").Node("in", Pure, Strict).
		Node("charge", Effectful, BestEffort, Idempotent("/id", "", 24*time.Hour), Requires(Dedupe)).
		Node("number", Effectful, Stable).
		Edge("in", "charge", ExactlyOnce).Edge("charge", "number", AtLeastOnce)
	in := Func(func(_ context.Context, p payment) (payment, error) {
		if p.Amount < 0 {
			return p, &Rejection{Detail: "negative"}
		}
		return p, nil
	})
	charge := Func(func(ctx context.Context, p payment) (string, error) {
		w.charges++
		c, _ := ClaimOf(ctx)
		w.chargeClaims = append(w.chargeClaims, c)
		if w.charge != nil {
			if err := w.charge(ctx, p); err != nil {
				return "", err
			}
		}
		return "receipt", nil
	})
	number := Func(func(ctx context.Context, receipt string) (string, error) {
		w.numbers++
		if w.number != nil {
			if err := w.number(ctx); err != nil {
				return "", err
			}
		}
		return receipt + " 1", nil
	})
	var err error
	w.p, err = Compile(f, map[string]Handler{"in": in, "charge": charge, "number": number}, &Options{Lease: 10 * time.Second, Recovery: rec})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// bindings returns the bindings of the current process.
func (w *world) bindings() Bindings {
	dead, none := w.dead, &atomic.Int64{}
	return Bindings{Dedupe: process{w.nodes, dead, none}, Runs: process{w.runs, dead, w.runsCalls}, Keys: w.keys}
}

// die ends the current process.
func (w *world) die() error { w.dead.Store(true); return errDead }

func (w *world) run(in string) (string, error) {
	canonicalIn, err := canonical([]byte(in))
	if err != nil {
		w.t.Fatal(err)
	}
	w.runKey = w.p.keyOf("run", encoded(w.keys.Digest(append([]byte("f\n"), canonicalIn...))))
	out, err := w.p.Run(w.t.Context(), w.bindings(), []byte(in))
	return string(out), err
}

// ring acts as the ledger's alarm. For the time d it resumes the run whenever
// its lease has ended, each time in a new process.
func (w *world) ring(d time.Duration) (attempts []time.Duration) {
	w.t.Helper()
	begin := time.Now()
	for time.Since(begin) < d {
		time.Sleep(time.Second)
		if time.Since(begin) > 5*time.Minute {
			time.Sleep(time.Minute)
		}
		w.dead = &atomic.Bool{}
		before := w.charges + w.numbers + len(w.deadLetters)
		_ = w.p.Resume(w.t.Context(), w.bindings(), w.runKey)
		if w.charges+w.numbers+len(w.deadLetters) > before {
			attempts = append(attempts, time.Since(begin).Round(time.Second))
		}
	}
	return attempts
}

// stored returns the stored input of the run, or nil.
func (w *world) stored() []byte {
	w.t.Helper()
	id, _ := w.p.runID(w.runKey)
	c, err := w.runs.Claim(w.t.Context(), w.p.keyOf("input", id), dedupe.ClaimOptions{Lease: time.Second})
	if err != nil {
		w.t.Fatal(err)
	}
	if c.Outcome == dedupe.Acquired {
		if err := w.runs.Release(w.t.Context(), c); err != nil {
			w.t.Fatal(err)
		}
		return nil
	}
	return c.Result
}

func (w *world) want(charges, numbers, deadLetters int) {
	w.t.Helper()
	if w.charges != charges || w.numbers != numbers || len(w.deadLetters) != deadLetters {
		w.t.Errorf("%d charges, %d numbers, %d dead letters; want %d, %d, %d", w.charges, w.numbers, len(w.deadLetters), charges, numbers, deadLetters)
	}
}

func TestRunContinuesAfterCompletedNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.number = func(context.Context) error { return w.die() }
		if _, err := w.run(pay1); err == nil {
			t.Error("the process died, but there is an answer")
		}
		if got := w.stored(); string(got) != "="+`{"amount":1250,"id":"pay_1"}` {
			t.Errorf("stored: %q", got)
		}
		w.number = nil
		if attempts := w.ring(5 * time.Second); len(attempts) > 0 {
			t.Errorf("before the lease ended: %v", attempts)
		}
		if attempts := w.ring(time.Hour); len(attempts) != 1 || attempts[0] > 7*time.Second {
			t.Errorf("attempts after %v", attempts)
		}
		w.want(1, 2, 0)
		if got := w.stored(); got != nil {
			t.Errorf("the input is still stored: %q", got)
		}
		if out, err := w.run(pay1); out != `"receipt 1"` || err != nil { // the same answer as before
			t.Errorf("%s, %v", out, err)
		}
		w.want(1, 3, 0)
	})
}

func TestCrashedNodeRunsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.charge = func(context.Context, payment) error { return w.die() }
		if _, err := w.run(pay1); err == nil {
			t.Error("the process died, but there is an answer")
		}
		w.charge = nil
		w.ring(time.Minute)
		w.want(2, 1, 0)
		if c := w.chargeClaims[1]; !c.TakenOver || c.Attempt != 2 || c.Fence <= w.chargeClaims[0].Fence {
			t.Errorf("%+v after %+v", c, w.chargeClaims[0])
		}
	})
}

func TestAttemptsAreBounded(t *testing.T) {
	boom := errors.New("boom")
	for name, fail := range map[string]func(w *world) error{
		"the node fails":                func(*world) error { return boom },
		"nothing was done":              func(*world) error { return dedupe.NoEffect(boom) },
		"the program ends":              func(w *world) error { return w.die() },
		"the node panics":               func(*world) error { panic("boom") },
		"the ledger does not answer":    func(*world) error { return dedupe.ErrUnknownOutcome },
		"the processor does not answer": func(*world) error { return context.DeadlineExceeded },
	} {
		for _, most := range []int{1, 3, 0} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, &Recovery{Attempts: most})
				if most == 0 {
					most = defaultAttempts
				}
				w.charge = func(context.Context, payment) error { return fail(w) }
				if _, err := w.run(pay1); err == nil {
					t.Errorf("%s: no error", name)
				}
				attempts := w.ring(3 * time.Hour)
				w.want(most, 0, 1)
				if len(w.deadLetters) != 1 {
					t.Fatalf("%s, %d attempts: %v", name, most, attempts)
				}
				d := w.deadLetters[0]
				died := name == "the program ends" || most == 1
				if string(d.Input) != `{"amount":1250,"id":"pay_1"}` || d.Attempts != most || (d.Err == nil) != died || d.Run == "" {
					t.Errorf("%s: %+v", name, d)
				}
				if got := w.stored(); got != nil {
					t.Errorf("%s: the input is still stored", name)
				}
				for i := range max(len(attempts)-2, 0) { // leases of 10, 20, 40 s
					if pause := attempts[i+1] - attempts[i]; name == "the node fails" && (pause < 10*time.Second<<(i+1) || pause > 10*time.Second<<(i+1)+12*time.Second) {
						t.Errorf("%s: attempts after %v", name, attempts)
					}
				}
			})
		}
	}
}

func TestDeadLetterIsRepeatedUntilAccepted(t *testing.T) {
	for failures, calls := range map[int]int{0: 1, 2: 3, 100: maxDeadLetters} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, &Recovery{Attempts: 2})
			w.charge = func(context.Context, payment) error { return errors.New("boom") }
			w.onDeadLetter = func() error {
				if len(w.deadLetters) <= failures {
					return errors.New("the queue is unavailable")
				}
				return nil
			}
			w.run(pay1)
			w.ring(5 * time.Hour)
			w.want(2, 0, calls)
		})
	}
}

// A final failure is not resumed: the sender has received it.
func TestWhatFailsForGoodIsNotTakenUp(t *testing.T) {
	for name, c := range map[string]struct {
		in     string
		err    error
		stores bool // whether the input is stored before the failure
	}{
		"a rejection before anything began": {`{"id":"a","amount":-1}`, nil, false},
		"a rejection of the node":           {pay1, &Rejection{Detail: "declined"}, true},
		"no key":                            {`{"amount":1}`, nil, true},
		"an output that cannot be kept":     {pay1, ErrOutput, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.charge = func(context.Context, payment) error { return c.err }
			if _, err := w.run(c.in); !final(err) {
				t.Errorf("%s: %v", name, err)
			}
			if w.runsCalls.Load() > 0 != c.stores || w.stored() != nil {
				t.Errorf("%s: %d calls, and stored %q", name, w.runsCalls.Load(), w.stored())
			}
			before := w.charges
			if w.ring(time.Hour); w.charges != before || len(w.deadLetters) > 0 {
				t.Errorf("%s: taken up", name)
			}
		})
	}
}

// The sender did not get an answer, so somebody must be notified.
func TestFinalFailureIsADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.charge = func(context.Context, payment) error { return w.die() }
		w.run(pay1)
		w.charge = func(context.Context, payment) error { return &Rejection{Detail: "declined"} }
		w.ring(time.Hour)
		w.want(2, 0, 1)
		var r *Rejection
		if !errors.As(w.deadLetters[0].Err, &r) || w.deadLetters[0].Attempts != 2 {
			t.Errorf("%+v", w.deadLetters[0])
		}
	})
}

func TestRunWithoutStoredInputHasNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		calls := 0
		w.keys = sealerFunc(func() error {
			if calls++; calls == 1 { // the only seal after the claim of the run is that of the input
				w.dead.Store(true)
			}
			return nil
		})
		w.run(pay1)
		w.ring(time.Hour)
		w.want(0, 0, 0)
		if out, err := w.run(pay1); out != `"receipt 1"` || err != nil {
			t.Errorf("%s, %v", out, err)
		}
	})
}

// sealerFunc is Unsealed, but calls the function before it seals.
type sealerFunc func() error

func (f sealerFunc) Seal(text, about []byte) ([]byte, error) {
	if err := f(); err != nil {
		return nil, err
	}
	return Unsealed{}.Seal(text, about)
}
func (f sealerFunc) Open(sealed, about []byte) ([]byte, error) { return Unsealed{}.Open(sealed, about) }
func (f sealerFunc) Digest(text []byte) []byte                 { return Unsealed{}.Digest(text) }

// A sender that repeats its request gets its answer, whichever process watches
// the run, and whatever happened to that process.
func TestRepetitionsOfAWatchedRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.number = func(context.Context) error { return w.die() }
		w.run(pay1)
		w.number, w.dead = nil, &atomic.Bool{}
		for range 3 { // a dead process watches the run
			if out, err := w.run(pay1); out != `"receipt 1"` || err != nil {
				t.Errorf("%s, %v", out, err)
			}
		}
		w.want(1, 4, 0)
		w.ring(time.Hour)
		w.want(1, 5, 0) // number ran once more, which is allowed: it runs at least once
		other := strings.Replace(pay1, "1250", "1251", 1)
		if _, err := w.run(other); !errors.Is(err, dedupe.ErrMismatch) {
			t.Errorf("another payload: %v", err)
		}
		if w.ring(time.Hour); len(w.deadLetters) > 0 {
			t.Error("a mismatch is resumed")
		}
	})
}

func parseKeys(t *testing.T, ids ...string) *flowseal.Keys {
	t.Helper()
	var list []string
	for _, id := range ids {
		list = append(list, id+":"+fmt.Sprintf("%.43s=", strings.Repeat("QUJD"+id, 20)))
	}
	k, err := flowseal.ParseKeys(strings.Join(list, ","))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestInputsAreSealedAndKeysReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.keys = parseKeys(t, "aaaa")
		w.charge = func(context.Context, payment) error { return w.die() }
		w.run(pay1)
		if got := w.stored(); len(got) == 0 || bytes.Contains(got, []byte("pay_1")) || bytes.Contains(w.runKey, []byte("pay_1")) {
			t.Errorf("stored: %q, under %q", got, w.runKey)
		}
		w.charge = nil
		w.keys = parseKeys(t, "bbbb", "aaaa")
		w.ring(time.Minute)
		w.want(2, 1, 0)
	})
}

// Without the key the input cannot be read. A dead letter reports the run.
func TestAnInputThatCannotBeReadIsADeadLetter(t *testing.T) {
	for name, keys := range map[string]func(t *testing.T) Sealer{
		"the key is gone": func(t *testing.T) Sealer { return parseKeys(t, "bbbb") },
		"there is none":   func(*testing.T) Sealer { return Unsealed{} },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			w.keys = parseKeys(t, "aaaa")
			w.charge = func(context.Context, payment) error { return w.die() }
			w.run(pay1)
			w.keys = keys(t)
			w.ring(3 * time.Hour)
			w.want(1, 0, 1)
			if d := w.deadLetters[0]; d.Input != nil || d.Err == nil || d.Attempts != defaultAttempts {
				t.Errorf("%s: %+v", name, d)
			}
		})
	}
}

func TestRemovedInputIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, &Recovery{
			Keep: func(in json.RawMessage) (json.RawMessage, error) {
				var p payment
				err := json.Unmarshal(in, &p)
				return []byte(`{"id":"` + p.ID + `"}`), err
			},
			Restore: func(_ context.Context, b Bindings, kept json.RawMessage) (json.RawMessage, error) {
				if b[Runs] == nil {
					t.Error("no bindings")
				}
				var p payment
				err := json.Unmarshal(kept, &p)
				p.Amount = 1250
				out, _ := json.Marshal(p)
				return out, err
			},
		})
		w.charge = func(context.Context, payment) error { return w.die() }
		w.run(pay1)
		if got := w.stored(); string(got) != `={"id":"pay_1"}` {
			t.Errorf("stored: %q", got)
		}
		w.charge = func(_ context.Context, p payment) error {
			if p.Amount != 1250 {
				t.Errorf("%+v", p)
			}
			return nil
		}
		w.ring(time.Minute)
		w.want(2, 1, 0)
	})
}

func TestInputsAreBounded(t *testing.T) {
	for _, c := range []struct{ most, most2 int }{{0, defaultMaxInput}, {100, 100}, {10 << 20, dedupe.MaxResultSize - sealingSize}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, &Recovery{MaxInput: c.most})
			w.keys = parseKeys(t, "aaaa")
			const frame = `{"id":"x","note":""}`
			fits := strings.Replace(frame, `""`, `"`+strings.Repeat("n", c.most2-len(frame))+`"`, 1)
			if out, err := w.run(fits); out != `"receipt 1"` || err != nil {
				t.Errorf("%d bytes: %s, %v", len(fits), out, err)
			}
			before := w.runsCalls.Load()
			if _, err := w.run(strings.Replace(fits, "nn", "nnn", 1)); !errors.Is(err, ErrTooLarge) {
				t.Errorf("one more: %v", err)
			}
			if w.want(1, 1, 0); w.runsCalls.Load() != before {
				t.Error("the ledger was asked")
			}
		})
	}
}

// The run fails before any node, because nothing can watch it.
func TestWithoutTheLedgerOfRunsNothingBegins(t *testing.T) {
	w := newWorld(t, nil)
	for _, b := range []Bindings{
		{Dedupe: w.nodes, Keys: w.keys},
		{Dedupe: w.nodes, Runs: w.runs},
		{Dedupe: w.nodes, Runs: 7, Keys: w.keys},
		{Dedupe: w.nodes, Runs: w.runs, Keys: "key"},
		{Dedupe: w.nodes, Runs: w.runs, Keys: errors.New("no secret")},
	} {
		var invalid *InvalidError
		if _, err := w.p.Run(t.Context(), b, []byte(pay1)); !errors.As(err, &invalid) {
			t.Errorf("%v: %v", b, err)
		}
		if err := w.p.Resume(t.Context(), b, w.p.keyOf("run", "x")); !errors.As(err, &invalid) {
			t.Errorf("%v: %v", b, err)
		}
	}
	w.dead.Store(true)
	if _, err := w.run(pay1); !errors.Is(err, errDead) {
		t.Errorf("%v", err)
	}
	w.want(0, 0, 0)
}

func TestResumeLeavesOtherKeysAlone(t *testing.T) {
	w := newWorld(t, nil)
	plain := one(t, ExactlyOnce, func(context.Context, payment) (string, error) { return "", nil })
	for _, key := range []string{``, `7`, `[]`, `["f","charge","a"]`, `["g","run","a",1]`, `["f","input","a",1]`, `["f","run","a",2]`, `["f","run",7,1]`} {
		for _, p := range []*Program{w.p, plain} {
			if err := p.Resume(t.Context(), nil, []byte(key)); err != nil {
				t.Errorf("%s: %v", key, err)
			}
		}
	}
	if err := plain.Resume(t.Context(), nil, []byte(`["one","run","a",1]`)); err != nil {
		t.Error(err)
	}
}

func TestARecoveryIsWhole(t *testing.T) {
	deadLetter := func(context.Context, Bindings, DeadLetter) error { return nil }
	keep := func(in json.RawMessage) (json.RawMessage, error) { return in, nil }
	f := New("f").Node("a", Pure, Strict)
	for _, r := range []*Recovery{{}, {DeadLetter: deadLetter, Keep: keep}} {
		var invalid *InvalidError
		if _, err := Compile(f, map[string]Handler{"a": echo()}, &Options{Recovery: r}); !errors.As(err, &invalid) || invalid.Findings[0].Code != CodeIncompleteRecovery {
			t.Errorf("%v", err)
		}
	}
	if _, err := Compile(f, map[string]Handler{"a": echo()}, &Options{Recovery: &Recovery{DeadLetter: deadLetter, TTL: -1}}); !errors.Is(err, dedupe.ErrInvalidTTL) {
		t.Errorf("%v", err)
	}
}
