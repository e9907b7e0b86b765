// Package gotest runs a Go test program, compiled for js/wasm, inside workerd.
package gotest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"flow.internal/capdo/internal/build"
	"flow.internal/capdo/internal/node"
	"flow.internal/capdo/internal/optimize"
	"flow.internal/capdo/internal/shim"
	"flow.internal/capdo/internal/workerd"
)

// Options select what is run, and how.
type Options struct {
	Program string   // the test program, as go test -exec passes it
	Args    []string // its arguments, -test.… flags
	Dir     string   // the package's folder
	Env     string   // an environment of the wrangler config, or ""
	// names of environment variables that the tests may see, besides those that
	// Go's runtime reads
	PassEnv []string
	Hang    time.Duration // after this time without an event, the program is ended
	Stdout  io.Writer
	Stderr  io.Writer
}

// Result describes a run.
type Result struct {
	Code int // the program's exit code
	// how long it took until workerd was up, then until the program was over,
	// and then to clean up
	Start, Tests, End time.Duration
}

// Run runs the program. It returns an error if the program could not be run to
// its end.
func Run(ctx context.Context, o Options) (result Result, err error) {
	r := &run{Options: o}
	if r.flags, err = parseFlags(o.Args); err != nil {
		return result, err
	}
	begin := time.Now()
	if err := r.start(ctx); err != nil {
		r.stop()
		return result, err
	}
	up := time.Now()
	result.Code, err = r.await(ctx)
	over := time.Now()
	r.stop()
	result.Start, result.Tests, result.End = up.Sub(begin), over.Sub(up), time.Since(over)
	return result, err
}

// start starts workerd.
func (r *run) start(ctx context.Context) (err error) {
	if r.folder, err = os.MkdirTemp("", "capdo-test-"); err != nil {
		return err
	}
	config, err := r.prepare(ctx)
	if err != nil {
		return err
	}
	if err := r.host.start(); err != nil {
		return err
	}
	config.Services = map[string]string{hostBinding: r.host.address}
	r.config = *config
	r.process, err = workerd.Start(ctx, r.config)
	return err
}

func (r *run) stop() {
	if r.process != nil {
		r.process.Kill()
	}
	r.host.stop()
	os.RemoveAll(r.folder)
}

// hostBinding is the binding through which testing.mjs reaches the host.
const hostBinding = "capdo:host"

// run is one run of a test program.
type run struct {
	Options
	flags   flags
	folder  string // for the Worker's modules and the objects' storage
	host    host
	config  workerd.Config
	process *workerd.Process
}

// settings is the config that testing.mjs reads.
type settings struct {
	Argv []string          `json:"argv"`
	Env  map[string]string `json:"env"`
	// files and folders to return when the program is over
	Outputs []string          `json:"outputs"`
	Begin   int64             `json:"begin"`   // in ms since 1970
	Timeout int64             `json:"timeout"` // of -timeout, in ms; 0 for none
	Hang    int64             `json:"hang"`    // in ms
	Classes map[string]string `json:"classes"` // binding → class
}

// prepare writes the modules of the Worker in which the program runs.
func (r *run) prepare(ctx context.Context) (*workerd.Config, error) {
	binary, err := node.Workerd(r.Dir)
	if err != nil {
		return nil, err
	}
	w, err := findWorker(r.Dir, r.Env)
	if err != nil {
		return nil, err
	}
	config := w.config()
	config.Binary, config.Main, config.Disk = binary, "entry.mjs", filepath.Join(r.folder, "disk")
	config.Output = &output{stdout: r.Stdout, stderr: r.Stderr}
	r.host.disk = config.Disk
	s := settings{
		Argv: append([]string{r.Program}, r.Args...), Env: environment(r.PassEnv),
		Outputs: r.flags.outputs,
		Begin:   time.Now().UnixMilli(), Timeout: r.flags.timeout.Milliseconds(),
		Hang: r.Hang.Milliseconds(), Classes: w.classes(),
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	if config.Modules, err = r.write(ctx, s, w); err != nil {
		return nil, err
	}
	config.Second = &workerd.Second{
		Binding: "capdo:events", Module: config.Modules["events.mjs"], Entrypoint: workerEntrypoint,
		Flags: []string{"service_binding_extra_handlers"},
	}
	delete(config.Modules, "events.mjs")
	return config, nil
}

// argumentSpace is the space that wasm_exec.js has for a Go program's arguments
// and environment, in bytes.
const argumentSpace = 8192

// check reports arguments that are too large; the program would end before its
// start. Each string takes its length and a zero byte, aligned to 8 bytes. Each
// pointer to a string takes 8 bytes, and so does the 0 after each of the two
// lists.
func (s *settings) check() error {
	size := 16
	add := func(text string) { size += 8 + (len(text)+8)/8*8 }
	for _, a := range s.Argv {
		add(a)
	}
	for k, v := range s.Env {
		add(k + "=" + v)
	}
	if size >= argumentSpace {
		return fmt.Errorf("the test's arguments and environment take %d bytes; "+
			"a Go program for js has room for %d"+
			"\nhint: pass fewer or shorter environment variables with --pass-env, "+
			"or a shorter -run pattern", size, argumentSpace)
	}
	return nil
}

// runtimeVariables are the variables that Go itself reads.
var runtimeVariables = []string{"GODEBUG", "GOGC", "GOMEMLIMIT", "GOTRACEBACK", "GORACE", "TZ"}

// environment selects variables, because all of them would rarely fit.
func environment(names []string) map[string]string {
	env := map[string]string{}
	for _, name := range append(names, runtimeVariables...) {
		if v, ok := os.LookupEnv(name); ok {
			env[name] = v
		}
	}
	return env
}

// write writes the modules of both Workers and returns a map from name to file.
func (r *run) write(ctx context.Context, s settings, w *worker) (map[string]string, error) {
	index, content, err := packFiles(r.Dir, r.flags)
	if err != nil {
		return nil, err
	}
	wasmExec, err := build.WasmExec(ctx)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		"entry.mjs": []byte(w.entry()), "test.json": toJSON(s), "files.json": toJSON(index),
		"files.bin": content, "wasm_exec.js": wasmExec,
	}
	for _, name := range append([]string{"testing.mjs", "testfs.mjs", "restart.mjs", "events.mjs"},
		shim.Modules...) {
		if files[name], err = shim.Files.ReadFile("js/" + name); err != nil {
			return nil, err
		}
	}
	program, err := os.ReadFile(r.Program)
	if err != nil {
		return nil, err
	}
	if program, err = optimize.Program(program); err == nil {
		files["app.wasm"], err = exportGlobals(program)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w"+
			"\nhint: compile it with GOOS=js GOARCH=wasm; capdo test does", r.Program, err)
	}
	modules := map[string]string{}
	for name, b := range files {
		modules[name] = filepath.Join(r.folder, name)
		if err := os.WriteFile(modules[name], b, 0o600); err != nil {
			return nil, err
		}
	}
	return modules, nil
}

func toJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return b
}

// outcome is the answer of testing.mjs when the program is over.
type outcome struct {
	Code  int `json:"code"`
	Files []struct {
		Path  string `json:"path"`
		Bytes []byte `json:"bytes"`
	} `json:"files"`
}

// await starts the program and waits for its end.
func (r *run) await(ctx context.Context) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o, err := r.outcome(ctx, cancel)
	for ; r.host.takeRestart() && err != nil; o, err = r.outcome(ctx, cancel) {
		r.process.Kill()
		if r.process, err = workerd.Start(ctx, r.config); err != nil {
			return 0, err
		}
	}
	switch {
	case errors.Is(context.Cause(ctx), errTimeout):
		return 2, nil
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case err != nil:
		return 0, err
	}
	for _, f := range o.Files {
		if err := errors.Join(os.MkdirAll(filepath.Dir(f.Path), 0o755),
			os.WriteFile(f.Path, f.Bytes, 0o644)); err != nil {
			return 0, err
		}
	}
	return o.Code, nil
}

// outcome starts the program, or continues it after a restart. It waits until
// the program is over or asks for a restart.
func (r *run) outcome(ctx context.Context, cancel context.CancelCauseFunc) (*outcome, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go r.watch(ctx, cancel)
	defer r.host.onRestart(stop)()
	body, status, err := r.get(ctx, "/run")
	if err != nil {
		return nil, fmt.Errorf("workerd has ended: %w", err)
	}
	o := &outcome{}
	if err := json.Unmarshal(body, o); err != nil {
		return nil, fmt.Errorf("workerd answered %s: %s", status, bytes.TrimSpace(body))
	}
	return o, nil
}

func (r *run) get(ctx context.Context, path string) (body []byte, status string, err error) {
	req, err := http.NewRequestWithContext(ctx, "GET", r.process.URL+path, nil)
	if err != nil {
		return nil, "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return body, resp.Status, err
}

var errTimeout = errors.New("timeout")

// watch detects a program that keeps the processor busy. Such a program does
// not notice its own -timeout, and cannot print where it is.
func (r *run) watch(ctx context.Context, cancel context.CancelCauseFunc) {
	begin := time.Now()
	lastAlive, warned := begin, false
	for ; ctx.Err() == nil; sleep(ctx, time.Second) {
		if r.isAlive(ctx) {
			lastAlive, warned = time.Now(), false
			continue
		}
		switch {
		case ctx.Err() != nil:
		case r.flags.timeout > 0 && time.Since(begin) > r.flags.timeout+time.Second:
			fmt.Fprintf(r.Stderr, "panic: test timed out after %v\n"+
				"capdo: it was computing without ever waiting, "+
				"so there are no goroutine traces\n", r.flags.timeout)
			cancel(errTimeout)
		case !warned && time.Since(lastAlive) > r.Hang:
			warned = true
			fmt.Fprintf(r.Stderr, "capdo: the test program has been computing for %v "+
				"without waiting for anything; it continues until -timeout"+
				"\nhint: -v shows which test it is in\n", r.Hang)
		}
	}
}

func (r *run) isAlive(ctx context.Context) bool {
	ctx, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	_, _, err := r.get(ctx, "/alive")
	return err == nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
