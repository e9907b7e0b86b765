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
	"flag"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/internal/workerd"
)

var (
	loadFor = flag.Duration("load", 9*time.Second, "how long the histories are")
	soakFor = flag.Duration("soak", 0, "how long TestSoak runs; 0 skips it")
)

// lab is a workerd that serves the Worker, one after the other on the same
// disk.
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
