//go:build !js

package proof

// entries is the number of keys in a stream.
const entries = 8

// stream is the model's state of a sequence.
type stream struct {
	last    int64
	entries [entries]numbered
	at      int64 // the present time is this or later
}

// numbered is an entry of a stream. Without a number no caller has seen it.
type numbered struct {
	number             int64
	owner, fingerprint string
	window             span // the end of the entry's window
}

// step is like state.step.
func (s stream) step(in input, out output) []stream {
	now, ok := during(in, out, s.at)
	if !ok {
		return nil
	}
	next := unchanged(s, out)
	add := func(expected output, to stream, at int64) {
		expected.to = out.to
		if out.unknown && to == s || !out.unknown && expected != out {
			return
		}
		to.at = at
		next = append(next, to.observed(in, now))
	}
	e := &s.entries[in.entry]
	if now, ok := now.before(e.window); ok && e.number != 0 {
		expected := output{status: "ok", number: e.number, inserted: e.owner == in.owner}
		if e.fingerprint != in.fingerprint {
			expected = output{status: "mismatch"}
		}
		add(expected, s, now.from)
	}
	if now, ok := now.after(e.window); ok {
		to := s
		to.last++
		to.entries[in.entry] = numbered{to.last, in.owner, in.fingerprint, now.plus(in.ttl)}
		add(output{status: "ok", number: to.last, inserted: true}, to, now.from)
	}
	return next
}

// observed is like state.observed.
func (s stream) observed(in input, now span) stream {
	for i := range s.entries {
		s.entries[i].window = s.entries[i].window.observed(now, in.ttl)
	}
	return s
}
