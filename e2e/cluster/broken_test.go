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

// The ledger without its check of owner and fence accepts calls of holders who
// have lost their claim. The checker must notice that across nodes.
func TestMissingFenceCheckIsCaught(t *testing.T) {
	const entry = "../../dedupe/dodedupe/internal/entry/transition.go"
	broken := buildWith(t, entry, "return e.Number == h.Fence && e.Owner == h.Owner", "return true")
	t.Parallel()
	isCaught(t, newLabOf(t, broken.Dir, loadConfig(t, "worker"), 2, &network{why: "not needed"}, same))
}

// buildWith builds the Worker with one line of a file replaced. It changes the
// environment, so no other test may run.
func buildWith(t *testing.T, file, line, by string) worker.Built {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), line, by, 1)
	if changed == string(text) {
		t.Fatalf("%s does not contain %q any more", file, line)
	}
	if file, err = filepath.Abs(file); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	other, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{file: other}})
	if err != nil {
		t.Fatal(err)
	}
	for path, b := range map[string][]byte{other: []byte(changed), overlay: replace} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
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
