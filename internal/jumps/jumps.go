// Package jumps makes compiled Go programs smaller and faster.
//
// Go compiles a function for WebAssembly to a loop around a table: the
// function's code is cut into segments, and a jump stores the number of its
// target and goes back to the table. A goroutine that continues after it has
// waited enters its functions through the same tables. V8 compiles this as it
// stands: each if is an indirect jump, and V8 knows nothing about what ran
// before a segment, because the table leads to all of them.
//
// Direct replaces such a jump by a branch to its target, and makes loops of
// jumps back. It takes segments out of the table that nothing enters through it
// any more. What a function does stays the same, and so do the numbers by which
// goroutines continue. An unexpected number ends the program.
package jumps

import (
	"encoding/binary"

	"flow.internal/capdo/internal/wasm"
)

// Direct returns a module with direct jumps. It leaves functions alone that do
// not have the form that Go's compiler gives them.
func Direct(module []byte) ([]byte, error) {
	return wasm.Rewrite(module, func(id byte, content []byte) ([]byte, error) {
		if id != wasm.Code {
			return content, nil
		}
		return functions(content)
	})
}

// functions rewrites the functions of the code section.
func functions(section []byte) ([]byte, error) {
	r := wasm.NewReader(section)
	count := r.Uint()
	out := binary.AppendUvarint(make([]byte, 0, len(section)), count)
	for ; count > 0; count-- {
		body := r.Bytes()
		if r.Failed() {
			return nil, wasm.ErrMalformed
		}
		out = wasm.AppendBytes(out, function(body))
	}
	return out, nil
}

// function rewrites the body of a function.
func function(b []byte) []byte {
	f, ok := parse(b)
	if !ok {
		return b
	}
	f.rotate()
	w := writer{body: f}
	return w.write()
}
