// Package workerd starts the Workers runtime for tests and benchmarks, with a
// Worker, its Durable Object classes and a disk.
package workerd

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"flow.internal/capdo/internal/process"
	"flow.internal/capdo/internal/shim"
)

// Config describes what workerd serves.
type Config struct {
	Binary string // path of workerd
	// name → absolute path of the file; Main is one of them. The extension
	// selects the kind: .mjs, .js, .wasm, .json, otherwise data
	Modules     map[string]string
	Main        string // "entry.mjs"
	Objects     []Namespace
	Disk        string   // folder of the objects' storage
	Port        int      // of 127.0.0.1; 0 means any that is free
	InMemory    bool     // objects store nothing on disk, and nothing that stays
	Flags       []string // compatibility flags
	V8Flags     []string
	Date        string            // compatibility date; empty means CompatibilityDate
	Vars        map[string]string // text bindings
	JSON        map[string]string // JSON bindings
	Services    map[string]string // bindings of HTTP servers: name → host:port
	Entrypoints map[string]string // bindings of the Worker's own entrypoints: name → class
	// bindings of queues: name → class of the Worker's own entrypoint that gets
	// the messages as HTTP requests
	Queues map[string]string
	Second *Second // another Worker beside this one; nil for none
	// fetch may also reach this machine and its network, as under wrangler dev;
	// otherwise only the Internet
	Private bool
	// host:port of the HTTP server to which all requests of fetch go, whatever
	// the URL; empty means the public Internet
	Outbound  string
	Output    io.Writer // gets the output of workerd and the Worker, instead of Log
	Inspector bool      // serve V8's inspector, at Process.Inspector
}

// Namespace is a Durable Object namespace of the Worker itself.
type Namespace struct {
	Binding, Class string
	Key            string // identifies the namespace on disk
	KV             bool   // key-value storage instead of SQLite
}

// Second is a Worker of one module. Each of the two Workers has a binding of
// the other one: the first has Binding, the second has WORKER.
type Second struct {
	Binding    string
	Module     string // absolute path of the file
	Entrypoint string // class of the first Worker that WORKER leads to
	Flags      []string
}

// Namespaces binds each class under its upper-case name.
func Namespaces(classes ...string) []Namespace {
	var list []Namespace
	for _, c := range classes {
		list = append(list, Namespace{Binding: strings.ToUpper(c), Class: c, Key: c})
	}
	return list
}

// CompatibilityDate is the date for capdo's own tests.
const CompatibilityDate = "2026-11-01"

// BuildModules lists the modules that capdo build wrote to dir.
func BuildModules(dir string) map[string]string {
	m := map[string]string{}
	for _, name := range append([]string{"entry.mjs", "wasm_exec.js", "app.wasm"},
		shim.Modules...) {
		m[name] = filepath.Join(dir, name)
	}
	return m
}

// Process is a running workerd.
type Process struct {
	URL       string // http://127.0.0.1:PORT
	Inspector string // 127.0.0.1:PORT, if Config.Inspector is set

	cmd    *exec.Cmd
	done   <-chan struct{}
	config string
	log    process.Log
}

// Start starts workerd and returns when it listens. The caller stops it with
// Kill.
func Start(ctx context.Context, c Config) (*Process, error) {
	if err := os.MkdirAll(c.Disk, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "capdo-workerd-")
	if err != nil {
		return nil, err
	}
	p := &Process{config: dir}
	file := filepath.Join(dir, "config.capnp")
	if err := os.WriteFile(file, []byte(c.capnp(dir)), 0o644); err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	args := []string{"serve", "--experimental", "--control-fd=3"}
	if c.Inspector {
		args = append(args, "--inspector-addr=127.0.0.1:0")
	}
	p.cmd = exec.Command(c.Binary, append(args, file)...)
	p.cmd.ExtraFiles = []*os.File{w}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if c.Output != nil {
		p.cmd.Stdout, p.cmd.Stderr = c.Output, c.Output
	}
	p.done, err = process.Start(p.cmd, false, func() { p.cmd.Wait() })
	w.Close()
	if err != nil {
		return nil, err
	}
	if err := p.listening(ctx, r, c.Inspector); err != nil {
		p.Kill()
		return nil, fmt.Errorf("workerd did not start: %w\n%s", err, p.Log())
	}
	return p, nil
}

// listening waits until workerd has reported its port, and the inspector's.
func (p *Process) listening(ctx context.Context, r *os.File, inspector bool) error {
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
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			continue
		}
		switch m.Event {
		case "listen":
			p.URL = fmt.Sprintf("http://127.0.0.1:%d", m.Port)
		case "listen-inspector":
			p.Inspector = fmt.Sprintf("127.0.0.1:%d", m.Port)
		}
		if p.URL != "" && (p.Inspector != "" || !inspector) {
			return nil
		}
	}
	return errors.Join(lines.Err(), errors.New("workerd did not report its port"))
}

// Log returns the output of workerd and the Worker.
func (p *Process) Log() string { return p.log.String() }

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Kill ends the process with SIGKILL and waits for it.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	<-p.done
	os.RemoveAll(p.config)
}

// capnp returns the configuration. workerd reads embedded files relative to the
// configuration's folder, dir.
func (c *Config) capnp(dir string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [ (name = "main", worker = .w), (name = "disk", disk = (path = %q, writable = true))`, c.Disk)
	if c.Private {
		b.WriteString(`, (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true)))`)
	}
	for name, address := range c.Services {
		fmt.Fprintf(&b, ", (name = %q, external = (address = %q, http = ()))", name, address)
	}
	if c.Outbound != "" {
		fmt.Fprintf(&b, ", (name = \"outbound\", external = (address = %q, http = ()))", c.Outbound)
	}
	if c.Second != nil {
		b.WriteString(", (name = \"second\", worker = .second)")
	}
	fmt.Fprintf(&b, " ],\n  sockets = [ (name = \"http\", address = \"127.0.0.1:%d\", "+
		"http = (), service = \"main\") ],\n", c.Port)
	fmt.Fprintf(&b, "  v8Flags = %s,\n);\nconst w :Workerd.Worker = (\n  modules = [\n",
		list(c.V8Flags))
	for _, m := range ListModules(c.Modules, c.Main) {
		fmt.Fprintf(&b, "    (name = %q, %s = embed %q),\n", m.Name, m.Kind, relative(dir, m.File))
	}
	date := cmp.Or(c.Date, CompatibilityDate)
	fmt.Fprintf(&b, "  ],\n  compatibilityDate = %q,\n  compatibilityFlags = %s,\n"+
		"  durableObjectNamespaces = [\n", date, list(c.Flags))
	for i, n := range c.Objects {
		// a class may have several bindings
		if !slices.ContainsFunc(c.Objects[:i],
			func(m Namespace) bool { return m.Class == n.Class }) {
			fmt.Fprintf(&b, "    (className = %q, uniqueKey = %q, enableSql = %v),\n",
				n.Class, n.Key, !n.KV)
		}
	}
	storage := `localDisk = "disk"`
	if c.InMemory {
		storage = "inMemory = void"
	}
	fmt.Fprintf(&b, "  ],\n  durableObjectStorage = (%s),\n  bindings = [\n", storage)
	for _, n := range c.Objects {
		fmt.Fprintf(&b, "    (name = %q, durableObjectNamespace = %q),\n", n.Binding, n.Class)
	}
	for k, v := range c.Vars {
		fmt.Fprintf(&b, "    (name = %q, text = %s),\n", k, Quote(v))
	}
	for k, v := range c.JSON {
		fmt.Fprintf(&b, "    (name = %q, json = %s),\n", k, Quote(v))
	}
	for name := range c.Services {
		fmt.Fprintf(&b, "    (name = %q, service = %q),\n", name, name)
	}
	for name, class := range c.Entrypoints {
		fmt.Fprintf(&b,
			"    (name = %q, service = (name = \"main\", entrypoint = %q)),\n", name, class)
	}
	for name, class := range c.Queues {
		fmt.Fprintf(&b,
			"    (name = %q, queue = (name = \"main\", entrypoint = %q)),\n", name, class)
	}
	if c.Second != nil {
		fmt.Fprintf(&b, "    (name = %q, service = \"second\"),\n", c.Second.Binding)
	}
	b.WriteString("  ],\n")
	if c.Outbound != "" {
		b.WriteString("  globalOutbound = \"outbound\",\n")
	}
	b.WriteString(");\n")
	if s := c.Second; s != nil {
		fmt.Fprintf(&b, `const second :Workerd.Worker = (
  modules = [ (name = "main.mjs", esModule = embed %q) ],
  compatibilityDate = %q,
  compatibilityFlags = %s,
  bindings = [ (name = "WORKER", service = (name = "main", entrypoint = %q)) ],
);
`, relative(dir, s.Module), date, list(s.Flags), s.Entrypoint)
	}
	return b.String()
}

func relative(dir, path string) string {
	if file, err := filepath.Rel(dir, path); err == nil {
		return file
	}
	return path // workerd will report the missing file
}

// kind returns the config's field for a module of that name.
func kind(name string) string {
	switch filepath.Ext(name) {
	case ".mjs", ".js":
		return "esModule"
	case ".wasm":
		return "wasm"
	case ".json":
		return "json"
	}
	return "data"
}

// Quote returns a Cap'n Proto string. Bytes that are not printable ASCII become
// \xHH.
func Quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// Module is a module of a Worker.
type Module struct {
	Name, File string
	Kind       string // the config's field
}

// ListModules lists the modules by name. The main one comes first, where
// workerd expects it.
func ListModules(modules map[string]string, main string) []Module {
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(modules)),
		func(name string) bool { return name == main })
	var list []Module
	for _, name := range append([]string{main}, names...) {
		list = append(list, Module{name, modules[name], kind(name)})
	}
	return list
}

func list(s []string) string {
	q := make([]string, len(s))
	for i, v := range s {
		q[i] = fmt.Sprintf("%q", v)
	}
	return "[" + strings.Join(q, ", ") + "]"
}
