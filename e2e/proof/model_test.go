//go:build !js

package proof

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// input is an operation on a key.
type input struct {
	target, key string
	op          string // put, claim, complete, extend, release, forget
	owner       string // of a put: its own
	fence       int64
	result      string
}

// output is what its caller was told: nothing, if unknown.
type output struct {
	unknown  bool
	status   string
	inserted bool
	outcome  string
	fence    int64
	result   string
}

type phase string

const (
	absent phase = "absent"
	free   phase = "free" // released
	held   phase = "held"
	done   phase = "done"
)

// state is what the model knows of a key.
type state struct {
	phase  phase
	owner  string
	fence  int64 // 0 if nobody was told it yet
	least  int64 // the largest fence that somebody was told: the next is larger
	result string
}

// step returns the states that an operation with that output may lead to. If it is unknown it may have happened or not.
func (s state) step(in input, out output) []state {
	var next []state
	for _, a := range s.apply(in, out) {
		if out.unknown || a.fits(out) {
			next = append(next, a.next)
		}
	}
	if out.unknown && !slices.Contains(next, s) {
		next = append(next, s)
	}
	return next
}

// alternative is what may become of an operation.
type alternative struct {
	output
	next state
}

func (a *alternative) fits(out output) bool {
	return a.status == out.status && a.inserted == out.inserted && a.outcome == out.outcome && a.fence == out.fence && a.result == out.result
}

func (s state) apply(in input, out output) []alternative {
	switch in.op {
	case "put":
		return s.put(in)
	case "forget":
		return []alternative{{output{status: "ok"}, state{phase: absent, least: s.least}}}
	case "claim":
		return s.claim(in, out)
	}
	return s.change(in)
}

func (s state) put(in input) []alternative {
	if s.phase == absent {
		return []alternative{{output{status: "ok", inserted: true}, state{phase: held, owner: in.owner}}}
	}
	return []alternative{{output{status: "ok", inserted: s.owner == in.owner}, s}}
}

// claim acquires, also from a holder whose lease may be over: the model does not know the time, only which ledger has leases that end.
func (s state) claim(in input, out output) (list []alternative) {
	add := func(outcome string, fence int64, result string, next state) {
		list = append(list, alternative{output{status: "ok", outcome: outcome, fence: fence, result: result}, next})
	}
	switch {
	case s.phase == done:
		add("replay", 0, s.result, s)
		return list
	case s.phase == held && s.owner != in.owner:
		add("in progress", 0, "", s)
	case s.phase == held && s.fence != 0:
		add("acquired", s.fence, "", s)
	}
	if len(list) > 0 && in.target != "leases" || !out.unknown && out.fence <= s.least {
		return list
	}
	add("acquired", out.fence, "", state{phase: held, owner: in.owner, fence: out.fence, least: max(s.least, out.fence)})
	return list
}

// change completes, extends or releases. Where nobody was told the present fence, it may be the one that the caller has.
func (s state) change(in input) []alternative {
	to := state{phase: free, owner: in.owner, fence: in.fence, least: max(s.least, in.fence)}
	switch in.op {
	case "complete":
		to.phase, to.result = done, in.result
	case "extend":
		to.phase = held
	}
	mine := s.owner == in.owner && s.fence == in.fence
	perhaps := s.phase == held && s.owner == in.owner && s.fence == 0 && in.fence > s.least
	fenced := alternative{output{status: "fenced"}, s}
	switch {
	case mine && s.phase == to.phase:
		return []alternative{{output{status: "ok"}, s}}
	case mine && s.phase == held:
		return []alternative{{output{status: "ok"}, to}}
	case perhaps:
		return []alternative{{output{status: "ok"}, to}, fenced}
	}
	return []alternative{fenced}
}

var model = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{state{phase: absent}} },
	Step: func(s, in, out any) []any {
		var next []any
		for _, n := range s.(state).step(in.(input), out.(output)) {
			next = append(next, n)
		}
		return next
	},
}).ToModel()

// never is when a call returns whose outcome is unknown: it may take effect until the end.
const never = math.MaxInt64

// verdict is what the checker says of a history.
type verdict struct {
	keys     int
	bad      []porcupine.Operation // the history of a key that no order explains
	timeouts int
}

func (v *verdict) String() string {
	switch {
	case v.bad != nil:
		return "not linearizable:\n" + describe(v.bad)
	case v.timeouts > 0:
		return fmt.Sprintf("undecided for %d of %d keys", v.timeouts, v.keys)
	}
	return fmt.Sprintf("linearizable, %d keys", v.keys)
}

// check judges each key's history by itself.
func check(history []porcupine.Operation) *verdict {
	byKey := map[string][]porcupine.Operation{}
	for _, o := range history {
		in := o.Input.(input)
		byKey[in.target+"/"+in.key] = append(byKey[in.target+"/"+in.key], o)
	}
	v := &verdict{keys: len(byKey)}
	for _, ops := range byKey {
		switch porcupine.CheckOperationsTimeout(model, ops, 20*time.Second) {
		case porcupine.Illegal:
			if v.bad == nil || len(ops) < len(v.bad) {
				v.bad = ops
			}
		case porcupine.Unknown:
			v.timeouts++
		}
	}
	return v
}

func describe(ops []porcupine.Operation) string {
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var b strings.Builder
	for _, o := range ops {
		returned := "unknown"
		if o.Return != never {
			returned = time.Duration(o.Return).String()
		}
		fmt.Fprintf(&b, "  %v to %s: %+v -> %+v\n", time.Duration(o.Call), returned, o.Input, o.Output)
	}
	return b.String()
}

// sequence makes a history of operations one after the other.
func sequence(steps ...porcupine.Operation) []porcupine.Operation {
	for i := range steps {
		steps[i].Call, steps[i].Return = int64(10*i), int64(10*i+5)
		if steps[i].Output.(output).unknown {
			steps[i].Return = never
		}
	}
	return steps
}

// leases is sequence for a ledger whose leases end.
func leases(steps ...porcupine.Operation) []porcupine.Operation {
	for i, o := range steps {
		in := o.Input.(input)
		in.target = "leases"
		steps[i].Input = in
	}
	return sequence(steps...)
}

func did(op, owner string, fence int64, out output) porcupine.Operation {
	return porcupine.Operation{Input: input{op: op, owner: owner, fence: fence}, Output: out}
}

func TestCheckerTellsGoodHistoriesFromBadOnes(t *testing.T) {
	ok, fenced, unknown := output{status: "ok"}, output{status: "fenced"}, output{unknown: true}
	won := output{status: "ok", inserted: true}
	got := func(fence int64) output { return output{status: "ok", outcome: "acquired", fence: fence} }
	busy, replay := output{status: "ok", outcome: "in progress"}, output{status: "ok", outcome: "replay"}
	for _, c := range []struct {
		name string
		good bool
		ops  []porcupine.Operation
	}{
		{"one winner", true, sequence(did("put", "a", 0, won), did("put", "b", 0, ok))},
		{"two winners", false, sequence(did("put", "a", 0, won), did("put", "b", 0, won))},
		{"no winner", false, sequence(did("put", "a", 0, ok))},
		{"an unknown winner", true, sequence(did("put", "a", 0, unknown), did("put", "b", 0, ok))},
		{"an unknown loser", true, sequence(did("put", "a", 0, unknown), did("put", "b", 0, won))},
		{"a winner forgotten", true, sequence(did("put", "a", 0, won), did("forget", "", 0, ok), did("put", "b", 0, won))},
		{"a winner perhaps forgotten", true, sequence(did("put", "a", 0, won), did("forget", "", 0, unknown), did("put", "b", 0, won))},
		{"an unknown forget explains one winner only", false,
			sequence(did("put", "a", 0, won), did("forget", "", 0, unknown), did("put", "b", 0, won), did("put", "c", 0, won))},
		{"a claim completed", true, sequence(did("claim", "a", 0, got(1)), did("claim", "b", 0, busy), did("complete", "a", 1, ok), did("claim", "b", 0, replay))},
		{"a completed claim that is acquired", false, sequence(did("claim", "a", 0, got(1)), did("complete", "a", 1, ok), did("claim", "b", 0, got(2)))},
		{"a stale completion refused", true, sequence(did("claim", "a", 0, got(1)), did("forget", "", 0, ok), did("claim", "b", 0, got(2)), did("complete", "a", 1, fenced))},
		{"a stale completion accepted", false, sequence(did("claim", "a", 0, got(1)), did("forget", "", 0, ok), did("claim", "b", 0, got(2)), did("complete", "a", 1, ok))},
		{"a stale release accepted", false, sequence(did("claim", "a", 0, got(1)), did("release", "a", 1, ok), did("claim", "b", 0, got(2)), did("release", "a", 1, ok))},
		{"a fence that does not grow", false, sequence(did("claim", "a", 0, got(1)), did("forget", "", 0, ok), did("claim", "b", 0, got(1)))},
		{"an extension", true, sequence(did("claim", "a", 0, got(1)), did("extend", "a", 1, ok), did("release", "a", 1, ok), did("extend", "a", 1, fenced))},
		{"a completed claim extended", false, sequence(did("claim", "a", 0, got(1)), did("complete", "a", 1, ok), did("extend", "a", 1, ok))},
		{"a lease taken over", true, leases(did("claim", "a", 0, got(1)), did("claim", "b", 0, got(2)), did("complete", "a", 1, fenced), did("complete", "b", 2, ok))},
		{"a lease taken over, and the stale holder completes", false, leases(did("claim", "a", 0, got(1)), did("claim", "b", 0, got(2)), did("complete", "a", 1, ok))},
		{"a lease taken over with the same fence", false, leases(did("claim", "a", 0, got(1)), did("claim", "b", 0, got(1)))},
		{"a lease taken over before its end", false, sequence(did("claim", "a", 0, got(1)), did("claim", "b", 0, got(2)))},
		{"an unknown claim repeated", true, sequence(did("claim", "a", 0, unknown), did("claim", "b", 0, busy), did("claim", "a", 0, got(1)), did("complete", "a", 1, ok))},
		{"an unknown claim that another overtakes", false, sequence(did("claim", "a", 0, unknown), did("claim", "b", 0, busy), did("claim", "c", 0, got(1)))},
		{"an unknown completion", true, sequence(did("claim", "a", 0, got(1)), did("complete", "a", 1, unknown), did("claim", "b", 0, replay))},
	} {
		if v := check(c.ops); (v.bad == nil) != c.good || v.timeouts > 0 {
			t.Errorf("%s: %v", c.name, v)
		}
	}
}
