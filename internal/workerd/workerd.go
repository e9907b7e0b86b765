// Package workerd starts the Workers runtime, for tests and benchmarks: one Worker, its Durable Object classes, a disk.
package workerd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config is what is served.
type Config struct {
	Binary   string            // path of workerd
	Modules  map[string]string // name → file, absolute; Main among them
	Main     string            // "entry.mjs"
	Classes  []string          // Durable Object classes; each is bound under its upper-case name
	Disk     string            // folder of the objects' storage
	Flags    []string          // compatibility flags
	V8Flags  []string
	Date     string // compatibility date; empty means CompatibilityDate
	Vars     map[string]string
	Upstream string // when set, host:port that the Worker's fetch may reach; nothing else is
}

// CompatibilityDate is the date that capdo's own tests run with.
const CompatibilityDate = "2026-11-01"

// BuildModules lists the modules that capdo build wrote to dir.
func BuildModules(dir string) map[string]string {
	m := map[string]string{}
	for _, name := range []string{"entry.mjs", "shim.mjs", "wasm_exec.js", "app.wasm"} {
		m[name] = filepath.Join(dir, name)
	}
	return m
}

// Process is a running workerd.
type Process struct {
	URL string // http://127.0.0.1:PORT

	cmd    *exec.Cmd
	done   chan struct{}
	config string
	mu     sync.Mutex
	log    strings.Builder
}

// Start runs workerd until it listens. The caller stops it with Kill.
func Start(ctx context.Context, c Config) (*Process, error) {
	if err := os.MkdirAll(c.Disk, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "capdo-workerd-")
	if err != nil {
		return nil, err
	}
	p := &Process{done: make(chan struct{}), config: dir}
	file := filepath.Join(dir, "config.capnp")
	if err := os.WriteFile(file, []byte(c.capnp(dir)), 0o644); err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	p.cmd = exec.Command(c.Binary, "serve", "--experimental", "--control-fd=3", file)
	p.cmd.ExtraFiles = []*os.File{w}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	err = p.cmd.Start()
	w.Close()
	if err != nil {
		return nil, err
	}
	go func() { p.cmd.Wait(); close(p.done) }()
	port, err := listening(ctx, r)
	if err != nil {
		p.Kill()
		return nil, fmt.Errorf("workerd did not start: %w\n%s", err, p.Log())
	}
	p.URL = fmt.Sprintf("http://127.0.0.1:%d", port)
	return p, nil
}

// listening waits for workerd's report of its port.
func listening(ctx context.Context, r *os.File) (int, error) {
	deadline := time.Now().Add(30 * time.Second)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	r.SetReadDeadline(deadline)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var m struct {
			Event string `json:"event"`
			Port  int    `json:"port"`
		}
		if json.Unmarshal(lines.Bytes(), &m) == nil && m.Event == "listen" {
			return m.Port, nil
		}
	}
	return 0, errors.Join(lines.Err(), errors.New("no word of a port"))
}

// Write collects the log.
func (p *Process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

// Log returns what workerd and the Worker have printed.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the process with SIGKILL and waits for it.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	<-p.done
	os.RemoveAll(p.config)
}

// capnp writes the configuration. workerd reads embedded files relative to its folder, dir.
func (c *Config) capnp(dir string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [ (name = "main", worker = .w), (name = "disk", disk = (path = %q, writable = true))`, c.Disk)
	if c.Upstream != "" {
		fmt.Fprintf(&b, `, (name = "internet", external = (address = %q, http = ()))`, c.Upstream)
	}
	b.WriteString(" ],\n  sockets = [ (name = \"http\", address = \"127.0.0.1:0\", http = (), service = \"main\") ],\n")
	fmt.Fprintf(&b, "  v8Flags = %s,\n);\nconst w :Workerd.Worker = (\n  modules = [\n", list(c.V8Flags))
	for _, name := range c.moduleNames() {
		kind := "esModule"
		if strings.HasSuffix(name, ".wasm") {
			kind = "wasm"
		}
		file, err := filepath.Rel(dir, c.Modules[name])
		if err != nil {
			file = c.Modules[name] // workerd will say that it is not there
		}
		fmt.Fprintf(&b, "    (name = %q, %s = embed %q),\n", name, kind, file)
	}
	date := c.Date
	if date == "" {
		date = CompatibilityDate
	}
	fmt.Fprintf(&b, "  ],\n  compatibilityDate = %q,\n  compatibilityFlags = %s,\n  durableObjectNamespaces = [\n", date, list(c.Flags))
	for _, class := range c.Classes {
		fmt.Fprintf(&b, "    (className = %q, uniqueKey = %q, enableSql = true),\n", class, class)
	}
	b.WriteString("  ],\n  durableObjectStorage = (localDisk = \"disk\"),\n  bindings = [\n")
	for _, class := range c.Classes {
		fmt.Fprintf(&b, "    (name = %q, durableObjectNamespace = %q),\n", strings.ToUpper(class), class)
	}
	for k, v := range c.Vars {
		fmt.Fprintf(&b, "    (name = %q, text = %q),\n", k, v)
	}
	b.WriteString("  ],\n);\n")
	return b.String()
}

// moduleNames puts the main module first, where workerd looks for it.
func (c *Config) moduleNames() []string {
	var names []string
	for name := range c.Modules {
		if name != c.Main {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return append([]string{c.Main}, names...)
}

func list(s []string) string {
	q := make([]string, len(s))
	for i, v := range s {
		q[i] = fmt.Sprintf("%q", v)
	}
	return "[" + strings.Join(q, ", ") + "]"
}
