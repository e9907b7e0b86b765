package durable_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// query is the argument of a typed method.
type query struct {
	ID    string `json:"id"`
	Limit int    `json:"limit"`
}

// callback is a type that cannot cross to JavaScript.
type callback struct{ F func() }

var (
	find   = durable.NewMethod[query, []payment]("find")
	empty  = durable.NewMethod[struct{}, struct{}]("empty")
	refuse = durable.NewMethod[int, callback]("refuse")
)

func (Ledger) Find(_ context.Context, q query) ([]payment, error) {
	found := make([]payment, q.Limit)
	for i := range found {
		found[i] = payment{ID: fmt.Sprint(q.ID, i), Raw: []byte{}, Tags: []string{}, Labels: map[string]int{}}
	}
	return found, nil
}

func (Ledger) Empty(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil }

// Errors whose names cross calls, and one without a name.
var (
	errSoldOut  = errors.New("sold out")
	errFunds    = errors.New("no funds")
	errNameless = errors.New("nameless")

	// elsewhere comes from a program that registered an error which this one
	// did not.
	elsewhere = &durable.Error{Name: "Error", Message: "elsewhere", Props: map[string]any{"durableError": "other.name"}}
)

func init() {
	durable.RegisterError("shop.sold-out", errSoldOut)
	durable.RegisterError("shop.funds", errFunds)
}

// Refuse fails with two errors, after it has called n further objects.
func (l Ledger) Refuse(ctx context.Context, n int) (callback, error) {
	switch {
	case n == -2:
		return callback{}, errSoldOut
	case n < 0:
		return callback{func() {}}, nil
	case n == 0:
		return callback{}, fmt.Errorf("refused: %w", errors.Join(errSoldOut, errFunds, errNameless, elsewhere))
	}
	stub := l.env.Object("LEDGER", fmt.Sprint("refuse", n))
	_, err := refuse.Call(ctx, stub, n-1)
	return callback{}, fmt.Errorf("passed on: %w", err)
}

func TestTypedMethodsCarryTheirTypes(t *testing.T) {
	stub := durabletest.New(t, "LEDGER")
	want, _ := Ledger{}.Find(t.Context(), query{"p", 2})
	got, err := find.Call(t.Context(), stub, query{"p", 2})
	if err != nil || len(got) != 2 || got[1].ID != "p1" {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got))
	}
	if _, err := empty.Call(t.Context(), stub, struct{}{}); err != nil {
		t.Errorf("without an argument and a result: %v", err)
	}
	if _, err := durable.Call[struct{}](t.Context(), stub, "empty"); err != nil {
		t.Errorf("as JavaScript calls it: %v", err)
	}
	if find.Name() != "find" {
		t.Errorf("its name is %s", find.Name())
	}
}

func TestTypedMethodsSayWhatDoesNotFit(t *testing.T) {
	stub, ctx := durabletest.New(t, "LEDGER"), t.Context()
	tests := []struct {
		name string
		call func() error
		text string
		is   error
	}{
		{"the argument, at the object", func() error {
			_, err := durable.NewMethod[map[string]any, []payment]("find").Call(ctx, stub, map[string]any{"limit": "2"})
			return err
		}, "Ledger.find: argument: durable: a string does not fit Go's int unchanged (at .limit)", durable.ErrRemote},
		{"the argument, at the caller", func() error {
			_, err := durable.NewMethod[callback, []payment]("find").Call(ctx, stub, callback{func() {}})
			return err
		}, "find: argument: durable: Go's func() has no equivalent in JavaScript (at .F)", durable.ErrValue},
		{"the result, at the caller", func() error {
			_, err := durable.NewMethod[query, int]("find").Call(ctx, stub, query{"p", 1})
			return err
		}, "find: result: durable: an array does not fit Go's int unchanged", durable.ErrValue},
		{"the result, at the object", func() error {
			_, err := refuse.Call(ctx, stub, -1)
			return err
		}, "Ledger.refuse: result: durable: Go's func() has no equivalent in JavaScript (at .F)", durable.ErrRemote},
		{"two arguments", func() error { _, err := durable.Call[int](ctx, stub, "refuse", 1, 2); return err },
			"Ledger.refuse: argument: durable: the method takes one argument", durable.ErrRemote},
	}
	for _, tt := range tests {
		if err := tt.call(); err == nil || err.Error() != tt.text || !errors.Is(err, tt.is) {
			t.Errorf("%s: %v\nwant %s", tt.name, err, tt.text)
		}
	}
}

func TestRegisteredErrorsCrossCalls(t *testing.T) {
	for hops := range 3 {
		_, err := refuse.Call(t.Context(), durabletest.New(t, "LEDGER"), hops)
		if !errors.Is(err, errSoldOut) || !errors.Is(err, errFunds) || !errors.Is(err, durable.ErrRemote) || errors.Is(err, errNameless) {
			t.Errorf("over %d hops: %v", hops, err)
		}
		var e *durable.Error
		if !errors.As(err, &e) || e.Props["durableError"] != "other.name shop.sold-out shop.funds" {
			t.Errorf("over %d hops: %#v", hops, err)
		}
	}
	_, err := refuse.Call(t.Context(), durabletest.New(t, "LEDGER"), -2)
	if !errors.Is(err, errSoldOut) || errors.Is(err, errFunds) || err.Error() != "sold out" {
		t.Errorf("a registered error alone: %#v", err)
	}
	_, err = durable.Call[string](t.Context(), durabletest.New(t, "LEDGER"), "decline")
	if errors.Is(err, errSoldOut) || !errors.Is(err, durable.ErrRemote) {
		t.Errorf("another error: %v", err)
	}
}

func TestErrorsAreRegisteredOnce(t *testing.T) {
	for _, name := range []string{"", "two words", "shop.funds"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was registered", name)
				}
			}()
			durable.RegisterError(name, errNameless)
		}()
	}
}

// oddNames are names that mean something in JavaScript, but work as method
// names.
var oddNames = []string{"get", "put", "delete", "list", "queue", "scheduled", "email", "tail", "trace", "test", "map", "catch", "finally", "call", "apply", "bind",
	"length", "prototype", "arguments", "caller", "toJSON", "inspect", "dispose", "static", "async", "await", "yield", "new", "class", "import", "props", "self",
	"state", "storage", "go", "method", "eval", "undefined", "NaN", "symbol", "iterator", "next", "return", "close", "accept", "abort", "jurisdiction", "equals", "$", "_"}

func TestOddNamesOfMethodsWork(t *testing.T) {
	stub := durabletest.New(t, "LEDGER")
	for _, name := range oddNames {
		if got, err := durable.Call[string](t.Context(), stub, name); got != name || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
