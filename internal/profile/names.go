package profile

import (
	"bytes"
	"regexp"

	"flow.internal/capdo/internal/wasm"
)

// unusual matches the characters that Go's linker replaces by "_" in the names
// of a wasm module. (nameRegexp in cmd/link/internal/wasm/asm.go)
var unusual = regexp.MustCompile(`[^\w.]`)

// Names maps the names of a module's functions in a profile to their names in
// Go. The module contains both: the first in its name section, the second in
// the table of Go's runtime, where names end with a zero byte.
func Names(module []byte) (map[string]string, error) {
	functions, err := wasm.Functions(module)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, f := range functions {
		names[f.Name] = f.Name
	}
	for text := range bytes.SplitSeq(module, []byte{0}) {
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
