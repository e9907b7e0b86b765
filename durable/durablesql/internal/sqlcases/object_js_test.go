package sqlcases

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablesql"
	"flow.internal/capdo/durable/durabletest"
)

// TestCasesInAnObject compares the results with the native ones. The
// differences must be exactly the known ones.
func TestCasesInAnObject(t *testing.T) {
	native := readGolden(t)
	known := map[[2]string]Difference{}
	for _, d := range Differences {
		known[[2]string{d.Case, d.Call}] = d
	}
	for _, c := range Cases {
		t.Run(c.Name, func(t *testing.T) {
			durabletest.Run(t, durabletest.New(t, durabletest.SQLite), func(ctx context.Context, state *durable.State) {
				compare(t, c.Name, native[c.Name], Run(ctx, durablesql.Open(state), c, kindOfHere), known)
			})
		})
	}
	for _, d := range known {
		t.Errorf("%s: %s\nhas no difference", d.Case, d.Call)
	}
}

func compare(t *testing.T, name string, native, here []Step, known map[[2]string]Difference) {
	if len(native) != len(here) {
		t.Fatalf("%d steps, natively %d; hint: run the native test with -update", len(here), len(native))
	}
	seen := map[string]int{}
	for i, s := range here {
		call, result := short(s.Call), short(s.Result)
		if call != native[i].Call {
			t.Fatalf("step %d is %s, natively %s", i, call, native[i].Call)
		}
		if seen[call]++; seen[call] > 1 {
			call = fmt.Sprintf("%s (%d)", call, seen[call])
		}
		key := [2]string{name, call}
		switch d, ok := known[key]; {
		case ok && d.Native == native[i].Result && d.Here == result:
			delete(known, key)
		case result != native[i].Result:
			t.Errorf("%s\n  here    %s\n  native  %s", call, result, native[i].Result)
		}
	}
}

func kindOfHere(err error) string {
	var e *durable.SQLError
	switch {
	case errors.As(err, &e) && e.Constraint != "":
		return string(e.Constraint)
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, durablesql.ErrTransactionOpen):
		return "ErrTransactionOpen"
	case errors.Is(err, durable.ErrValue):
		return "ErrValue"
	case errors.Is(err, durable.ErrLimit):
		return "ErrLimit"
	case strings.Contains(err.Error(), "state.storage.transaction"):
		return "the platform refuses it"
	}
	return "refused"
}
