//go:build !js

package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRun makes every peer do every kind of work for a moment. The driver
// checks the answers.
func TestRun(t *testing.T) {
	p := plan{rounds: 1, duration: 40 * time.Millisecond, warm: 40 * time.Millisecond, cold: 1, progress: io.Discard}
	if err := p.choose("", "", "2"); err != nil {
		t.Fatal(err)
	}
	r, err := p.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range works {
		for _, s := range p.peers {
			for _, n := range p.callers {
				row := r.row(w.Name, s.Name, n)
				switch {
				case !w.isFor(s):
					if row != nil {
						t.Errorf("%s: %s was measured", s.Name, w.Name)
					}
				case row == nil || row.Requests == 0 || row.P99 < row.P50 || row.P50 <= 0:
					t.Errorf("%s, %s, %d callers: %+v", s.Name, w.Name, n, row)
				}
			}
		}
	}
	for _, m := range r.Memory {
		if m.Resident < 10<<20 || (m.Wasm > 0) != (m.Peer != "js-rpc" && m.Peer != "js-json") {
			t.Errorf("memory: %+v", m)
		}
	}
	dir := t.TempDir()
	if err := r.write(dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "RESULTS.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| claim of a key that is taken |", "## Cold start", "1 MB down"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("RESULTS.md has no %q", want)
		}
	}
}

// serve builds and starts a peer, until the test is over.
func serve(t *testing.T, p *peer) (*builder, *server) {
	t.Helper()
	b, err := newBuilder()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.remove)
	modules, err := b.modules(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.start(t.Context(), p, modules, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	return b, s
}

// TestWrongAnswer checks that the driver detects a wrong answer.
func TestWrongAnswer(t *testing.T) {
	b, s := serve(t, peers[0])
	taken := *works[1]
	if taken.Name != "taken" {
		t.Fatal("the second kind of work is " + taken.Name)
	}
	// The keys are not taken yet, so the first claims succeed.
	if _, err := measure(t.Context(), s, &taken, 1, 100*time.Millisecond); err == nil || !strings.Contains(err.Error(), "inserted is not false") {
		t.Errorf("the error is %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.modules(ctx, peers[3]); err == nil {
		t.Error("a build continued after its context had ended")
	}
}
