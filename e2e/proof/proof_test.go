//go:build !js

// Package proof checks that what callers of the store, the ledger and the sequencer see in workerd can be explained by one operation happening after the
// other, while workerd is killed, the Go program crashes, objects are aborted and evicted, and replies are lost.
package proof

import (
	"context"
	"flag"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/internal/workerd"
)

var (
	loadFor = flag.Duration("load", 12*time.Second, "how long the histories are")
	soakFor = flag.Duration("soak", 0, "how long TestSoak runs; 0 skips it")

	built worker.Built
)

func TestMain(m *testing.M) { worker.Main(m, &built) }

// lab is a workerd that serves the Worker, one after the other on the same disk.
type lab struct {
	config workerd.Config

	mu      sync.Mutex
	process *workerd.Process
}

func newLab(t testing.TB) *lab {
	t.Helper()
	main, err := filepath.Abs("testdata/main.mjs")
	if err != nil {
		t.Fatal(err)
	}
	modules := workerd.BuildModules(built.Dir)
	modules["main.mjs"] = main
	l := &lab{config: workerd.Config{
		Binary: built.Binary, Main: "main.mjs", Modules: modules, Disk: t.TempDir(), Flags: []string{"unsafe_module"},
		Objects: workerd.Namespaces("Dedupe", "Ledger", "LedgerKV", "Racy"),
	}}
	l.config.Objects[2].KV = true
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
