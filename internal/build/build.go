// Package build turns a Go program into the folder that wrangler and workerd
// serve.
package build

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"flow.internal/capdo/internal/node"
	"flow.internal/capdo/internal/optimize"
	"flow.internal/capdo/internal/shim"
)

// Result describes a finished build.
type Result struct {
	shim.Description
	Dir    string `json:"dir"`     // the folder written
	Size   int    `json:"size"`    // of app.wasm, in bytes
	SizeGz int    `json:"size_gz"` // of app.wasm compressed with gzip, in bytes
}

// Staged is a build that has not been written yet.
type Staged struct {
	shim.Description
	files map[string][]byte
}

// names are the files of a build, in the order in which they are written.
// wrangler serves entry.mjs, so it comes last.
var names = slices.Concat([]string{"app.wasm", "wasm_exec.js"}, shim.Modules, []string{"entry.mjs"})

// describeTimeout limits the time until a program calls durable.Run.
const describeTimeout = 30 * time.Second

// Run compiles the main package in dir, asks the program what it registers,
// generates its entry module, and writes the build to out. It does not touch
// files whose content is unchanged. If logf is not nil, it is called with each
// command.
func Run(ctx context.Context, dir, out string, logf func(string, ...any)) (*Result, error) {
	s, err := Stage(ctx, dir, Options{Logf: logf})
	if err != nil {
		return nil, err
	}
	return s.Publish(out)
}

// Options change a build.
type Options struct {
	// KeepNames keeps the names of functions in the program, for profiles and
	// for JavaScript's stack traces. They take about 2 % of its size.
	KeepNames bool
	Logf      func(string, ...any) // if not nil, is called with each command
}

// Stage is Run without the writing. So a build that turns out to be wrong does
// not replace one that works.
func Stage(ctx context.Context, dir string, o Options) (*Staged, error) {
	logf := o.Logf
	if logf == nil {
		logf = func(string, ...any) {}
	}
	nodePath, err := node.Find(dir)
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "capdo-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	if err := compile(ctx, dir, filepath.Join(tmp, "app.wasm"), o.KeepNames, logf); err != nil {
		return nil, err
	}
	if err := copyRuntime(ctx, tmp); err != nil {
		return nil, err
	}
	d, err := describe(ctx, dir, nodePath, tmp, logf)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(tmp, "entry.mjs"),
		[]byte(shim.Entry(*d)), 0o644); err != nil {
		return nil, err
	}
	return load(tmp, *d)
}

func load(dir string, d shim.Description) (*Staged, error) {
	s := &Staged{Description: d, files: map[string][]byte{}}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		s.files[name] = b
	}
	return s, nil
}

// Publish writes the build to the folder out. It does not touch files whose
// content is unchanged.
func (s *Staged) Publish(out string) (*Result, error) {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := write(filepath.Join(out, name), s.files[name]); err != nil {
			return nil, err
		}
	}
	wasm := s.files["app.wasm"]
	return &Result{Description: s.Description, Dir: out, Size: len(wasm),
		SizeGz: gzipSize(wasm)}, nil
}

func compile(
	ctx context.Context, dir, wasm string, keepNames bool, logf func(string, ...any),
) error {
	args := []string{"build", "-trimpath", "-buildvcs=false", "-o", wasm, "."}
	if !keepNames {
		flags, err := linkerFlags(ctx, dir)
		if err != nil {
			return err
		}
		args = slices.Insert(args, 3, flags...)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	logf("cd %s && GOOS=js GOARCH=wasm %s", dir, CommandLine(cmd.Args))
	msg, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return errors.New("the go command is not on PATH\nhint: install Go 1.26 or later")
	case err != nil:
		return fmt.Errorf("the program in %s does not compile:\n%s", dir, bytes.TrimSpace(msg))
	}
	if err := checkWasm(dir, wasm); err != nil {
		return err
	}
	return optimizeFile(wasm)
}

// optimizeFile replaces a program by an optimized one.
func optimizeFile(wasm string) error {
	b, err := os.ReadFile(wasm)
	if err != nil {
		return err
	}
	if b, err = optimize.Program(b); err != nil {
		return fmt.Errorf("%s: %w", wasm, err)
	}
	return os.WriteFile(wasm, b, 0o644)
}

// checkWasm checks that go build has written a program. For a package that is
// not a main package, it writes an archive.
func checkWasm(dir, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	magic := make([]byte, 4)
	if _, err := io.ReadFull(f, magic); err != nil || string(magic) != "\x00asm" {
		return fmt.Errorf("the package in %s is not a main package"+
			"\nhint: capdo builds a package main; its main function registers classes and "+
			"calls durable.Run", dir)
	}
	return nil
}

// CommandLine formats a command so that it can be pasted into a shell.
func CommandLine(args []string) string {
	out := slices.Clone(args)
	for i, a := range out {
		if a == "" || strings.ContainsAny(a, " \t\n\"'\\$`*?#&;|<>()[]{}~!") {
			out[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}

// copyRuntime writes the modules that are the same for every program of this
// toolchain.
func copyRuntime(ctx context.Context, out string) error {
	wasmExec, err := WasmExec(ctx)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "wasm_exec.js"), wasmExec, 0o644); err != nil {
		return err
	}
	for _, name := range append(slices.Clone(shim.Modules), "describe.mjs") {
		b, err := shim.Files.ReadFile("js/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(out, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// describe starts the program in the folder out and asks it what it registers.
func describe(
	ctx context.Context, dir, nodePath, out string, logf func(string, ...any),
) (*shim.Description, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, describeTimeout, errTooSlow)
	defer cancel()
	file := filepath.Join(out, "description.json")
	cmd := exec.CommandContext(ctx, nodePath, filepath.Join(out, "describe.mjs"), file)
	logf("%s", CommandLine(cmd.Args))
	msg, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil && context.Cause(ctx) != errTooSlow:
		return nil, ctx.Err()
	case ctx.Err() != nil:
		msg = fmt.Appendf(bytes.TrimSpace(msg), "\nstopped after %v", describeTimeout)
		fallthrough
	case err != nil:
		return nil, fmt.Errorf("the program in %s does not reach durable.Run:\n%s"+
			"\nhint: main registers classes and handlers, then calls durable.Run; "+
			"it must not wait or do I/O before", dir, bytes.TrimSpace(msg))
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	d := &shim.Description{}
	return d, json.Unmarshal(b, d)
}

var errTooSlow = errors.New("too slow")

// write replaces a file in one step. It does not touch an unchanged file, so
// watchers see only real changes.
func write(path string, b []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, b) {
		return nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".capdo-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

func gzipSize(b []byte) int {
	var n counter
	z := gzip.NewWriter(&n)
	z.Write(b)
	z.Close()
	return int(n)
}

type counter int

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }
