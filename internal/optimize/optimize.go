// Package optimize makes compiled Go programs smaller and faster. What a
// program does stays the same. It leaves functions alone that do not have the
// form that Go's compiler gives them.
//
// Jumps: Go compiles a function for WebAssembly to a loop around a table. The
// function's code is cut into segments, and a jump stores the number of its
// target and goes back to the table. A goroutine that continues after it has
// waited enters its functions through the same tables. V8 compiles this as it
// stands: each if is an indirect jump, and V8 knows nothing about what ran
// before a segment, because the table leads to all of them. This package
// replaces such a jump by a branch to its target, and makes loops of jumps back.
// It takes segments out of the table that nothing enters through it any more.
// The numbers by which goroutines continue stay the same. An unexpected number
// ends the program.
//
// Addresses: Go computes an address on its stack with 64 bits, and then cuts it
// to 32. This package puts the address's offset into the instruction that reads
// or writes there.
package optimize

import (
	"encoding/binary"

	"flow.internal/capdo/internal/wasm"
)

// Program returns an optimized module.
func Program(module []byte) ([]byte, error) {
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
		out = wasm.AppendBytes(out, jumps(addresses(body)))
	}
	return out, nil
}

// jumps makes the jumps of a function direct.
func jumps(b []byte) []byte {
	f, ok := parse(b)
	if !ok {
		return b
	}
	f.rotate()
	w := writer{body: f}
	return w.write()
}

// locals reads the local variables of a function. It reports whether the
// function begins with its stack pointer in local variable 1.
func locals(r *wasm.Reader) (hasStack bool) {
	for n := r.Uint(); n > 0 && !r.Failed(); n-- {
		r.Uint()
		r.Byte()
	}
	return r.Is(opGetGlobal, 0, opSetLocal, stack)
}
