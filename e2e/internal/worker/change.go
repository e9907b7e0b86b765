package worker

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Change replaces a text in a source file. The text must be there exactly once.
// If Old is empty, the file does not exist, and New is its content.
type Change struct{ File, Old, New string }

// BuildWith is Build with changes in the program and its packages. The files
// themselves stay as they are. It sets GOFLAGS while it builds, so no other
// test may run.
func BuildWith(folder, dir string, changes []Change) (b Built, err error) {
	scratch, err := os.MkdirTemp("", "capdo-changes-")
	if err != nil {
		return b, err
	}
	defer os.RemoveAll(scratch)
	overlay, err := writeOverlay(scratch, changes)
	if err != nil {
		return b, err
	}
	flags, err := exec.Command("go", "env", "GOFLAGS").Output()
	if err != nil {
		return b, err
	}
	before, set := os.LookupEnv("GOFLAGS")
	defer func() {
		os.Unsetenv("GOFLAGS")
		if set {
			os.Setenv("GOFLAGS", before)
		}
	}()
	os.Setenv("GOFLAGS", strings.TrimSpace(string(flags))+" -overlay="+overlay)
	return Build(folder, dir)
}

// writeOverlay writes the changed files, and their list for go build.
func writeOverlay(dir string, changes []Change) (list string, err error) {
	replace := map[string]string{}
	for i, c := range changes {
		file, err := filepath.Abs(c.File)
		if err != nil {
			return "", err
		}
		text := []byte(c.New)
		if c.Old != "" {
			from := file
			if changed, ok := replace[file]; ok {
				from = changed
			}
			if text, err = os.ReadFile(from); err != nil {
				return "", err
			}
			if n := strings.Count(string(text), c.Old); n != 1 {
				return "", fmt.Errorf("%s has %q %d times, want once", c.File, c.Old, n)
			}
			text = []byte(strings.Replace(string(text), c.Old, c.New, 1))
		}
		replace[file] = filepath.Join(dir, strconv.Itoa(i)+".go")
		if err := os.WriteFile(replace[file], text, 0o600); err != nil {
			return "", err
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	list = filepath.Join(dir, "overlay.json")
	return list, os.WriteFile(list, b, 0o600)
}
