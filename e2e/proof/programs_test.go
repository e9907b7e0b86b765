//go:build !js

package proof

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flow.internal/capdo/e2e/internal/worker"
)

// The programs are compiled from the sources of dodedupe with these changes.
// Both give each object of a ledger its own clock, and look every second for
// records that they could not read. The newer program has another version of
// records.
var (
	clockChanges = []change{
		{"ledgerobject.go", "Clock: unixMilli", "Clock: ownClock(state)"},
		{"embed.go", "Clock: unixMilli", "Clock: ownClock(state)"},
		{"internal/entry/entry.go", "NewerRetry = 60_000", "NewerRetry = 1000"},
	}
	newerChanges = []change{
		{"internal/entry/record.go", "Version       = 2", "Version       = 3"},
		{"internal/entry/record.go", "if _, err := codec.Versioned(b, Version)", "if len(b) > 0 && b[0] == 2 {\n\t\tb = append([]byte{Version}, b[1:]...)\n\t}\n\tif _, err := codec.Versioned(b, Version)"},
		{"internal/entry/record.go", "head[0] < Version", "head[0] < 2"},
	}
)

type change struct{ file, old, new string }

var built, newer worker.Built

func TestMain(m *testing.M) { worker.MainWith(m, buildPrograms) }

func buildPrograms(scratch string) (err error) {
	if err := overlay(scratch, "later", append(newerChanges, clockChanges...)); err != nil {
		return err
	}
	if newer, err = worker.Build("worker", filepath.Join(scratch, "newer")); err != nil {
		return err
	}
	if err := overlay(scratch, "clock", clockChanges); err != nil {
		return err
	}
	built, err = worker.Build("worker", filepath.Join(scratch, "built"))
	return err
}

// overlay makes Go compile dodedupe with changes from now on.
func overlay(scratch, name string, changes []change) error {
	dir := filepath.Join(scratch, name)
	dodedupe, err := filepath.Abs("../../dedupe/dodedupe")
	if err != nil {
		return err
	}
	clock, err := filepath.Abs("testdata/clock.go.txt")
	if err := errors.Join(err, os.Mkdir(dir, 0o755)); err != nil {
		return err
	}
	replace := map[string]string{filepath.Join(dodedupe, "proofclock.go"): clock}
	for _, c := range changes {
		file := filepath.Join(dodedupe, c.file)
		from := file
		if before, ok := replace[file]; ok {
			from = before
		}
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if !strings.Contains(string(text), c.old) {
			return fmt.Errorf("%s no longer has %q", c.file, c.old)
		}
		replace[file] = filepath.Join(dir, strings.ReplaceAll(c.file, "/", "_"))
		if err := os.WriteFile(replace[file], []byte(strings.ReplaceAll(string(text), c.old, c.new)), 0o600); err != nil {
			return err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	if err := os.WriteFile(dir+".json", list, 0o600); err != nil {
		return err
	}
	return os.Setenv("GOFLAGS", "-overlay="+dir+".json")
}
