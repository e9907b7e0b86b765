//go:build !js

package durablesql

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// workerd's program contains SQLite's version as a string.
func TestTheVersionIsThatOfWorkerdsSQLite(t *testing.T) {
	found, err := filepath.Glob("../../node_modules/@cloudflare/workerd-*/bin/workerd")
	if err != nil || len(found) == 0 {
		t.Fatalf("workerd is not installed: %v; hint: npm ci", err)
	}
	program, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(program, []byte(sqliteVersion+"\x00")) {
		t.Errorf("%s does not contain %q", found[0], sqliteVersion)
	}
}
