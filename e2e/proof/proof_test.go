//go:build !js

// Package proof checks the store, the ledger and the sequencer in workerd:
// their callers' results must be explained by operations that happen one after
// another. Meanwhile workerd is killed, the Go program crashes, objects are
// aborted and evicted, and replies are lost. Objects' clocks jump, users'
// transactions are rolled back, OnExpired functions fail, programs of two
// versions take turns, and calls are refused. In the end every dead holder was
// reported, and everything that expired is removed. Work of Do never overlaps
// while its holder is healthy.
package proof

import (
	"context"
	"flag"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/internal/workerd"
)

var (
	loadFor = flag.Duration("load", 9*time.Second, "how long a history takes")
	soakFor = flag.Duration("soak", 0, "how long TestSoak runs; 0 skips it")
)

// lab runs the Worker in one workerd after another, on the same disk.
type lab struct {
	config workerd.Config

	reports *reports

	mu      sync.Mutex
	process *workerd.Process
}

func newLab(t testing.TB) *lab {
	t.Helper()
	main, err := filepath.Abs("testdata/main.mjs")
	if err != nil {
		t.Fatal(err)
	}
	r := newReports(t)
	l := &lab{reports: r, config: workerd.Config{
		Binary: built.Binary, Main: "main.mjs", Disk: t.TempDir(), Flags: []string{"unsafe_module"}, Outbound: r.address,
		Objects: workerd.Namespaces("Dedupe", "Ledger", "Racy", "Account"),
	}}
	l.serve(built.Dir, main)
	if err := l.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.kill()
		if t.Failed() {
			t.Logf("workerd printed:\n%s", tail(l.process.Log()))
		}
	})
	return l
}

// serve makes the lab serve the program in a folder from its next start on.
func (l *lab) serve(dir, main string) {
	l.config.Modules = workerd.BuildModules(dir)
	l.config.Modules["main.mjs"] = main
}

// swap switches between the program and the newer one.
func (l *lab) swap() {
	modules := l.config.Modules
	dir := newer
	if filepath.Dir(modules["entry.mjs"]) == newer {
		dir = built.Dir
	}
	l.serve(dir, modules["main.mjs"])
}

func (l *lab) start() error {
	p, err := workerd.Start(context.Background(), l.config)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.process = p
	}
	return err
}

func (l *lab) kill() { l.process.Kill() }

func (l *lab) url() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.process.URL
}

func tail(log string) string {
	lines := strings.Split(log, "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}
