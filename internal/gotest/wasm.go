package gotest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Numbers of sections in a WebAssembly module
// (https://webassembly.github.io/spec/core/binary/modules.html).
const (
	globalSection = 6
	exportSection = 7
	globalKind    = 3 // of an export
)

var errNotWasm = errors.New("this is not a WebAssembly program")

// exportGlobals adds exports for all of the module's globals, named
// capdo_global_0 and so on. The globals are part of a Go program's state.
func exportGlobals(module []byte) ([]byte, error) {
	if !bytes.HasPrefix(module, []byte("\x00asm\x01\x00\x00\x00")) {
		return nil, errNotWasm
	}
	out := append(make([]byte, 0, len(module)+1024), module[:8]...)
	globals := uint64(0)
	for rest := module[8:]; len(rest) > 0; {
		id := rest[0]
		content, after, err := sized(rest[1:])
		if err != nil {
			return nil, err
		}
		switch id {
		case globalSection:
			globals, _ = binary.Uvarint(content)
		case exportSection:
			if content, err = addExports(content, globals); err != nil {
				return nil, err
			}
		}
		out = append(binary.AppendUvarint(append(out, id), uint64(len(content))), content...)
		rest = after
	}
	return out, nil
}

// sized reads a length, and then that many bytes.
func sized(b []byte) (content, after []byte, err error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, errNotWasm
	}
	return b[n : n+int(size)], b[n+int(size):], nil
}

func addExports(exports []byte, globals uint64) ([]byte, error) {
	count, n := binary.Uvarint(exports)
	if n <= 0 {
		return nil, errNotWasm
	}
	out := append(binary.AppendUvarint(nil, count+globals), exports[n:]...)
	for i := range globals {
		name := fmt.Sprintf("capdo_global_%d", i)
		out = append(binary.AppendUvarint(out, uint64(len(name))), name...)
		out = binary.AppendUvarint(append(out, globalKind), i)
	}
	return out, nil
}
