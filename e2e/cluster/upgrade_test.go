//go:build !js

package cluster

import "testing"

// Two nodes get a newer program, one after the other, while callers work. The
// newer program reads the old records, and writes records of the next version.
// Meanwhile both programs call each other's objects. No acknowledged claim may
// be lost, and the history must be linearizable.
func TestRollingUpgrade(t *testing.T) {
	const record = entries + "record.go"
	newer := buildWith(t,
		change{"worker/main.go", `program = "older"`, `program = "newer"`},
		change{record, "Version       = 2", "Version       = 3"},
		change{record, "if _, err := codec.Versioned(b, Version)",
			"if len(b) > 0 && b[0] == 2 {\n\t\tb = append([]byte{Version}, b[1:]...)\n\t}\n\tif _, err := codec.Versioned(b, Version)"},
		change{record, "head[0] < Version", "head[0] < 2"})
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
