//go:build !js

package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/memdedupe"
)

type payment struct {
	ID     string `json:"id"`
	Amount int    `json:"amount"`
}

const pay1 = `{"id":"pay_1","amount":1250}`

// one returns a flow that runs work with a delivery, after an entry that passes
// on its input.
func one(t *testing.T, d Delivery, work func(ctx context.Context, p payment) (string, error)) *Program {
	t.Helper()
	f := New("one").Node("in", Pure, Strict).Node("work", Effectful, BestEffort, Requires(Dedupe)).Edge("in", "work", d)
	if d != AtLeastOnce {
		f.Nodes[1].Idempotency = &Idempotency{Key: "/id", TTL: MinTTL.Milliseconds()}
	}
	p, err := Compile(f, map[string]Handler{"in": echo(), "work": Func(work)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func memory() Bindings { return Bindings{Dedupe: memdedupe.NewLedger(nil)} }

func want(t *testing.T, p *Program, b Bindings, in, out string) {
	t.Helper()
	if got, err := p.Run(t.Context(), b, []byte(in)); string(got) != out || err != nil {
		t.Errorf("%s: %s, %v; want %s", in, got, err, out)
	}
}

func wantError(t *testing.T, p *Program, b Bindings, in string, want error) {
	t.Helper()
	if got, err := p.Run(t.Context(), b, []byte(in)); got != nil || !errors.Is(err, want) {
		t.Errorf("%s: %s, %v; want %v", in, got, err, want)
	}
}

// counted returns work that counts its runs and returns the count.
func counted(n *atomic.Int64, err error) func(context.Context, payment) (string, error) {
	return func(context.Context, payment) (string, error) { return fmt.Sprint("run ", n.Add(1)), err }
}

func TestOutputsFlowAndJoin(t *testing.T) {
	add := func(text string) Handler {
		return Func(func(_ context.Context, in json.RawMessage) (any, error) { return map[string]any{text: in}, nil })
	}
	f := New("diamond").Node("e", Pure, Strict).Node("d", Pure, Strict).Node("b", Pure, Strict).Node("a", Pure, Strict).Node("end", Pure, Strict).
		Edge("e", "d", AtLeastOnce).Edge("a", "d", AtLeastOnce).Edge("b", "d", AtLeastOnce).
		Edge("e", "a", AtLeastOnce).Edge("e", "b", AtLeastOnce).Edge("a", "end", AtLeastOnce)
	p, err := Compile(f, map[string]Handler{"e": echo(), "a": add("A"), "b": add("B"), "d": add("D"), "end": add("end")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.steps[0].handler = Handler{Run: func(_ context.Context, in json.RawMessage) (json.RawMessage, error) {
		// This is not canonical JSON.
		return []byte(strings.Replace(string(in), `"x"`, ` "y":0, "x"`, 1)), nil
	}}
	in := `{"x":[1000,null],"y":2.5}`
	want(t, p, nil, ` { "y" : 1.50, "x":[ 1e3, null ] , "y":2.50} `,
		`{"d":{"D":{"a":{"A":`+in+`},"b":{"B":`+in+`},"e":`+in+`}},"end":{"end":{"A":`+in+`}}}`)
	one := Func(func(context.Context, payment) (payment, error) { return payment{"a", 1}, nil })
	alone, err := Compile(New("alone").Node("a", Pure, Strict), map[string]Handler{"a": one}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The output is unchanged.
	want(t, alone, nil, `{}`, `{"id":"a","amount":1}`)
	wantError(t, p, nil, `{"y":1} {}`, ErrInput)
	wantError(t, p, nil, ``, ErrInput)
}

func TestCompileKeepsACopy(t *testing.T) {
	f := payments()
	p, err := Compile(f, map[string]Handler{"validate": echo(), "charge": echo(), "number": echo()}, nil)
	f.Nodes[1].Requires[0], f.Nodes[1].Idempotency.Key = "other", "/other"
	if err != nil || p.Preflight(Bindings{Dedupe: memdedupe.NewLedger(nil), "processor": 1, Sequencer: memdedupe.NewSequencer(nil)}) != nil ||
		p.steps[1].node.Idempotency.Key != "/id" {
		t.Errorf("%v", err)
	}
	for opts, want := range map[*Options]error{{Lease: -1}: dedupe.ErrInvalidLease, {Wait: time.Hour}: dedupe.ErrInvalidWait} {
		if _, err := Compile(payments(), map[string]Handler{"validate": echo(), "charge": echo(), "number": echo()}, opts); !errors.Is(err, want) {
			t.Errorf("%+v: %v", opts, err)
		}
	}
}

func TestPreflightListsMissingBindings(t *testing.T) {
	began := false
	first := Handler{Run: func(context.Context, json.RawMessage) (json.RawMessage, error) {
		began = true
		return nil, errors.New("it ran")
	}}
	p, err := Compile(payments(), map[string]Handler{"validate": first, "charge": echo(), "number": echo()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := Bindings{Dedupe: "a text"}
	b.Add(Sequencer, (*memdedupe.Sequencer)(nil), errors.New("no binding LEDGER"))
	_, err = p.Run(t.Context(), b, []byte(pay1))
	var invalid *InvalidError
	if !errors.As(err, &invalid) || fmt.Sprint(codes(invalid.Findings)) != "[wrong_type not_bound not_bound]" || began {
		t.Fatalf("%v; work began: %v", err, began)
	}
	b = Bindings{Dedupe: memdedupe.NewLedger(nil), "processor": 1, Sequencer: memdedupe.NewLedger(nil)}
	if err := p.Preflight(b); !errors.As(err, new(*InvalidError)) {
		t.Errorf("a ledger as a sequencer: %v", err)
	}
	for _, text := range []string{`"dedupe"`, `"processor"`, `"sequencer"`, "no binding LEDGER"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("no %s in %v", text, err)
		}
	}
	if !invalid.Has(CodeNotBound) || invalid.Has(CodeCycle) {
		t.Error("Has")
	}
}

func TestHandlerGetsItsNodesBindings(t *testing.T) {
	f := New("one").Node("in", ReadOnly, Stable, Requires("kv:prices", "count"))
	p, err := Compile(f, map[string]Handler{"in": Func(func(ctx context.Context, in int) (int, error) {
		prices, err := Resource[map[int]int](ctx, "kv:prices")
		if err != nil {
			return 0, err
		}
		_, undeclared := Resource[int](ctx, "kv:orders")
		_, otherType := Resource[string](ctx, "count")
		if !errors.Is(undeclared, ErrResource) || !errors.Is(otherType, ErrResource) {
			t.Errorf("%v, %v", undeclared, otherType)
		}
		if _, ok := ClaimOf(ctx); ok {
			t.Error("a claim at an entry")
		}
		return prices[in], nil
	})}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want(t, p, Bindings{"kv:prices": map[int]int{3: 7}, "count": 1, "kv:orders": 1}, `3`, `7`)
	if _, err := Resource[int](t.Context(), "count"); !errors.Is(err, ErrResource) {
		t.Errorf("outside a handler: %v", err)
	}
	if _, ok := ClaimOf(t.Context()); ok {
		t.Error("a claim outside a handler")
	}
}

func TestExactlyOnceOf100Callers(t *testing.T) {
	var n atomic.Int64
	started, finish := make(chan struct{}), make(chan struct{})
	p := one(t, ExactlyOnce, func(ctx context.Context, in payment) (string, error) {
		close(started)
		<-finish
		return fmt.Sprint("run ", n.Add(1)), nil
	})
	b := memory()
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { want(t, p, b, pay1, `"run 1"`) })
	}
	<-started
	close(finish)
	wg.Wait()
	// The same input, spelled differently.
	want(t, p, b, `{"amount":1250, "id":"pay_1"}`, `"run 1"`)
	if n.Load() != 1 {
		t.Errorf("%d runs", n.Load())
	}
}

func TestExactlyOnceTellsKeysAndPayloadsApart(t *testing.T) {
	var n atomic.Int64
	p, b := one(t, ExactlyOnce, counted(&n, nil)), memory()
	want(t, p, b, pay1, `"run 1"`)
	want(t, p, b, `{"id":"pay_2","amount":1250}`, `"run 2"`)
	wantError(t, p, b, `{"id":"pay_1","amount":9}`, dedupe.ErrMismatch)
	for _, in := range []string{`{}`, `{"id":""}`, `{"id":null}`, `{"id":true}`, `{"id":["a"]}`, `[]`, `7`, `{"id/":"a"}`} {
		wantError(t, p, b, in, ErrNoKey)
	}
	wantError(t, p, b, `{"id":"`+strings.Repeat("k", dedupe.MaxKeySize)+`"}`, dedupe.ErrKeyTooLarge)
	wantError(t, p, b, `{"id":"pay_3","amount":"much"}`, ErrInput)
	// A failed key is not claimed any more, even for another payload.
	want(t, p, b, `{"id":"pay_3","amount":3}`, `"run 3"`)
}

func TestKeysOfTwoNodesScopesAndTypesDiffer(t *testing.T) {
	p := one(t, ExactlyOnce, counted(new(atomic.Int64), nil))
	keys := map[string]bool{}
	for _, n := range []*Node{
		{Name: "work", Idempotency: &Idempotency{Key: "/id"}}, {Name: "other", Idempotency: &Idempotency{Key: "/id"}},
		{Name: "work", Idempotency: &Idempotency{Key: "/id", Scope: "s"}}, {Name: "a", Idempotency: &Idempotency{Key: "/id", Scope: `s","work`}},
	} {
		for _, in := range []string{`{"id":"7"}`, `{"id":7}`, `{"id":"7\",\""}`} {
			key, err := p.key(n, []byte(in))
			if err != nil || keys[string(key)] {
				t.Errorf("%s, %v", key, err)
			}
			keys[string(key)] = true
		}
	}
	if !keys[`["one","work","7"]`] {
		t.Errorf("the form of keys has changed, so all existing records would be forgotten: %v", keys)
	}
}

func TestAFailureThatDidNothingGivesTheClaimBack(t *testing.T) {
	failure := dedupe.NoEffect(errors.New("the processor answers 503"))
	p := one(t, ExactlyOnce, func(ctx context.Context, in payment) (string, error) {
		claim, ok := ClaimOf(ctx)
		if !ok || string(claim.Key) != `["one","work","pay_1"]` || claim.Fence <= 0 {
			t.Errorf("%+v %v", claim, ok)
		}
		if claim.Fence == 1 {
			return "", failure
		}
		return fmt.Sprint("fence ", claim.Fence), nil
	})
	b := memory()
	wantError(t, p, b, pay1, failure)
	want(t, p, b, pay1, `"fence 2"`)
	_, err := p.Run(t.Context(), b, []byte(`{"id":"pay_1","amount":1}`))
	var node *NodeError
	if !errors.As(err, &node) || node.Node != "work" {
		t.Errorf("%v", err)
	}
}

// crashed is a ledger that a crashed program can no longer reach.
type crashed struct {
	dedupe.Ledger
	gone chan struct{}
}

func (c *crashed) Extend(ctx context.Context, claim dedupe.Claim, lease time.Duration) error {
	select {
	case <-c.gone:
		<-ctx.Done()
		return context.Cause(ctx)
	default:
		return c.Ledger.Extend(ctx, claim, lease)
	}
}

func TestNextCallerTakesOverAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		var stale atomic.Int64 // fence of the crashed holder
		gone, forever := make(chan struct{}), make(chan struct{})
		p := one(t, ExactlyOnce, func(ctx context.Context, in payment) (string, error) {
			claim, _ := ClaimOf(ctx)
			if n.Add(1) == 1 {
				stale.Store(claim.Fence)
				close(gone)
				<-forever // ignores the end of its context
			} else if claim.Fence <= stale.Load() || !claim.TakenOver || claim.Attempt != 2 {
				t.Errorf("%+v after fence %d", claim, stale.Load())
			}
			return fmt.Sprint("run ", n.Load()), nil
		})
		b := memory()
		holder := make(chan error, 1)
		go func() {
			_, err := p.Run(t.Context(), Bindings{Dedupe: &crashed{b[Dedupe].(dedupe.Ledger), gone}}, []byte(pay1))
			holder <- err
		}()
		<-gone
		begin := time.Now()
		wantError(t, p, b, pay1, dedupe.ErrInProgress)
		if waited := time.Since(begin); waited != 10*time.Second {
			t.Errorf("waited %v", waited)
		}
		time.Sleep(15 * time.Second)
		want(t, p, b, pay1, `"run 2"`) // waits for the rest of the lease
		if late := time.Since(begin); late != 30*time.Second {
			t.Errorf("taken over after %v", late)
		}
		close(forever)
		if err := <-holder; !errors.Is(err, dedupe.ErrFenced) {
			t.Errorf("the holder: %v", err)
		}
		want(t, p, b, pay1, `"run 2"`) // the stale holder did not complete anything
		if n.Load() != 2 {
			t.Errorf("%d runs", n.Load())
		}
	})
}

func TestTheLeaseIsKeptAliveWhileTheNodeRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		p := one(t, ExactlyOnce, func(ctx context.Context, in payment) (string, error) {
			time.Sleep(2 * time.Minute)
			return fmt.Sprint("run ", n.Add(1)), ctx.Err()
		})
		b := memory()
		done := make(chan struct{})
		go func() { want(t, p, b, pay1, `"run 1"`); close(done) }()
		time.Sleep(100 * time.Second)
		wantError(t, p, b, pay1, dedupe.ErrInProgress)
		<-done
		want(t, p, b, pay1, `"run 1"`)
	})
}

func TestDeadlineEndsARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, notices := range []bool{true, false} {
			done := make(chan struct{})
			p := one(t, ExactlyOnce, func(ctx context.Context, in payment) (string, error) {
				if notices {
					<-ctx.Done()
					time.Sleep(grace / 2) // time to clean up
					return "", context.Cause(ctx)
				}
				time.Sleep(10 * time.Second)
				defer close(done)
				return "late", nil
			})
			b := memory()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			begin := time.Now()
			_, err := p.Run(ctx, b, []byte(pay1))
			cancel()
			if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took > 6*time.Second {
				t.Errorf("notices: %v: %v after %v", notices, err, took)
			}
			if notices {
				// The call to the processor may have had an effect.
				wantError(t, p, b, pay1, dedupe.ErrInProgress)
			} else {
				<-done
				// The work continued within its lease, and counts.
				want(t, p, b, pay1, `"late"`)
			}
		}
	})
}

func TestARunWhoseContextHasEndedDoesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := New("two").Node("first", Pure, Strict).Node("second", Effectful, Stable).Edge("first", "second", AtLeastOnce)
	p, err := Compile(f, map[string]Handler{
		"first":  Func(func(context.Context, int) (int, error) { cancel(); return 1, nil }),
		"second": Func(func(context.Context, int) (int, error) { t.Error("it ran"); return 1, nil }),
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Run(ctx, nil, []byte("1")); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAtMostOnceNeverBeginsTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		b := memory()
		want(t, one(t, AtMostOnce, counted(&n, nil)), b, pay1, `"run 1"`)
		wantError(t, one(t, AtMostOnce, counted(&n, nil)), b, pay1, ErrBegun)
		wantError(t, one(t, AtMostOnce, counted(&n, nil)), b, `{"id":"pay_1","amount":2}`, dedupe.ErrMismatch)

		failure := errors.New("no connection")
		failing := one(t, AtMostOnce, counted(&n, failure))
		wantError(t, failing, b, `{"id":"pay_2"}`, failure)
		// Even long after its lease it does not run again.
		time.Sleep(2 * time.Minute)
		wantError(t, failing, b, `{"id":"pay_2"}`, ErrBegun)
		if n.Load() != 2 {
			t.Errorf("%d runs", n.Load())
		}
		time.Sleep(MinTTL)
		// The key is forgotten.
		wantError(t, failing, b, `{"id":"pay_2"}`, failure)
	})
}

func TestAtMostOnceHasBegunBeforeTheNodeRuns(t *testing.T) {
	b := memory()
	var p *Program
	p = one(t, AtMostOnce, func(ctx context.Context, in payment) (string, error) {
		wantError(t, p, b, pay1, ErrBegun)
		if claim, ok := ClaimOf(ctx); !ok || claim.Fence != 1 {
			t.Errorf("%+v", claim)
		}
		return "done", nil
	})
	want(t, p, b, pay1, `"done"`)
}

func TestAtMostOnceOf100Callers(t *testing.T) {
	var n, ok, begun atomic.Int64
	p, b := one(t, AtMostOnce, counted(&n, nil)), memory()
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			switch _, err := p.Run(t.Context(), b, []byte(pay1)); {
			case err == nil:
				ok.Add(1)
			case errors.Is(err, ErrBegun):
				begun.Add(1)
			}
		})
	}
	wg.Wait()
	if n.Load() != 1 || ok.Load() != 1 || begun.Load() != 99 {
		t.Errorf("%d runs, %d outputs, %d refusals", n.Load(), ok.Load(), begun.Load())
	}
}

// unanswered is a ledger whose Complete succeeds but returns an error.
type unanswered struct{ dedupe.Ledger }

func (u unanswered) Complete(ctx context.Context, c dedupe.Claim, result []byte) error {
	return errors.Join(u.Ledger.Complete(ctx, c, result), &dedupe.Error{Op: "Complete", Err: dedupe.ErrUnknownOutcome})
}

func TestAmbiguousOutputIsReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		p, l := one(t, ExactlyOnce, counted(&n, nil)), memdedupe.NewLedger(nil)
		// It must not return the output: the ledger may have kept another one.
		wantError(t, p, Bindings{Dedupe: unanswered{l}}, pay1, dedupe.ErrUnknownOutcome)
		want(t, p, Bindings{Dedupe: l}, pay1, `"run 1"`)
	})
}

func TestAtMostOnceDoesNotRunOnAnUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		wantError(t, one(t, AtMostOnce, counted(&n, nil)), Bindings{Dedupe: unanswered{memdedupe.NewLedger(nil)}}, pay1, dedupe.ErrUnknownOutcome)
		if n.Load() != 0 {
			t.Error("it ran")
		}
	})
}

func TestAtLeastOnceClaimsNothing(t *testing.T) {
	var n atomic.Int64
	p, b := one(t, AtLeastOnce, counted(&n, nil)), memory()
	want(t, p, b, pay1, `"run 1"`)
	want(t, p, b, pay1, `"run 2"`)
}

func TestOutputThatCannotBeKeptDoesNotRepeatWork(t *testing.T) {
	var n atomic.Int64
	for name, out := range map[string]string{"large": strings.Repeat("x", dedupe.MaxResultSize-2), "small": strings.Repeat("x", dedupe.MaxResultSize-3)} {
		p, b := one(t, ExactlyOnce, func(context.Context, payment) (string, error) { n.Add(1); return out, nil }), memory()
		for range 2 {
			if name == "small" {
				want(t, p, b, pay1, `"`+out+`"`)
			} else {
				wantError(t, p, b, pay1, ErrOutput)
			}
		}
	}
	p, b := one(t, ExactlyOnce, counted(&n, nil)), memory()
	p.steps[1].handler = Handler{Run: func(context.Context, json.RawMessage) (json.RawMessage, error) { n.Add(1); return []byte("{"), nil }}
	wantError(t, p, b, pay1, ErrOutput)
	wantError(t, p, b, pay1, ErrOutput)
	if n.Load() != 3 {
		t.Errorf("%d runs", n.Load())
	}
}

func TestPanicIsAnErrorAndKeepsTheClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		p, b := one(t, ExactlyOnce, func(context.Context, payment) (string, error) {
			if n.Add(1) == 1 {
				panic("pay_1 is odd")
			}
			return "done", nil
		}), memory()
		_, err := p.Run(t.Context(), b, []byte(pay1))
		var e *PanicError
		if !errors.As(err, &e) || e.Value != "pay_1 is odd" || len(e.Stack) == 0 || strings.Contains(err.Error(), "pay_1") {
			t.Errorf("%v", err)
		}
		wantError(t, p, b, pay1, dedupe.ErrInProgress)
		time.Sleep(20 * time.Second)
		want(t, p, b, pay1, `"done"`)
	})
}

func TestErrorsHaveNoPayload(t *testing.T) {
	p, b := one(t, ExactlyOnce, counted(new(atomic.Int64), nil)), memory()
	for _, in := range []string{`{"id":"secret`, `{"id":["secret"]}`, `{"id":"secret","amount":"secret"}`, `{"id":"secret` + strings.Repeat("k", 2048) + `"}`} {
		if _, err := p.Run(t.Context(), b, []byte(in)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%v", err)
		}
	}
}

func TestPointers(t *testing.T) {
	value, err := decode([]byte(`{"a":{"b/c":[10,{"~":"x"}]},"":{"":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	for pointer, want := range map[string]string{"/a/b~1c/0": "10", "/a/b~1c/1/~0": "x", "//": "1", "/a/b~1c/2": "none", "/a/b~1c/00": "none", "/a/b~1c/-1": "none",
		"/a/b~1c/x": "none", "/b": "none", "/a/b~1c/0/0": "none"} {
		got, ok := lookup(value, pointer)
		if !isPointer(pointer) || ok != (want != "none") || ok && fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v; want %s", pointer, got, ok, want)
		}
	}
}

func FuzzKey(f *testing.F) {
	f.Add("/id", pay1)
	f.Add("/a/0/~1", `{"a":[{"/":7}]}`)
	f.Fuzz(func(t *testing.T, pointer, in string) {
		text, err := canonical([]byte(in))
		if err != nil || !isPointer(pointer) {
			return
		}
		if again, err := canonical(text); err != nil || string(again) != string(text) {
			t.Errorf("%s is not canonical: %s, %v", text, again, err)
		}
		key, err := (&Program{name: "f"}).key(&Node{Name: "n", Idempotency: &Idempotency{Key: pointer}}, text)
		if (key == nil) != (err != nil) || err != nil && !errors.Is(err, ErrNoKey) {
			t.Errorf("%s, %v", key, err)
		}
	})
}
