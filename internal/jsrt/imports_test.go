//go:build !js

package jsrt_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Only durable and the packages below it handle JavaScript values. All other
// packages use durable's types.
func TestOnlyDurableImportsJsrt(t *testing.T) {
	const module = "flow.internal/capdo/"
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...")
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	importers := 0
	for line := range strings.Lines(string(out)) {
		packages := strings.Fields(line)
		if !slices.Contains(packages[1:], module+"internal/jsrt") {
			continue
		}
		importers++
		name := strings.TrimPrefix(packages[0], module)
		if name != "durable" && !strings.HasPrefix(name, "durable/") && !strings.HasPrefix(name, "e2e/boundary/") { // e2e/boundary tests jsrt
			t.Errorf("%s imports internal/jsrt", name)
		}
	}
	if importers == 0 {
		t.Error("nothing imports internal/jsrt")
	}
}
