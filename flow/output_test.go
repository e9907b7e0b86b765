//go:build !js

package flow

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/memdedupe"
	"flow.internal/capdo/flow/flowseal"
)

// results notes what a ledger stores.
type results struct {
	dedupe.Ledger
	stored *[][]byte
}

func (r results) Complete(ctx context.Context, c dedupe.Claim, result []byte) error {
	*r.stored = append(*r.stored, result)
	return r.Ledger.Complete(ctx, c, result)
}

// newSealedWorld is a world that notes what both ledgers store.
func newSealedWorld(t *testing.T) (*world, *[][]byte) {
	w, stored := newWorld(t, nil), &[][]byte{}
	w.keys, w.nodes, w.runs = parseKeys(t, "aaaa"), results{w.nodes, stored}, results{w.runs, stored}
	return w, stored
}

func TestOutputsAreSealedAndReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, stored := newSealedWorld(t)
		w.number = func(context.Context) error { return w.die() }
		if _, err := w.run(pay1); err == nil {
			t.Error("it died, and there is an answer")
		}
		w.number = nil
		w.ring(time.Minute)
		w.want(1, 2, 0)
		w.keys = parseKeys(t, "bbbb", "aaaa")
		if out, err := w.run(pay1); out != `"receipt 1"` || err != nil {
			t.Errorf("with a new key: %s, %v", out, err)
		}
		w.want(1, 3, 0)
		if out, err := w.run(`{"id":"pay_2","amount":1}`); out != `"receipt 1"` || err != nil {
			t.Errorf("sealed by the new key: %s, %v", out, err)
		}
		sealed := 0
		for _, b := range *stored {
			if bytes.Contains(b, []byte("receipt")) || bytes.Contains(b, []byte("pay_")) {
				t.Errorf("stored: %q", b)
			}
			if b[0] == markSealed {
				sealed++
			}
		}
		if sealed != 2 {
			t.Errorf("%d outputs are sealed", sealed)
		}
	})
}

func TestUnreadableOutputDoesNotRepeatWork(t *testing.T) {
	other, err := flowseal.ParseKeys("aaaa:" + base64.StdEncoding.EncodeToString(make([]byte, flowseal.KeySize)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		keys Sealer
		want error
	}{{parseKeys(t, "bbbb"), flowseal.ErrUnknownKey}, {other, flowseal.ErrOpen}, {Unsealed{}, ErrSealed}} {
		synctest.Test(t, func(t *testing.T) {
			w, _ := newSealedWorld(t)
			if _, err := w.run(pay1); err != nil {
				t.Fatal(err)
			}
			before := w.keys
			w.keys = c.keys
			var node *NodeError
			if _, err := w.run(pay1); !errors.Is(err, c.want) || !errors.As(err, &node) || node.Node != "charge" || node.Unknown {
				t.Errorf("%v, want %v", err, c.want)
			}
			w.want(1, 1, 0)
			w.ring(3 * time.Hour) // it may have been the keys: it is taken up, and given up
			if w.want(1, 1, 1); !errors.Is(w.deadLetters[0].Err, c.want) || w.deadLetters[0].Input == nil {
				t.Errorf("%+v", w.deadLetters[0])
			}
			w.keys = before
			if out, err := w.run(pay1); out != `"receipt 1"` || err != nil {
				t.Errorf("with the key again: %s, %v", out, err)
			}
		})
	}
}

func TestUnsealedOutputsAreReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, stored := newSealedWorld(t)
		keys := w.keys
		w.keys = Unsealed{}
		w.run(pay1)
		if got := (*stored)[1]; string(got) != `="receipt"` {
			t.Errorf("stored: %q", got)
		}
		w.keys = keys
		if out, err := w.run(pay1); out != `"receipt 1"` || err != nil {
			t.Errorf("%s, %v", out, err)
		}
		w.want(1, 2, 0)
	})
}

// once is a program of two nodes without a recovery, the second exactly once.
func once(t *testing.T, work Handler) *Program {
	t.Helper()
	f := New("f").Node("in", Pure, Strict).
		Node("work", Effectful, BestEffort, Idempotent("/id", "", time.Hour), Requires(Dedupe), Requires("vault")).
		Edge("in", "work", ExactlyOnce)
	p, err := Compile(f, map[string]Handler{"in": echo(), "work": work}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFailedSealDoesNotRepeatWork(t *testing.T) {
	ran := 0
	p := once(t, Func(func(context.Context, payment) (string, error) { ran++; return "done", nil }))
	b := Bindings{Dedupe: memdedupe.NewLedger(nil), "vault": 1, Keys: (*flowseal.Keys)(nil)}
	for range 2 {
		_, err := p.Run(t.Context(), b, []byte(pay1))
		if !errors.Is(err, ErrOutput) || ran != 1 {
			t.Errorf("%v after %d runs", err, ran)
		}
	}
}

func TestMissingKeysAreAnError(t *testing.T) {
	p := once(t, Func(func(context.Context, payment) (string, error) { return "", errors.New("it ran") }))
	for _, c := range []struct {
		keys any
		want Code
	}{{errors.New("no secret"), CodeNotBound}, {nil, CodeNotBound}, {"a key", CodeWrongType}} {
		b := Bindings{Dedupe: memdedupe.NewLedger(nil), "vault": 1, Keys: c.keys}
		_, err := p.Run(t.Context(), b, []byte(pay1))
		var invalid *InvalidError
		if !errors.As(err, &invalid) || len(invalid.Findings) != 1 || invalid.Findings[0].Code != c.want {
			t.Errorf("%v: %v", c.keys, err)
		}
	}
}

func TestOutputsThatAreKeptOutAreRestored(t *testing.T) {
	for name, keys := range map[string]Sealer{"in clear": Unsealed{}, "sealed": parseKeys(t, "aaaa")} {
		vault, ran := map[string]string{}, 0
		work := Func(func(ctx context.Context, p payment) (string, error) {
			ran++
			v, err := Resource[map[string]string](ctx, "vault")
			v["token"] = "card 4242"
			return v["token"], err
		})
		work.Keep = func(out json.RawMessage) (json.RawMessage, error) {
			if string(out) != `"card 4242"` {
				t.Errorf("%s: Keep is given %s", name, out)
			}
			return []byte(`"token"`), nil
		}
		work.Restore = func(ctx context.Context, kept json.RawMessage) (json.RawMessage, error) {
			v, err := Resource[map[string]string](ctx, "vault")
			var token string
			return []byte(`"` + v["token"] + `"`), errors.Join(err, json.Unmarshal(kept, &token))
		}
		p, stored := once(t, work), &[][]byte{}
		b := Bindings{Dedupe: results{memdedupe.NewLedger(nil), stored}, "vault": vault, Keys: keys}
		for range 3 {
			if out, err := p.Run(t.Context(), b, []byte(pay1)); string(out) != `"card 4242"` || err != nil || ran != 1 {
				t.Errorf("%s: %s, %v after %d runs", name, out, err, ran)
			}
		}
		if got := (*stored)[0]; bytes.Contains(got, []byte("4242")) || name == "in clear" && string(got) != `-="token"` {
			t.Errorf("%s: stored %q", name, got)
		}
		vault["token"] = `"` // no JSON any more
		if _, err := p.Run(t.Context(), b, []byte(pay1)); !errors.Is(err, ErrOutput) {
			t.Errorf("%s: %v", name, err)
		}
		p.steps[1].handler.Keep, p.steps[1].handler.Restore = nil, nil
		if _, err := p.Run(t.Context(), b, []byte(pay1)); !errors.Is(err, ErrOutput) || ran != 1 {
			t.Errorf("%s: without Restore: %v", name, err)
		}
	}
}

func TestAFailureOfKeepIsAnOutputThatCannotBeKept(t *testing.T) {
	ran, boom := 0, errors.New("boom")
	work := Func(func(context.Context, payment) (string, error) { ran++; return "done", nil })
	work.Keep = func(json.RawMessage) (json.RawMessage, error) { return nil, boom }
	work.Restore = func(context.Context, json.RawMessage) (json.RawMessage, error) { return nil, boom }
	p, b := once(t, work), Bindings{Dedupe: memdedupe.NewLedger(nil), "vault": 1}
	for n := range 2 {
		_, err := p.Run(t.Context(), b, []byte(pay1))
		if !errors.Is(err, ErrOutput) || errors.Is(err, boom) != (n == 0) || ran != 1 {
			t.Errorf("%v after %d runs", err, ran)
		}
	}
}

// sealedOutputs stores a node's output under a key.
func sealedOutputs(keys Sealer, key string) *outputs {
	return newOutputs(&step{node: &Node{Name: "n"}}, Bindings{Keys: keys}, []byte(key))
}

func TestAnOutputCannotBeMoved(t *testing.T) {
	keys := parseKeys(t, "aaaa")
	one, two := sealedOutputs(keys, "one"), sealedOutputs(keys, "two")
	result, err := one.encode([]byte(`"out"`))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := one.decode(t.Context(), result); string(out) != `"out"` || err != nil {
		t.Errorf("%s, %v", out, err)
	}
	if out, err := two.decode(t.Context(), result); !errors.Is(err, flowseal.ErrOpen) || out != nil {
		t.Errorf("another key's: %s, %v", out, err)
	}
	if out, err := one.decode(t.Context(), append([]byte{markKept}, result...)); !errors.Is(err, flowseal.ErrOpen) || out != nil {
		t.Errorf("as if it was kept: %s, %v", out, err)
	}
	for i := range result[1:] {
		changed := bytes.Clone(result)
		changed[1+i] ^= 1
		if out, err := one.decode(t.Context(), changed); err == nil || out != nil {
			t.Errorf("byte %d changed: %s, %v", 1+i, out, err)
		}
	}
}

func TestSealedOutputsAreBounded(t *testing.T) {
	const overhead = 1 + 2 + 4 + 12 + 16 // mark; version, size of the id, id; nonce; tag
	for name, c := range map[string]struct {
		keys Sealer
		most int
	}{"in clear": {Unsealed{}, dedupe.MaxResultSize - 1}, "sealed": {parseKeys(t, "aaaa"), dedupe.MaxResultSize - overhead}} {
		o := sealedOutputs(c.keys, "key")
		result, err := o.encode([]byte(strings.Repeat("1", c.most)))
		if err != nil || len(result) != dedupe.MaxResultSize {
			t.Errorf("%s: %d bytes, %v", name, len(result), err)
		}
		if out, err := o.decode(t.Context(), result); len(out) != c.most || err != nil {
			t.Errorf("%s: %d bytes, %v", name, len(out), err)
		}
		if _, err := o.encode([]byte(strings.Repeat("1", c.most+1))); !errors.Is(err, ErrOutput) {
			t.Errorf("%s: one more: %v", name, err)
		}
	}
}
