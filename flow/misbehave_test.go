//go:build !js

package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/memdedupe"
)

// In these tests a node's surroundings misbehave: its caller leaves, the ledger
// does not answer, the program is replaced between two attempts.

func TestNodeDoesNotOverlapWithItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var charges, together atomic.Int64
		p := one(t, ExactlyOnce, func(context.Context, payment) (string, error) {
			if together.Add(1) > 1 {
				t.Error("two attempts run at the same time")
			}
			defer together.Add(-1)
			// The client does not look at its context.
			time.Sleep(2 * time.Minute)
			return fmt.Sprint("charge ", charges.Add(1)), nil
		})
		b := memory()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := p.Run(ctx, b, []byte(pay1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		for range 5 { // longer than several leases
			wantError(t, p, b, pay1, dedupe.ErrInProgress)
			time.Sleep(10 * time.Second)
		}
		time.Sleep(time.Minute)
		want(t, p, b, pay1, `"charge 1"`)
	})
}

func TestAmbiguousFailureKeepsTheClaim(t *testing.T) {
	for name, c := range map[string]struct {
		effects Effects
		err     error
		at      time.Duration // when the next caller runs the node
	}{
		"a timeout":               {Effectful, context.DeadlineExceeded, 30 * time.Second},
		"a client that left":      {Effectful, context.Canceled, 30 * time.Second},
		"a connection that broke": {Effectful, errors.New("EOF"), 30 * time.Second},
		"an unknown outcome":      {Effectful, dedupe.ErrUnknownOutcome, 30 * time.Second},
		"a rejection":             {Effectful, &Rejection{Detail: "no"}, 0},
		"another input":           {Effectful, fmt.Errorf("%w", ErrInput), 0},
		"a missing capability":    {Effectful, fmt.Errorf("%w", ErrResource), 0},
		"nothing done":            {Effectful, dedupe.NoEffect(errors.New("503")), 0},
		"a node that reads":       {ReadOnly, errors.New("EOF"), 0},
		"a pure node":             {Pure, context.Canceled, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				runs := 0
				p := one(t, ExactlyOnce, func(ctx context.Context, _ payment) (string, error) {
					if runs++; runs == 1 {
						return "", c.err
					}
					claim, _ := ClaimOf(ctx)
					if claim.TakenOver != (c.at > 0) || claim.Attempt != 2 {
						t.Errorf("%+v", claim)
					}
					return "done", nil
				})
				p.steps[1].node.Effects = c.effects
				p.claim.Wait = dedupe.MaxWait
				b, begin := memory(), time.Now()
				wantError(t, p, b, pay1, c.err)
				want(t, p, b, pay1, `"done"`)
				if at := time.Since(begin); at != c.at {
					t.Errorf("ran again after %v, want %v", at, c.at)
				}
			})
		})
	}
}

// lossy is a ledger that loses the answers of some completions, before or after
// it carried them out.
type lossy struct {
	dedupe.Ledger
	before, after int
}

func (l *lossy) Complete(ctx context.Context, c dedupe.Claim, result []byte) error {
	lost := &dedupe.Error{Op: "Complete", Retryable: true, Err: dedupe.ErrUnknownOutcome}
	if l.before > 0 {
		l.before--
		return lost
	}
	err := l.Ledger.Complete(ctx, c, result)
	if l.after > 0 {
		l.after--
		return lost
	}
	return err
}

func TestALostAnswerNeitherLosesNorRepeatsWork(t *testing.T) {
	for _, d := range []Delivery{AtMostOnce, ExactlyOnce} {
		for _, lose := range []lossy{{before: 2}, {after: 2}} {
			synctest.Test(t, func(t *testing.T) {
				var n atomic.Int64
				lose.Ledger = memdedupe.NewLedger(nil)
				p, b := one(t, d, counted(&n, nil)), Bindings{Dedupe: &lose}
				want(t, p, b, pay1, `"run 1"`)
				if d == AtMostOnce {
					wantError(t, p, b, pay1, ErrBegun)
				} else {
					want(t, p, b, pay1, `"run 1"`)
				}
				if n.Load() != 1 {
					t.Errorf("%s: %d runs", d, n.Load())
				}
			})
		}
	}
}

// A node that an earlier run has begun must not stop nodes that do not depend
// on it: these must still run to completion.
func TestANodeThatHasBegunDoesNotHoldUpOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var notified, charged, after int
		f := New("pay").Node("in", Pure, Strict).
			Node("notify", Effectful, Strict, Idempotent("/id", "", time.Hour), Requires(Dedupe)).
			Node("log", Pure, Strict).
			Node("charge", Effectful, BestEffort, Idempotent("/id", "", time.Hour), Requires(Dedupe)).
			Edge("in", "notify", AtMostOnce).Edge("notify", "log", AtLeastOnce).Edge("in", "charge", ExactlyOnce)
		p, err := Compile(f, map[string]Handler{
			"in":     echo(),
			"notify": Func(func(context.Context, payment) (int, error) { notified++; return notified, nil }),
			"log":    Func(func(context.Context, int) (int, error) { after++; return after, nil }),
			"charge": Func(func(context.Context, payment) (int, error) {
				if charged++; charged == 1 {
					return 0, dedupe.NoEffect(errors.New("the processor answers 503"))
				}
				return charged, nil
			}),
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		b := memory()
		if _, err := p.Run(t.Context(), b, []byte(pay1)); !errors.Is(err, dedupe.ErrNoEffect) {
			t.Errorf("%v", err)
		}
		for range 2 {
			_, err := p.Run(t.Context(), b, []byte(pay1))
			if node := (*NodeError)(nil); !errors.Is(err, ErrBegun) || !errors.As(err, &node) || node.Node != "notify" {
				t.Errorf("%v", err)
			}
		}
		if notified != 1 || after != 1 || charged != 2 {
			t.Errorf("notified %d times, logged %d times, charged %d times", notified, after, charged)
		}
	})
}

// versioned is a program whose nodes before the charge change with the version.
func versioned(t *testing.T, n *atomic.Int64, version string, options ...NodeOption) *Program {
	t.Helper()
	options = append([]NodeOption{Idempotent("/id", "", time.Hour), Requires(Dedupe)}, options...)
	f := New("pay").Node("in", Pure, Strict).Node("charge", Effectful, BestEffort, options...).Edge("in", "charge", ExactlyOnce)
	p, err := Compile(f, map[string]Handler{
		"in": Func(func(_ context.Context, p payment) (any, error) {
			return map[string]any{"id": p.ID, "amount": p.Amount, "version": version}, nil
		}),
		"charge": Func(func(context.Context, json.RawMessage) (int64, error) { return n.Add(1), nil }),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestADeployBetweenTwoAttemptsIsNoMismatch(t *testing.T) {
	for _, options := range [][]NodeOption{nil, {Fingerprint("/amount", "/currency")}} {
		var n atomic.Int64
		b := memory()
		for _, version := range []string{"1", "2", "1"} {
			want(t, versioned(t, &n, version, options...), b, pay1, "1")
		}
		for _, other := range []string{`{"id":"pay_1","amount":9}`, `{"id":"pay_1"}`} {
			wantError(t, versioned(t, &n, "1", options...), b, other, dedupe.ErrMismatch)
		}
	}
}

func TestFingerprintCoversTheNamedMembers(t *testing.T) {
	var n atomic.Int64
	p, b := versioned(t, &n, "1", Fingerprint("/amount")), memory()
	want(t, p, b, `{"id":"pay_1","amount":5,"delivery":1}`, "1")
	want(t, p, b, `{"id":"pay_1","amount":5.0,"delivery":2}`, "1")
	wantError(t, p, b, `{"id":"pay_1","amount":6,"delivery":1}`, dedupe.ErrMismatch)
	wantError(t, versioned(t, &n, "1"), memoryWith(t, `{"id":"pay_1","amount":5,"delivery":1}`, &n), `{"id":"pay_1","amount":5,"delivery":2}`, dedupe.ErrMismatch)

	node := Node{Idempotency: &Idempotency{Fingerprint: []string{"/a", "/b"}}}
	seen := map[string]string{}
	for _, in := range []string{`{}`, `{"a":null}`, `{"b":null}`, `{"a":1}`, `{"b":1}`, `{"a":"1"}`, `{"a":{"b":1}}`} {
		sum, err := node.fingerprint(nil, []byte(in))
		if seen[string(sum)] != "" || err != nil {
			t.Errorf("%s has the fingerprint of %s, %v", in, seen[string(sum)], err)
		}
		seen[string(sum)] = in
	}
}

// memoryWith returns a ledger on which versioned has run without its own
// fingerprint.
func memoryWith(t *testing.T, in string, n *atomic.Int64) Bindings {
	t.Helper()
	b := memory()
	if _, err := versioned(t, n, "1").Run(t.Context(), b, []byte(in)); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAnErrorSaysWhetherTheOutcomeIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			delivery Delivery
			work     func(context.Context, payment) (string, error)
			unknown  bool
			fence    int64
		}{
			"a timeout":            {ExactlyOnce, fails(context.DeadlineExceeded), true, 1},
			"a panic":              {ExactlyOnce, func(context.Context, payment) (string, error) { panic("boom") }, true, 1},
			"at most once":         {AtMostOnce, fails(errors.New("EOF")), true, 1},
			"at least once":        {AtLeastOnce, fails(errors.New("EOF")), true, 0},
			"a rejection":          {ExactlyOnce, fails(&Rejection{Detail: "no"}), false, 1},
			"nothing done":         {ExactlyOnce, fails(dedupe.NoEffect(errors.New("503"))), false, 1},
			"an unexpected output": {ExactlyOnce, fails(ErrOutput), false, 1},
		} {
			p, b := one(t, c.delivery, c.work), memory()
			_, err := p.Run(t.Context(), b, []byte(pay1))
			node := (*NodeError)(nil)
			if !errors.As(err, &node) || node.Unknown != c.unknown || node.Fence != c.fence {
				t.Errorf("%s: %+v", name, node)
			}
			_, err = p.Run(t.Context(), b, []byte(`{"amount":1}`))
			if c.delivery != AtLeastOnce && (!errors.As(err, &node) || node.Unknown || node.Fence != 0) {
				t.Errorf("%s, without a run: %+v", name, node)
			}
		}
		var n atomic.Int64
		l := &lossy{Ledger: memdedupe.NewLedger(nil), before: 1 << 30}
		_, err := one(t, ExactlyOnce, counted(&n, nil)).Run(t.Context(), Bindings{Dedupe: l}, []byte(pay1))
		if node := (*NodeError)(nil); !errors.As(err, &node) || !node.Unknown || n.Load() != 1 {
			t.Errorf("done but not recorded: %+v", node)
		}
	})
}

func fails(err error) func(context.Context, payment) (string, error) {
	return func(context.Context, payment) (string, error) { return "", err }
}

func TestAFingerprintIsPartOfTheForm(t *testing.T) {
	want := New("pay").Node("in", Pure, Strict).
		Node("charge", Effectful, BestEffort, Idempotent("/id", "", MinTTL), Fingerprint("/amount", "/currency"), Requires(Dedupe)).
		Edge("in", "charge", ExactlyOnce)
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(text)
	if err != nil || !reflect.DeepEqual(got, want) || len(got.Validate()) > 0 || len(got.Nodes[1].Idempotency.Fingerprint) != 2 {
		t.Errorf("%s: %+v, %v", text, got, err)
	}
}
