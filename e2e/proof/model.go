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

// input is an operation on a key, or in a stream.
type input struct {
	target, key string
	op          string // put, claim, complete, extend, release, forget, once, next
	entry       int    // next: which of the stream's keys; key is the stream
	owner       string // of a put and a next: its own
	fingerprint string
	fence       int64
	result      string
	size        int64  // that the result is made as long as; 0 if it stays as it is
	id          string // of a call on an embedded ledger
	tx          string // the user's transaction that it is made in: transaction, sync or none
	rollback    bool   // that transaction is rolled back, or the work of once fails
	lease, ttl  int64  // ms; those of a key are always the same
	// ms that the object's clock may have jumped, one way or the other, between
	// any two times
	jumps    int64
	wait     int64 // ms
	patience int64 // ms after which one who waits is gone; 0 if never
	from     int64 // Unix time in ms when the call was made; 0 where the time does not matter
}

// output is what its caller was told: nothing, if unknown.
type output struct {
	unknown  bool
	open     bool // unknown, and it may take effect later still
	status   string
	inserted bool
	outcome  string
	fence    int64
	result   string
	number   int64
	// Unix time in ms when it was told, or at the latest took effect; 0 if that
	// is not known
	to int64
}

// span is when something was, in ms, its ends included: nobody knows more
// precisely.
type span struct{ from, to int64 }

func (s span) plus(ms int64) span { return span{s.from + ms, s.to + ms} }

// end is when a time is over that begins now, by a clock that jumps.
func (in *input) end(now span, ms int64) span {
	return span{now.from + ms - in.jumps, now.to + ms + in.jumps}
}

func (s span) later(o span) span { return span{max(s.from, o.from), max(s.to, o.to)} }

// forever is later than any time.
const forever = 1 << 60

// during is when an operation took effect that comes after those of before.
// There is no such time if it ended before they began. Where time does not
// matter it stands still.
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

// before and after split now by an end: what ends then counts before it, and
// not from then on. There may be no such part.
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

// state is what the model knows of a key.
type state struct {
	phase       phase
	owner       string
	fingerprint string
	fence       int64 // 0 if nobody was told it yet
	least       int64 // the largest fence that somebody was told: the next is larger
	result      string
	window      span  // the end of the time that the key is remembered
	lease       span  // the end of the lease
	at          int64 // it is that time or later
	ttl         int64 // ms
}

// step returns the states that an operation with that output may lead to. If it
// is unknown it may have happened or not.
func (s state) step(in input, out output) []state {
	now, ok := during(in, out, s.at)
	if !ok {
		return nil
	}
	next := unchanged(s, out)
	for _, possible := range s.possibleStates(now) {
		for _, a := range possible.apply(in, out) {
			if out.unknown && a.next == possible.state { // it is as if it had not happened
				continue
			}
			switch {
			case !out.unknown && !a.fits(out):
			case in.rollback: // that it was told so is all that is left of it
				s.at = max(s.at, now.from)
				next = append(next, s)
			default:
				next = append(next, a.next.observed(in, now))
			}
		}
	}
	return next
}

// unchanged begins the list of what an operation may lead to: if it is unknown,
// to nothing.
func unchanged[S any](s S, out output) []S {
	if out.unknown {
		return []S{s}
	}
	return nil
}

// observed is the state at a time when it has come about: what began with it,
// nobody knew when, has an end that can be told.
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

// possible is a state that a key may be in, and when.
type possible struct {
	state
	now span
}

// outcomeKept is for how long it is remembered at least what became of an
// attempt, in ms.
func (s state) outcomeKept() int64 { return (s.ttl + 9) / 10 }

// possibleStates are a key with its record and one without, as far as its
// window allows. A lease goes on after that, and counts for a time when it ran
// out, and until somebody has been told of its holder.
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

// alternative is what may become of an operation.
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

// claim acquires, also from a holder whose lease may be over. One who was gone
// before the wait was over has claimed nothing.
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

// once claims and completes. What its work was told of a fence, it keeps.
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

// stores is what a result is seen as later.
func (in *input) stores() string {
	if in.size == 0 {
		return in.result
	}
	return fmt.Sprintf("%s/%d", in.result, in.size)
}

// change completes, extends or releases. Where nobody was told the present
// fence, it may be the one that the caller has.
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

// changed returns what may become of a claim. Completed, it is kept for some
// time after that, and if that is after the window, as long as the lease would
// have lasted.
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

// modelOf makes a model of states and their steps.
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

// by whether it is a sequence
var models = map[bool]porcupine.Model{false: modelOf(state{phase: absent}, state.step),
	true: modelOf(stream{}, stream.step)}

// never is when a call returns whose outcome is unknown: it may take effect
// until the end.
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

// check judges each key's history by itself, the shortest first, and stops at
// one that is bad.
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
