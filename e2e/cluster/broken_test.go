//go:build !js

package cluster

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"flow.internal/capdo/e2e/internal/worker"
)

const entries = "../../dedupe/dodedupe/internal/entry/"

// change is a replacement in a file.
type change struct{ file, old, new string }

// The ledger without its check of owner and fence accepts calls of holders who
// have lost their claim. The checker must notice that across nodes.
func TestMissingFenceCheckIsCaught(t *testing.T) {
	broken := buildWith(t, change{entries + "transition.go", "return e.Number == h.Fence && e.Owner == h.Owner", "return true"})
	t.Parallel()
	isCaught(t, newLabOf(t, broken.Dir, loadConfig(t, "worker"), 2, &network{why: "not needed"}, same))
}

// buildWith builds the Worker with changes. It changes the environment, so no
// other test may run.
func buildWith(t *testing.T, changes ...change) worker.Built {
	t.Helper()
	dir, replace := t.TempDir(), map[string]string{}
	for _, c := range changes {
		file, err := filepath.Abs(c.file)
		if err != nil {
			t.Fatal(err)
		}
		from := file
		if changed, ok := replace[file]; ok {
			from = changed
		}
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), c.old) {
			t.Fatalf("%s does not contain %q any more", c.file, c.old)
		}
		replace[file] = filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		changed := strings.Replace(string(text), c.old, c.new, 1)
		if err := os.WriteFile(replace[file], []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay := filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	flags, err := exec.Command("go", "env", "GOFLAGS").Output()
	if err != nil {
		t.Fatal(err)
	}
	before, set := os.LookupEnv("GOFLAGS")
	os.Setenv("GOFLAGS", strings.TrimSpace(string(flags))+" -overlay="+overlay)
	defer func() {
		os.Unsetenv("GOFLAGS")
		if set {
			os.Setenv("GOFLAGS", before)
		}
	}()
	b, err := worker.Build("worker", filepath.Join(dir, "build"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
