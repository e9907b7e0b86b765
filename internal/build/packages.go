package build

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"flow.internal/capdo/internal/wasm"
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
	program := filepath.Join(tmp, "app.wasm")
	if err := compile(ctx, dir, program, true, func(string, ...any) {}); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(program)
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
func attribute(module []byte, paths []string) ([]Package, error) {
	functions, err := wasm.Functions(module)
	if err != nil {
		return nil, err
	}
	known := map[string]string{}
	for _, p := range paths {
		known[symbol(p)] = p
	}
	sizes := map[string]int{}
	for _, f := range functions {
		if path, ok := packageOf(f.Name, known); ok {
			sizes[path] += f.Size
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
