package profile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"regexp"
)

// unusual matches the characters that Go's linker replaces by "_" in the names
// of a wasm module. (nameRegexp in cmd/link/internal/wasm/asm.go)
var unusual = regexp.MustCompile(`[^\w.]`)

// ErrNoNames is returned for a module that was built without the names of its
// functions.
var ErrNoNames = errors.New("app.wasm does not contain the names of its functions")

// Names maps the names of a module's functions in a profile to their names in
// Go. The module contains both: the first in its name section, the second in
// the table of Go's runtime, where names end with a zero byte.
func Names(wasm []byte) (map[string]string, error) {
	section, err := nameSection(wasm)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, name := range section {
		names[name] = name
	}
	for text := range bytes.SplitSeq(wasm, []byte{0}) {
		if len(text) == 0 || len(text) > 1000 || !unusual.Match(text) {
			continue
		}
		written := string(unusual.ReplaceAll(text, []byte("_")))
		if names[written] == written {
			names[written] = string(text)
		}
	}
	return names, nil
}

// nameSection returns the names of functions in a module's name section.
func nameSection(wasm []byte) ([]string, error) {
	const magic = 8
	if len(wasm) < magic || string(wasm[:4]) != "\x00asm" {
		return nil, errors.New("app.wasm is not a WebAssembly module")
	}
	for r := (reader{b: wasm[magic:]}); len(r.b) > 0 && !r.bad; {
		kind := r.take(1)
		content := reader{b: r.take(r.number())}
		if len(kind) == 1 && kind[0] == 0 && string(content.take(content.number())) == "name" {
			return functionNames(content)
		}
	}
	return nil, ErrNoNames
}

// functionNames reads the subsection with the functions' names.
func functionNames(r reader) (names []string, err error) {
	for len(r.b) > 0 && !r.bad {
		kind := r.take(1)
		content := reader{b: r.take(r.number())}
		if len(kind) != 1 || kind[0] != 1 {
			continue
		}
		for n := content.number(); n > 0 && !content.bad; n-- {
			content.number()
			names = append(names, string(content.take(content.number())))
		}
		return names, nil
	}
	return nil, ErrNoNames
}

// reader reads a module's numbers and bytes. If there are too few, bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) number() int {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || n > 1<<31 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return int(n)
}
