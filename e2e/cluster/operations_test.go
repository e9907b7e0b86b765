//go:build !js

package cluster

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/e2e/proof"
)

// Two nodes get a newer program, one after the other, while callers work. The
// newer program reads the old records, and writes records of the next version.
// Meanwhile both programs call each other's objects. No acknowledged claim may
// be lost, and the history must be linearizable.
func TestRollingUpgrade(t *testing.T) {
	const record = entries + "record.go"
	newer := buildWith(t,
		worker.Change{File: "worker/main.go", Old: `program = "older"`, New: `program = "newer"`},
		worker.Change{File: record, Old: "Version       = 2", New: "Version       = 3"},
		worker.Change{File: record, Old: "if _, err := codec.Versioned(b, Version)",
			New: "if len(b) > 0 && b[0] == 2 {\n\t\tb = append([]byte{Version}, b[1:]...)\n\t}\n\tif _, err := codec.Versioned(b, Version)"},
		worker.Change{File: record, Old: "head[0] < Version", New: "head[0] < 2"})
	t.Parallel()
	l := newLab(t, 2, &network{why: "not needed"}, same)
	upgrade := func(t testing.TB, w *load, _ *node) {
		for _, n := range w.nodes {
			n.serves(t, "older")
			n.avoid.Store(true) // like a load balancer that polls /readyz
			n.down.Store(true)
			if err := n.running().Stop(); err != nil { // on a busy machine its lease may expire
				t.Logf("  node %d: %v", n.number, err)
			}
			n.options.Build = newer.Dir
			n.revive(t)
			w.recover(t)
			n.serves(t, "newer")
		}
	}
	w := run(t, l, []fault{{"an upgrade, node by node", upgrade}})
	if w.figures.acquired == 0 {
		t.Errorf("the load is too small: %v", &w.figures)
	}
}

// serves fails the test unless the node serves a program.
func (n *node) serves(t testing.TB, program string) {
	t.Helper()
	resp, err := newClient().Post("http://"+n.options.Listen+"/?op=put&key=serves", "", nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Program"); got != program {
		t.Errorf("node %d serves %q, want %q", n.number, got, program)
	}
}

// A copy of the bucket, made while no node runs, is a backup. New nodes with
// empty folders can start with it.
func TestRestore(t *testing.T) {
	t.Parallel()
	l := newLab(t, 2, &network{why: "not needed"}, same)
	w := newLoad(l)
	c := &caller{load: w, client: &http.Client{Timeout: 20 * time.Second}}
	const keys = 8
	for n := range keys {
		if a, _ := c.send(l.nodes[n%2], claimOf(fmt.Sprint(n), "holder"), 0); a.Outcome != "acquired" {
			t.Fatalf("key %d: %+v", n, a)
		}
	}
	var wg sync.WaitGroup
	for _, n := range l.nodes {
		n.down.Store(true)
		wg.Go(func() {
			if err := n.running().Stop(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if out, err := exec.Command("cp", "-a", filepath.Join(l.bucket.Dir, "c"), filepath.Join(l.bucket.Dir, "restored")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n := l.newNode(t, 3, "restored")
	l.nodes = append(l.nodes, n)
	n.start(t)
	n.await(t)
	for k := range keys {
		var a proof.Answer
		for end := time.Now().Add(patient); time.Now().Before(end) && a.Status != "ok"; {
			a, _ = c.send(n, claimOf(fmt.Sprint(k), "another"), 0)
		}
		if a.Outcome != "in progress" {
			t.Errorf("key %d after the restore: %+v", k, a)
		}
	}
}

// When the file with the bucket's credentials is replaced, it is read again
// without a restart.
func TestCredentialsRotate(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1, &network{why: "not needed"}, same)
	good, err := os.ReadFile(l.credentials)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(text string) {
		t.Helper()
		next := l.credentials + ".next"
		if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, l.credentials); err != nil {
			t.Fatal(err)
		}
	}
	n := l.nodes[0]
	replace("AWS_ACCESS_KEY_ID=rotated\nAWS_SECRET_ACCESS_KEY=another\n")
	for end := time.Now().Add(patient); !n.link.rotated.Load(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no request had the new access key")
		}
	}
	replace(string(good))
	c := &caller{load: newLoad(l), client: &http.Client{Timeout: 20 * time.Second}}
	for end := time.Now().Add(patient); ; {
		a, _ := c.send(n, claimOf("key", "holder"), 0)
		if a.Outcome == "acquired" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("with the first key again: %+v", a)
		}
	}
	if n.ends.Load() > 0 {
		t.Error("the node has ended")
	}
}
