//go:build !js

package proof

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"flow.internal/capdo/dedupe"
)

// sequence makes a history of operations one after another, 10 ms apart, on a
// key that is remembered and held for an hour.
func sequence(steps ...porcupine.Operation) []porcupine.Operation {
	for i := range steps {
		in, out := steps[i].Input.(input), steps[i].Output.(output)
		steps[i].Call, steps[i].Return = int64(10*i+1000), int64(10*i+1005)
		if out.unknown {
			steps[i].Return = never
		} else {
			out.to = steps[i].Return
		}
		in.from = steps[i].Call
		if in.ttl == 0 {
			in.ttl = hour
		}
		if in.lease == 0 {
			in.lease = hour
		}
		steps[i].Input, steps[i].Output = in, out
	}
	return steps
}

const hour = int64(time.Hour / time.Millisecond)

// with changes the inputs of a history's operations.
func with(change func(in *input), steps ...porcupine.Operation) []porcupine.Operation {
	for i, o := range steps {
		in := o.Input.(input)
		change(&in)
		steps[i].Input = in
	}
	return sequence(steps...)
}

// leases is sequence with leases of ms; windows is the same with windows.
func leases(ms int64, steps ...porcupine.Operation) []porcupine.Operation {
	return with(func(in *input) { in.lease = ms }, steps...)
}

func windows(ms int64, steps ...porcupine.Operation) []porcupine.Operation {
	return with(func(in *input) { in.ttl, in.lease = ms, 1 }, steps...)
}

func did(op, owner string, fence int64, out output) porcupine.Operation {
	return porcupine.Operation{Input: input{op: op, owner: owner, fence: fence}, Output: out}
}

// claims returns a claim with a fingerprint.
func claims(owner, fingerprint string, out output) porcupine.Operation {
	return porcupine.Operation{Input: input{op: "claim", owner: owner, fingerprint: fingerprint}, Output: out}
}

// rolled returns an operation in a transaction that is rolled back.
func rolled(o porcupine.Operation) porcupine.Operation {
	in := o.Input.(input)
	in.rollback = true
	o.Input = in
	return o
}

// large returns an operation whose result is too large to store.
func large(o porcupine.Operation) porcupine.Operation {
	in := o.Input.(input)
	in.size = dedupe.MaxResultSize + 1
	o.Input = in
	return o
}

// jumping returns a history with clocks that jump by ms.
func jumping(ms int64, steps ...porcupine.Operation) []porcupine.Operation {
	return with(func(in *input) { in.jumps = ms }, steps...)
}

// next returns a call of a sequencer.
func next(owner string, entry int, out output) porcupine.Operation {
	return porcupine.Operation{Input: input{target: "sequence", op: "next", owner: owner, entry: entry}, Output: out}
}

func TestCheckerTellsGoodHistoriesFromBadOnes(t *testing.T) {
	ok, fenced, unknown := output{status: "ok"}, output{status: "fenced"}, output{unknown: true}
	won, mismatch, gone := output{status: "ok", inserted: true}, output{status: "mismatch"}, output{status: "gone"}
	got := func(fence int64) output { return output{status: "ok", outcome: "acquired", fence: fence} }
	tooBig := output{status: "too large"}
	busy, replay := output{status: "ok", outcome: "in progress"}, output{status: "ok", outcome: "replay"}
	first := func(n int64) output { return output{status: "ok", number: n, inserted: true} }
	again := func(n int64) output { return output{status: "ok", number: n} }
	late := func(last porcupine.Operation) []porcupine.Operation { // completes shortly before the end of a window of 204 ms
		steps := []porcupine.Operation{did("claim", "a", 0, got(1))}
		for range 19 {
			steps = append(steps, did("extend", "a", 1, ok))
		}
		return windows(204, append(steps, did("complete", "a", 1, ok), last)...)
	}
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
		{"a winner that may be forgotten", true, sequence(did("put", "a", 0, won), did("forget", "", 0, unknown), did("put", "b", 0, won))},
		{"an unknown forget explains only one winner", false,
			sequence(did("put", "a", 0, won), did("forget", "", 0, unknown), did("put", "b", 0, won), did("put", "c", 0, won))},
		{"a claim completed", true, sequence(did("claim", "a", 0, got(1)), did("claim", "b", 0, busy), did("complete", "a", 1, ok), did("claim", "b", 0, replay))},
		{"a completed claim that is acquired", false, sequence(did("claim", "a", 0, got(1)), did("complete", "a", 1, ok), did("claim", "b", 0, got(2)))},
		{"a stale completion refused", true,
			sequence(did("claim", "a", 0, got(1)), did("forget", "", 0, ok), did("claim", "b", 0, got(2)), did("complete", "a", 1, fenced))},
		{"a stale completion accepted", false,
			sequence(did("claim", "a", 0, got(1)), did("forget", "", 0, ok), did("claim", "b", 0, got(2)), did("complete", "a", 1, ok))},
		{"a stale release accepted", false,
			sequence(did("claim", "a", 0, got(1)), did("release", "a", 1, ok), did("claim", "b", 0, got(2)), did("release", "a", 1, ok))},
		{"a fence that does not grow", false, sequence(did("claim", "a", 0, got(1)), did("forget", "", 0, ok), did("claim", "b", 0, got(1)))},
		{"an extension", true, sequence(did("claim", "a", 0, got(1)), did("extend", "a", 1, ok), did("release", "a", 1, ok), did("extend", "a", 1, fenced))},
		{"a completed claim extended", false, sequence(did("claim", "a", 0, got(1)), did("complete", "a", 1, ok), did("extend", "a", 1, ok))},
		{"a lease taken over", true,
			leases(12, did("claim", "a", 0, got(1)), did("claim", "b", 0, busy), did("claim", "b", 0, got(2)), did("complete", "a", 1, fenced), did("complete", "b", 2, ok))},
		{"a stale holder completes after a takeover", false,
			leases(8, did("claim", "a", 0, got(1)), did("claim", "b", 0, got(2)), did("complete", "a", 1, ok))},
		{"a lease taken over with the same fence", false, leases(8, did("claim", "a", 0, got(1)), did("claim", "b", 0, got(1)))},
		{"completion after the lease without a takeover", true,
			leases(8, did("claim", "a", 0, got(1)), did("forget", "", 0, unknown), did("complete", "a", 1, ok))},
		{"a lease that lasts too long", false, leases(8, did("claim", "a", 0, got(1)), did("extend", "a", 9, fenced), did("claim", "b", 0, busy))},
		{"a lease that was extended", true,
			leases(12, did("claim", "a", 0, got(1)), did("extend", "a", 1, ok), did("claim", "b", 0, busy), did("claim", "b", 0, got(2)))},
		{"an extension that had no effect", false, leases(19, did("claim", "a", 0, got(1)), did("extend", "a", 1, ok), did("claim", "b", 0, got(2)))},
		{"an unknown claim's lease that lasts too long", false,
			leases(15, did("claim", "a", 0, unknown), did("claim", "b", 0, busy), did("extend", "", 9, fenced), did("claim", "b", 0, busy))},
		{"a lease taken over before its end", false, sequence(did("claim", "a", 0, got(1)), did("claim", "b", 0, got(2)))},
		{"an unknown claim repeated", true,
			sequence(did("claim", "a", 0, unknown), did("claim", "b", 0, busy), did("claim", "a", 0, got(1)), did("complete", "a", 1, ok))},
		{"an unknown claim that another one overtakes", false, sequence(did("claim", "a", 0, unknown), did("claim", "b", 0, busy), did("claim", "c", 0, got(1)))},
		{"an unknown completion", true, sequence(did("claim", "a", 0, got(1)), did("complete", "a", 1, unknown), did("claim", "b", 0, replay))},
		{"a window that ended", true, windows(8, did("put", "a", 0, won), did("put", "b", 0, won))},
		{"a window that may have ended or not", true, windows(12, did("put", "a", 0, won), did("put", "b", 0, ok), did("put", "c", 0, won))},
		{"a window that ended early", false, windows(16, did("put", "a", 0, won), did("put", "b", 0, won))},
		{"a window that does not end", false, windows(14, did("put", "a", 0, won), did("put", "b", 0, ok), did("put", "c", 0, ok))},
		{"an unknown winner's window", false,
			windows(14, did("put", "a", 0, unknown), did("put", "b", 0, ok), did("forget", "", 0, unknown), did("put", "c", 0, ok))},
		{"a result kept for the window", true, windows(16, did("claim", "a", 0, got(1)), did("complete", "a", 1, ok), did("claim", "b", 0, got(2)))},
		{"a late result that is kept for a tenth of the window", true, late(did("claim", "b", 0, replay))},
		{"a late result that is forgotten with the window", false, late(did("claim", "b", 0, got(2)))},
		{"a completion that prolongs the window", false, windows(14, did("claim", "a", 0, got(1)), did("complete", "a", 1, ok), did("claim", "b", 0, replay))},
		{"a claim that prolongs the window", false,
			windows(34, did("claim", "a", 0, got(1)), did("release", "a", 1, ok), did("claim", "b", 0, got(2)), did("complete", "b", 2, ok), did("claim", "c", 0, replay))},
		{"a fence forgotten at the end of the window", false, windows(8, did("claim", "a", 0, got(5)), did("claim", "b", 0, got(5)))},
		{"another fingerprint", true,
			sequence(claims("a", "p", got(1)), claims("b", "q", mismatch), did("complete", "a", 1, ok), claims("b", "p", replay), claims("c", "q", mismatch))},
		{"another fingerprint after a release", true, sequence(claims("a", "p", got(1)), did("release", "a", 1, ok), claims("b", "q", got(2)))},
		{"another fingerprint is not noticed", false, sequence(claims("a", "p", got(1)), claims("b", "q", busy))},
		{"another fingerprint is not noticed after the completion", false,
			sequence(claims("a", "p", got(1)), did("complete", "a", 1, ok), claims("b", "q", replay))},
		{"the same fingerprint mismatches", false, sequence(claims("a", "p", got(1)), did("complete", "a", 1, ok), claims("b", "p", mismatch))},
		{"a mismatch of an absent key", false, sequence(claims("b", "q", mismatch))},
		{"a waiter has left", true,
			sequence(did("claim", "a", 0, got(1)), did("claim", "b", 0, gone), did("release", "a", 1, ok), did("claim", "c", 0, got(2)))},
		{"a waiter that has left holds the key", false,
			sequence(did("claim", "a", 0, got(1)), did("claim", "b", 0, gone), did("release", "a", 1, ok), did("claim", "c", 0, busy))},
		{"a claim rolled back", true, sequence(rolled(did("claim", "a", 0, got(1))), did("claim", "b", 0, got(2)))},
		{"a claim rolled back that stays", false, sequence(rolled(did("claim", "a", 0, got(1))), did("claim", "b", 0, busy))},
		{"a completion rolled back that stays", false,
			sequence(did("claim", "a", 0, got(1)), rolled(did("complete", "a", 1, ok)), did("claim", "b", 0, replay))},
		{"a transaction that sees a wrong state", false, sequence(did("claim", "a", 0, got(1)), rolled(did("claim", "b", 0, got(2))))},
		{"work done once", true, sequence(did("once", "a", 0, got(1)), did("once", "b", 0, replay), did("claim", "c", 0, replay))},
		{"work done twice", false, sequence(did("once", "a", 0, got(1)), did("once", "b", 0, got(2)))},
		{"work done while the key is held", false, sequence(did("claim", "a", 0, got(1)), did("once", "b", 0, got(2)))},
		{"a result that is too large", true, sequence(did("claim", "a", 0, got(1)), large(did("complete", "a", 1, tooBig)), did("claim", "b", 0, busy))},
		{"a stored result that is too large", false,
			sequence(did("claim", "a", 0, got(1)), large(did("complete", "a", 1, tooBig)), did("claim", "b", 0, replay))},
		{"an accepted result that is too large", false, sequence(did("claim", "a", 0, got(1)), large(did("complete", "a", 1, ok)))},
		{"a lease by a clock that jumps back", true, jumping(9, leases(8, did("claim", "a", 0, got(1)), did("claim", "b", 0, busy))...)},
		{"a lease by a clock that jumps forward", true, jumping(9, leases(18, did("claim", "a", 0, got(1)), did("claim", "b", 0, got(2)))...)},
		{"a lease that no jump explains", false, jumping(9, leases(50, did("claim", "a", 0, got(1)), did("claim", "b", 0, got(2)))...)},
		{"a fence that jumps back with the clock", false, jumping(9, leases(8, did("claim", "a", 0, got(2)), did("claim", "b", 0, got(1)))...)},
		{"a sequence", true, sequence(next("a", 0, first(1)), next("b", 1, first(2)), next("c", 0, again(1)), next("d", 2, first(3)))},
		{"a gap", false, sequence(next("a", 0, first(1)), next("b", 1, first(3)))},
		{"a number twice", false, sequence(next("a", 0, first(1)), next("b", 1, first(1)))},
		{"a key with two numbers", false, sequence(next("a", 0, first(1)), next("b", 0, first(2)))},
		{"a number that another caller inserted", false, sequence(next("a", 0, first(1)), next("b", 0, first(1)))},
		{"an unknown number", true, sequence(next("a", 0, unknown), next("b", 1, first(2)), next("c", 0, again(1)))},
		{"an unknown number that was not given", true, sequence(next("a", 0, unknown), next("b", 1, first(1)), next("c", 0, first(2)))},
		{"an unknown number that leaves a gap", false, sequence(next("a", 0, unknown), next("b", 1, first(2)), next("c", 0, first(3)))},
		{"a number renewed after its window", true, windows(8, next("a", 0, first(1)), next("b", 0, first(2)), next("c", 1, first(3)))},
		{"a number forgotten before its window ended", false, windows(16, next("a", 0, first(1)), next("b", 0, first(2)))},
		{"a number kept beyond its window", false, windows(14, next("a", 0, first(1)), next("b", 1, first(2)), next("c", 0, again(1)))},
		{"another payload in a sequence", true,
			with(func(in *input) { in.fingerprint = in.owner }, next("a", 0, first(1)), next("b", 0, mismatch), next("a", 1, first(2)))},
		{"another payload in a sequence is not noticed", false,
			with(func(in *input) { in.fingerprint = in.owner }, next("a", 0, first(1)), next("b", 0, again(1)))},
	} {
		if v := check(c.ops); (v.bad == nil) != c.good || v.timeouts > 0 {
			t.Errorf("%s: %v", c.name, v)
		}
	}
}
