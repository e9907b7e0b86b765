//go:build !js

package proof

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"flow.internal/capdo/dedupe"
)

// input is an operation on a key or in a stream.
type input struct {
	target, key string
	op          string // put, claim, complete, extend, release, forget, once, next
	entry       int    // next: index of the stream's entry; key is the stream
	owner       string // a put and a next have one of their own
	fingerprint string
	fence       int64
	result      string
	size        int64  // size to which the result is extended; 0 if unchanged
	id          string // of a call on an embedded ledger
	tx          string // the surrounding user's transaction: transaction, sync or none
	rollback    bool   // the transaction is rolled back, or the work of once fails
	lease, ttl  int64  // ms; the same for all operations on a key
	// The maximum jump of the object's clock between any two times, in ms, in
	// either direction.
	jumps    int64
	wait     int64 // ms
	patience int64 // ms after which a waiting caller leaves; 0 for never
	from     int64 // Unix time of the call in ms; 0 if times do not matter
}

// output is the answer to the caller. It is empty if the outcome is unknown.
type output struct {
	unknown  bool
	open     bool // unknown, and may still take effect later
	status   string
	inserted bool
	outcome  string
	fence    int64
	result   string
	number   int64
	// Unix time in ms of the answer, or the latest time at which the operation
	// took effect; 0 if unknown.
	to int64
}

// span is the interval in which something happened, in ms, including both ends.
// Its exact time is not known.
type span struct{ from, to int64 }

func (s span) plus(ms int64) span { return span{s.from + ms, s.to + ms} }

// end returns when a time that begins now ends, by a clock that jumps.
func (in *input) end(now span, ms int64) span {
	return span{now.from + ms - in.jumps, now.to + ms + in.jumps}
}

func (s span) later(o span) span { return span{max(s.from, o.from), max(s.to, o.to)} }

// forever is later than any time.
const forever = 1 << 60

// during returns when an operation took effect, if it comes after the
// operations up to before. If it ended earlier than that, ok is false. If times
// do not matter, time stands still.
func during(in input, out output, before int64) (now span, ok bool) {
	switch {
	case in.from == 0:
		return span{}, true
	case out.to == 0:
		return span{max(in.from, before), forever}, true
	}
	now = span{max(in.from, before), out.to}
	return now, now.from <= now.to
}

// before and after split a span at an end. before is the part in which the time
// may not have ended yet, and after the part in which it may have ended. Either
// part may be missing.
func (s span) before(end span) (part span, ok bool) {
	part = span{s.from, min(s.to, end.to-1)}
	return part, part.from <= part.to
}

func (s span) after(end span) (part span, ok bool) {
	part = span{max(s.from, end.from), s.to}
	return part, part.from <= part.to
}

type phase string

const (
	absent phase = "absent"
	free   phase = "free" // released
	held   phase = "held"
	done   phase = "done"
)

// state is the model's state of a key.
type state struct {
	phase       phase
	owner       string
	fingerprint string
	fence       int64 // 0 if no caller knows it yet
	least       int64 // the largest fence that a caller knows: the next one is larger
	result      string
	window      span  // the end of the key's window
	lease       span  // the end of the lease
	at          int64 // the present time is this or later
	ttl         int64 // ms
}

// step returns the states to which an operation with that output may lead. If
// the output is unknown, the operation may have happened or not.
func (s state) step(in input, out output) []state {
	now, ok := during(in, out, s.at)
	if !ok {
		return nil
	}
	next := unchanged(s, out)
	for _, possible := range s.possibleStates(now) {
		for _, a := range possible.apply(in, out) {
			if out.unknown && a.next == possible.state { // no different from not having happened
				continue
			}
			switch {
			case !out.unknown && !a.fits(out):
			case in.rollback: // the rollback leaves nothing but the answer
				s.at = max(s.at, now.from)
				next = append(next, s)
			default:
				next = append(next, a.next.observed(in, now))
			}
		}
	}
	return next
}

// unchanged starts the list of states after an operation: with an unknown
// output the state may be unchanged.
func unchanged[S any](s S, out output) []S {
	if out.unknown {
		return []S{s}
	}
	return nil
}

// observed returns the state at a time when it certainly exists. The ends of
// times that began at an unknown moment then have a limit.
func (s state) observed(in input, now span) state {
	s.window = s.window.observed(now, max(in.ttl, in.lease)+in.jumps)
	s.lease = s.lease.observed(now, in.lease+in.jumps)
	return s
}

func (s span) observed(now span, ms int64) span {
	if s.to >= forever {
		s.to = now.to + ms
	}
	return s
}

// possible is a state that a key may have, and when.
type possible struct {
	state
	now span
}

// outcomeKept is the minimum time for which an attempt's outcome is remembered,
// in ms.
func (s state) outcomeKept() int64 { return (s.ttl + 9) / 10 }

// possibleStates returns the key with its record and without it, as far as its
// window allows. A lease can last longer than the window. After it ends it
// still counts for a time, and until its holder was reported.
func (s state) possibleStates(now span) (list []possible) {
	end := s.window
	if s.phase == held {
		end = end.later(s.lease.plus(s.outcomeKept()))
	}
	lasts := end
	if s.phase == held {
		lasts.to = forever
	}
	if now, ok := now.before(lasts); s.phase != absent && ok {
		s.at = now.from
		list = append(list, possible{s, now})
	}
	now, ok := now.after(end)
	if ok {
		list = append(list, possible{state{phase: absent, least: s.least, at: now.from}, now})
	}
	return list
}

// alternative is a possible result of an operation.
type alternative struct {
	output
	next state
}

func (a *alternative) fits(out output) bool {
	a.to = out.to
	return a.output == out
}

func (s possible) apply(in input, out output) []alternative {
	switch in.op {
	case "put":
		return s.put(in)
	case "forget":
		return []alternative{{output{status: "ok"}, state{phase: absent, least: s.least, at: s.at}}}
	case "claim":
		return s.claim(in, out)
	case "once":
		return s.once(in, out)
	}
	return s.change(in)
}

func (s possible) put(in input) []alternative {
	if s.phase == absent {
		return []alternative{{output{status: "ok", inserted: true},
			state{phase: done, owner: in.owner, window: in.end(s.now, in.ttl), at: s.at}}}
	}
	return []alternative{{output{status: "ok", inserted: s.owner == in.owner}, s.state}}
}

// claim acquires the key, also from a holder whose lease may have ended. A
// waiter that left before the end of its wait has claimed nothing.
func (s possible) claim(in input, out output) (list []alternative) {
	tell := func(outcome string, fence int64, result string, next state) {
		list = append(list, alternative{output{status: "ok", outcome: outcome, fence: fence,
			result: result}, next})
	}
	leased, isLeased := s.now.before(s.lease)
	over, isOver := s.now.after(s.lease)
	switch {
	case out.status == "gone":
		return []alternative{{output{status: "gone"}, s.state}}
	case (s.phase == held || s.phase == done) && s.fingerprint != in.fingerprint:
		return []alternative{{output{status: "mismatch"}, s.state}}
	case s.phase == done:
		tell("replay", 0, s.result, s.state)
		return list
	case s.phase == held && isLeased:
		next := s.state
		next.at = leased.from
		switch {
		case s.owner != in.owner:
			tell("in progress", 0, "", next)
		case s.fence != 0:
			tell("acquired", s.fence, "", next)
		case out.unknown || out.fence > s.least:
			next.fence, next.least = out.fence, max(s.least, out.fence)
			tell("acquired", out.fence, "", next)
		}
	}
	if s.phase == held && !isOver || !out.unknown && out.fence <= s.least {
		return list
	}
	next := state{phase: held, owner: in.owner, fingerprint: in.fingerprint, fence: out.fence,
		least: max(s.least, out.fence), window: s.window, at: s.at, ttl: s.ttl}
	if s.phase == absent {
		next.window, next.ttl = in.end(s.now, in.ttl), in.ttl
	}
	if s.phase != held {
		over = s.now
	}
	next.at, next.lease = over.from, in.end(over, in.lease)
	tell("acquired", out.fence, "", next)
	return list
}

// once claims and completes. It keeps the fence that its work was told.
func (s possible) once(in input, out output) (list []alternative) {
	for _, a := range s.claim(in, out) {
		if a.outcome != "acquired" {
			list = append(list, a)
			continue
		}
		for _, to := range (possible{a.next, s.now}).changed(input{op: "complete",
			result: in.result, size: in.size, jumps: in.jumps}) {
			list = append(list, alternative{a.output, to})
		}
	}
	return list
}

// stores returns the result as callers see it later.
func (in *input) stores() string {
	if in.size == 0 {
		return in.result
	}
	return fmt.Sprintf("%s/%d", in.result, in.size)
}

// change completes, extends or releases. If no caller knows the present fence,
// it may be the caller's fence.
func (s possible) change(in input) []alternative {
	if in.size > dedupe.MaxResultSize {
		return []alternative{{output{status: "too large"}, s.state}}
	}
	fenced := alternative{output{status: "fenced"}, s.state}
	mine := s.owner == in.owner && s.fence == in.fence && s.phase != absent
	perhaps := s.phase == held && s.owner == in.owner && s.fence == 0 && in.fence > s.least
	switch {
	case mine && (s.phase == done && in.op == "complete" || s.phase == free && in.op == "release"):
		return []alternative{{output{status: "ok"}, s.state}}
	case s.phase != held || !mine && !perhaps:
		return []alternative{fenced}
	}
	var list []alternative
	for _, to := range s.changed(in) {
		to.fence, to.least = in.fence, max(s.least, in.fence)
		list = append(list, alternative{output{status: "ok"}, to})
	}
	if perhaps {
		list = append(list, fenced)
	}
	return list
}

// changed returns the possible states of a claim after a change. A completed
// claim is kept for a minimum time. If that is after the window, it is kept for
// as long as the lease would have lasted.
func (s possible) changed(in input) []state {
	to := s.state
	switch in.op {
	case "release":
		to.phase = free
	case "extend":
		to.lease = to.lease.later(in.end(s.now, in.lease))
	case "complete":
		to.phase, to.result = done, in.stores()
		var list []state
		if now, ok := s.now.before(s.window); ok {
			within := to
			within.window, within.at = s.window.later(in.end(now, s.outcomeKept())), now.from
			list = append(list, within)
		}
		if now, ok := s.now.after(s.window); ok {
			to.window, to.at = s.lease.later(in.end(now, s.outcomeKept())), now.from
			list = append(list, to)
		}
		return list
	}
	return []state{to}
}

// modelOf makes a model from a state and its steps.
func modelOf[S comparable](init S, step func(s S, in input, out output) []S) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{init} },
		Step: func(s, in, out any) []any {
			var next []any
			for _, n := range step(s.(S), in.(input), out.(output)) {
				next = append(next, n)
			}
			return next
		},
	}
	return m.ToModel()
}

// keyed by whether it is a sequence
var models = map[bool]porcupine.Model{false: modelOf(state{phase: absent}, state.step),
	true: modelOf(stream{}, stream.step)}

// never is the return time of a call with an unknown outcome: it may take
// effect until the end.
const never = math.MaxInt64

// verdict is the checker's result for a history.
type verdict struct {
	keys     int
	bad      []porcupine.Operation // a key's history that no order explains
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

// check judges each key's history separately, the shortest first. It stops at a
// bad one.
func check(history []porcupine.Operation) *verdict {
	type place struct{ target, key string }
	byKey := map[place][]porcupine.Operation{}
	for _, o := range history {
		in := o.Input.(input)
		p := place{in.target, in.key}
		byKey[p] = append(byKey[p], o)
	}
	v := &verdict{keys: len(byKey)}
	shortest := func(a, b place) int { return cmp.Compare(len(byKey[a]), len(byKey[b])) }
	for _, p := range slices.SortedFunc(maps.Keys(byKey), shortest) {
		switch porcupine.CheckOperationsTimeout(models[p.target == "sequence"], byKey[p],
			20*time.Second) {
		case porcupine.Illegal:
			v.bad = byKey[p]
			return v
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
		fmt.Fprintf(&b, "  %v to %s: %+v -> %+v\n", time.Duration(o.Call), returned,
			o.Input, o.Output)
	}
	return b.String()
}
