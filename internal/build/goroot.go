package build

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// GoRoot returns the folder of the Go installation that the go command uses.
func GoRoot(ctx context.Context) (string, error) {
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	return strings.TrimSpace(string(root)), nil
}

// WasmExec returns the content of Go's own wasm_exec.js.
func WasmExec(ctx context.Context) ([]byte, error) {
	root, err := GoRoot(ctx)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(root, "lib", "wasm", "wasm_exec.js"))
	if err != nil {
		return nil, fmt.Errorf("this Go installation has no lib/wasm: %w"+
			"\nhint: install Go from go.dev, or your distribution's package with the wasm files",
			err)
	}
	return b, nil
}
