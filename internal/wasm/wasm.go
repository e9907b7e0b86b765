// Package wasm reads and rewrites WebAssembly modules.
// https://webassembly.github.io/spec/core/binary/modules.html
package wasm

import (
	"encoding/binary"
	"errors"
)

// Numbers of sections.
const (
	Custom = 0
	Import = 2
	Global = 6
	Export = 7
	Code   = 10
)

// ErrMalformed is returned for bytes that are not a module.
var ErrMalformed = errors.New("this is not a WebAssembly program")

// ErrNoNames is returned for a module that was built without the names of its
// functions.
var ErrNoNames = errors.New("the program does not contain the names of its functions")

const magic, header = "\x00asm\x01\x00\x00\x00", 8

// Rewrite copies a module. rewrite gets each section and returns its new
// content.
func Rewrite(
	module []byte, rewrite func(id byte, content []byte) ([]byte, error),
) ([]byte, error) {
	out := append(make([]byte, 0, len(module)+1024), magic...)
	err := sections(module, func(id byte, content []byte) error {
		content, err := rewrite(id, content)
		out = AppendBytes(append(out, id), content)
		return err
	})
	return out, err
}

// sections calls fn for each section of a module.
func sections(module []byte, fn func(id byte, content []byte) error) error {
	if len(module) < header || string(module[:header]) != magic {
		return ErrMalformed
	}
	for r := NewReader(module[header:]); r.More(); {
		id, content := r.Byte(), r.Bytes()
		if r.Failed() {
			return ErrMalformed
		}
		if err := fn(id, content); err != nil {
			return err
		}
	}
	return nil
}

// AppendBytes appends the length of b, and b.
func AppendBytes(out, b []byte) []byte {
	return append(binary.AppendUvarint(out, uint64(len(b))), b...)
}

// Function is a function of a module.
type Function struct {
	Name string
	Size int // of its code, in bytes
}

// Functions returns the functions that a module defines.
func Functions(module []byte) (list []Function, err error) {
	var names map[int]string
	imported := 0
	err = sections(module, func(id byte, content []byte) error {
		r := NewReader(content)
		switch id {
		case Custom:
			if string(r.Bytes()) == "name" {
				names = functionNames(r)
			}
		case Import:
			imported = int(r.Uint()) // Go imports only functions
		case Code:
			for n := r.Uint(); n > 0 && !r.Failed(); n-- {
				list = append(list, Function{Size: len(r.Bytes())})
			}
		}
		if r.Failed() {
			return ErrMalformed
		}
		return nil
	})
	if err == nil && len(names) == 0 {
		err = ErrNoNames
	}
	for i := range list {
		list[i].Name = names[imported+i]
	}
	return list, err
}

// functionNames reads the part of a name section that names functions.
func functionNames(r *Reader) map[int]string {
	const functions = 1
	names := map[int]string{}
	for r.More() {
		id, part := r.Byte(), NewReader(r.Bytes())
		if id != functions {
			continue
		}
		for n := part.Uint(); n > 0 && !part.Failed(); n-- {
			i := int(part.Uint())
			names[i] = string(part.Bytes())
		}
	}
	return names
}
