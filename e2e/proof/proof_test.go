//go:build !js

// Package proof checks that what callers of the store, the ledger and the
// sequencer see in workerd can be explained by one operation happening after
// the other, while workerd is killed, the Go program crashes, objects are
// aborted and evicted, and replies are lost; while objects' clocks jump, users'
// transactions are rolled back, functions that are told of dead holders fail,
// programs of two versions take turns, and calls are refused. In the end every
// dead holder has been told of, and what is over is removed. Work of Do runs
// alone while its holder is healthy.
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
	loadFor = flag.Duration("load", 9*time.Second, "how long the histories are")
	soakFor = flag.Duration("soak", 0, "how long TestSoak runs; 0 skips it")
)

// lab is a workerd that serves the Worker, one after the other on the same
// disk.
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

// serve has the lab serve the program in a folder when it starts next.
func (l *lab) serve(dir, main string) {
	l.config.Modules = workerd.BuildModules(dir)
	l.config.Modules["main.mjs"] = main
}

// swap changes between the program and the newer one.
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
