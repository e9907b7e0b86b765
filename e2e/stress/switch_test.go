//go:build !js

package stress

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"flow.internal/capdo/e2e/internal/worker"
)

// switching is what TestAllocationsSwitch adds to the function of Go's runtime
// that allocates. It lets other goroutines run under the same conditions as
// Go's garbage collector, which does it when an allocation has to help it.
const switching = `
	if gp := getg(); mainStarted && memstats.enablegc && gp != gp.m.g0 && gp == gp.m.curg &&
		gp.m.locks == 0 && gp.m.preemptoff == "" && cheaprandn(30) == 0 {
		Gosched()
	}
`

// TestAllocationsSwitch runs mixes in a program in which each thirtieth
// allocation lets other goroutines run. That normally happens once in many
// thousand requests, while JavaScript enters Go perhaps once in a million.
func TestAllocationsSwitch(t *testing.T) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	const begin = "func mallocgc(size uintptr, typ *_type, needzero bool) unsafe.Pointer {\n"
	built, err := worker.BuildWith("worker", t.TempDir(), []worker.Change{{
		File: filepath.Join(strings.TrimSpace(string(root)), "src/runtime/malloc.go"),
		Old:  begin, New: begin + switching}})
	if err != nil {
		t.Fatal(err)
	}
	s := firstSeed()
	for _, m := range mixes {
		if m.keys {
			continue
		}
		m.built = &built
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			m.run(t, s, *runFor/3, func(round int) bool { return round < 3 })
		})
	}
}
