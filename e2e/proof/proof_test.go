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
	"flag"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/internal/workerd"
)

var (
	loadFor = flag.Duration("load", 9*time.Second, "how long a history takes")
	soakFor = flag.Duration("soak", 0, "how long TestSoak runs; 0 skips it")
)

// lab runs the Worker in one workerd after another, on the same disk.
type lab struct {
	*worker.Server
	reports *reports
	isNewer bool // serves the newer program
}

func newLab(t testing.TB) *lab {
	t.Helper()
	r := newReports(t)
	return &lab{reports: r, Server: built.Start(t, workerd.Config{
		Main: "main.mjs", Flags: []string{"unsafe_module"}, Outbound: r.address,
	})}
}

// swap has the next process serve the other program.
func (l *lab) swap() {
	l.isNewer = !l.isNewer
	if l.isNewer {
		l.Use(&newer)
		return
	}
	l.Use(&built)
}
