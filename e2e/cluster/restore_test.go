//go:build !js

package cluster

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/e2e/proof"
)

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
