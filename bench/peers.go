//go:build !js

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"flow.internal/capdo/internal/build"
	"flow.internal/capdo/internal/node"
	"flow.internal/capdo/internal/workerd"
)

// peer is one way to write the same Worker. Each peer has a separate workerd
// process.
type peer struct {
	Name  string
	Title string
	Main  string   // its main module
	Go    string   // the folder of its Go program, if it has one
	Capdo bool     // built with capdo
	Also  []string // more modules
	only  []string // names of the kinds of work that it does; nil means all
}

// peers are the peers that are compared. The others are compared with the first
// one.
var peers = []*peer{
	{Name: "js-rpc", Title: "JavaScript, RPC", Main: "rpc.mjs"},
	{Name: "js-json", Title: "JavaScript, fetch + JSON", Main: "json.mjs"},
	{Name: "simple", Title: "Go, a runtime per object", Main: "simple.mjs", Go: "simple"},
	{Name: "handlefetch", Title: "capdo, HandleFetch", Main: "capdo.mjs",
		Go: "handlefetch", Capdo: true},
	{Name: "nethttp", Title: "capdo, net/http", Main: "capdo.mjs", Go: "nethttp", Capdo: true},
}

// objectPeer is not in the tables. It is compared for what an object alone
// costs.
var objectPeer = &peer{Name: "object", Title: "capdo, the object alone", Main: "object.mjs",
	Go: "handlefetch", Capdo: true, Also: []string{"rpc.mjs", "common.mjs"},
	only: []string{"taken", "new"}}

var emptyPeer = &peer{Name: "empty", Title: "an empty Go program", Main: "empty.mjs", Go: "empty"}

// builder builds and starts peers.
type builder struct {
	root    string // of the repository
	dir     string // for the builds
	workerd string
}

func newBuilder() (*builder, error) {
	root, err := goEnv("GOMOD")
	if err != nil {
		return nil, err
	}
	root = filepath.Dir(root)
	binary, err := node.Workerd(root)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "capdo-bench-")
	return &builder{root: root, dir: dir, workerd: binary}, err
}

// remove removes what was built.
func (b *builder) remove() { os.RemoveAll(b.dir) }

func goEnv(name string) (string, error) {
	out, err := exec.Command("go", "env", name).Output()
	return strings.TrimSpace(string(out)), err
}

// modules builds a peer and lists its modules.
func (b *builder) modules(ctx context.Context, p *peer) (map[string]string, error) {
	out := filepath.Join(b.dir, p.Name)
	m := map[string]string{}
	switch {
	case p.Capdo:
		if _, err := build.Run(ctx, b.peerDir(p), out, nil); err != nil {
			return nil, err
		}
		m = workerd.BuildModules(out)
	case p.Go != "":
		if err := os.MkdirAll(out, 0o755); err != nil {
			return nil, err
		}
		goroot, err := build.GoRoot(ctx)
		if err != nil {
			return nil, err
		}
		m["wasm_exec.js"], m["app.wasm"] = filepath.Join(goroot, "lib", "wasm", "wasm_exec.js"),
			filepath.Join(out, "app.wasm")
		if err := compile(ctx, b.peerDir(p), m["app.wasm"]); err != nil {
			return nil, err
		}
	default:
		m["common.mjs"] = filepath.Join(b.root, "bench/peers/common.mjs")
	}
	for _, name := range append(p.Also, p.Main) {
		m[name] = filepath.Join(b.root, "bench/peers", name)
	}
	return m, nil
}

func (b *builder) peerDir(p *peer) string { return filepath.Join(b.root, "bench/peers", p.Go) }

func compile(ctx context.Context, dir, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", dir, err, msg)
	}
	return nil
}

// server is a running peer.
type server struct {
	*peer
	*workerd.Process
	client *http.Client
	disk   string // the folder of its storage
	serial int    // numbers keys and values
	last   []int  // the last number of each stream

	prepared map[string]bool // see growth.go
}

const maxCallers = 256

// start starts a peer with separate storage.
func (b *builder) start(
	ctx context.Context, p *peer, modules map[string]string, inspector bool,
) (*server, error) {
	disk, err := os.MkdirTemp(b.dir, "disk-")
	if err != nil {
		return nil, err
	}
	c := workerd.Config{Binary: b.workerd, Main: p.Main, Modules: modules, Disk: disk,
		Inspector: inspector}
	if p != emptyPeer {
		c.Objects = workerd.Namespaces("Dedupe", "Ledger", "Thing")
	}
	process, err := workerd.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: maxCallers,
		MaxConnsPerHost: maxCallers}}
	return &server{peer: p, Process: process, client: client, disk: disk,
		last: make([]int, maxCallers), prepared: map[string]bool{}}, nil
}

// stop ends the process.
func (s *server) stop() {
	s.client.CloseIdleConnections()
	s.Kill()
}

// send sends a request and returns the body of the answer. The status must be
// 200.
func (s *server) send(method, path string, body []byte, header ...string) ([]byte, error) {
	r, err := http.NewRequest(method, s.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %.200s", resp.StatusCode, b)
	}
	return b, err
}
