package gotest

import (
	"encoding/binary"
	"fmt"

	"flow.internal/capdo/internal/wasm"
)

// exportGlobals adds exports for all of the module's globals, named
// capdo_global_0 and so on. The globals are part of a Go program's state.
func exportGlobals(module []byte) ([]byte, error) {
	globals := uint64(0)
	return wasm.Rewrite(module, func(id byte, content []byte) ([]byte, error) {
		switch id {
		case wasm.Global:
			globals = wasm.NewReader(content).Uint()
		case wasm.Export:
			return addExports(content, globals)
		}
		return content, nil
	})
}

func addExports(exports []byte, globals uint64) ([]byte, error) {
	const global = 3 // the kind of an export
	r := wasm.NewReader(exports)
	count := r.Uint()
	if r.Failed() {
		return nil, wasm.ErrMalformed
	}
	out := append(binary.AppendUvarint(nil, count+globals), exports[r.At():]...)
	for i := range globals {
		out = wasm.AppendBytes(out, fmt.Appendf(nil, "capdo_global_%d", i))
		out = binary.AppendUvarint(append(out, global), i)
	}
	return out, nil
}
