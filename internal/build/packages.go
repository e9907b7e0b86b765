package build

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Package is a package of a program.
type Package struct {
	Path string `json:"path"`
	Size int    `json:"size"` // of its functions, in bytes
}

// Packages links the program in dir again, with names, and returns its
// packages, the largest first.
func Packages(ctx context.Context, dir string) ([]Package, error) {
	tmp, err := os.MkdirTemp("", "capdo-packages-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	wasm := filepath.Join(tmp, "app.wasm")
	if err := compile(ctx, dir, wasm, true, func(string, ...any) {}); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(wasm)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	list, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list -deps: %w", err)
	}
	return attribute(b, strings.Fields(string(list)))
}

// attribute sums the sizes of a program's functions by package.
func attribute(wasm []byte, paths []string) ([]Package, error) {
	functions, err := functionSizes(wasm)
	if err != nil {
		return nil, err
	}
	known := map[string]string{}
	for _, p := range paths {
		known[symbol(p)] = p
	}
	sizes := map[string]int{}
	for name, size := range functions {
		if path, ok := packageOf(name, known); ok {
			sizes[path] += size
		}
	}
	packages := make([]Package, 0, len(sizes))
	for _, path := range slices.Sorted(maps.Keys(sizes)) {
		packages = append(packages, Package{path, sizes[path]})
	}
	slices.SortStableFunc(packages, func(a, b Package) int { return cmp.Compare(b.Size, a.Size) })
	return packages, nil
}

var unnamed = regexp.MustCompile(`[^\w.]`)

// symbol returns a name as Go's linker writes it in wasm.
func symbol(name string) string { return unnamed.ReplaceAllString(name, "_") }

// packageOf returns the package of a function: the longest known path before a
// dot.
func packageOf(function string, known map[string]string) (path string, ok bool) {
	for i, c := range function {
		if c == '.' {
			if p, isKnown := known[function[:i]]; isKnown {
				path, ok = p, true
			}
		}
	}
	return path, ok
}

var errNoNames = errors.New("the program does not contain the names of its functions")

// functionSizes returns the sizes of a WebAssembly module's functions by name
// (https://webassembly.github.io/spec/core/binary/modules.html).
func functionSizes(wasm []byte) (map[string]int, error) {
	var sizes []int
	var names map[uint64]string
	imported := uint64(0)
	r := &reader{b: wasm[min(8, len(wasm)):]}
	for len(r.b) > 0 && !r.isShort {
		id := r.byte()
		content := &reader{b: r.bytes(r.uint())}
		switch id {
		case 0:
			if string(content.bytes(content.uint())) == "name" {
				names = content.functionNames()
			}
		case 2:
			imported = content.importedFunctions()
		case 10:
			for range content.uint() {
				sizes = append(sizes, len(content.bytes(content.uint())))
			}
		}
		if content.isShort {
			return nil, errNoNames
		}
	}
	if len(names) == 0 || r.isShort {
		return nil, errNoNames
	}
	out := map[string]int{}
	for i, size := range sizes {
		out[names[imported+uint64(i)]] += size
	}
	return out, nil
}

// reader reads the parts of a WebAssembly module. If the module is too short,
// it returns zeros.
type reader struct {
	b       []byte
	isShort bool
}

func (r *reader) byte() byte {
	b := r.bytes(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.isShort, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.isShort, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// functionNames reads the part of a name section that names functions.
func (r *reader) functionNames() map[uint64]string {
	names := map[uint64]string{}
	for len(r.b) > 0 {
		part := r.byte()
		content := &reader{b: r.bytes(r.uint())}
		for n := content.uint(); part == 1 && n > 0 && !content.isShort; n-- {
			index := content.uint()
			names[index] = string(bytes.Clone(content.bytes(content.uint())))
		}
	}
	return names
}

// importedFunctions counts the functions in an import section. Go imports only
// functions.
func (r *reader) importedFunctions() uint64 { return r.uint() }
