//go:build !js

package proof

import (
	"os"
	"path/filepath"
	"testing"

	"flow.internal/capdo/e2e/internal/worker"
)

const dodedupe = "../../dedupe/dodedupe/"

// The programs are compiled from the sources of dodedupe with these changes.
// Both give each object of a ledger its own clock, and look every second for
// records that they could not read. The newer program has another version of
// records.
var (
	clockChanges = []worker.Change{
		{File: dodedupe + "ledgerobject.go", Old: "Clock: unixMilli", New: "Clock: ownClock(state)"},
		{File: dodedupe + "embed.go", Old: "Clock: unixMilli", New: "Clock: ownClock(state)"},
		{File: dodedupe + "internal/entry/entry.go", Old: "NewerRetry = 60_000", New: "NewerRetry = 1000"},
	}
	newerChanges = []worker.Change{
		{File: record, Old: "Version       = 2", New: "Version       = 3"},
		{File: record, Old: "if _, err := codec.Versioned(b, Version)",
			New: "if len(b) > 0 && b[0] == 2 {\n\t\tb = append([]byte{Version}, b[1:]...)\n\t}\n\tif _, err := codec.Versioned(b, Version)"},
		{File: record, Old: "head[0] < Version", New: "head[0] < 2"},
	}
)

const record = dodedupe + "internal/entry/record.go"

var built, newer worker.Built

func TestMain(m *testing.M) { worker.MainWith(m, buildPrograms) }

func buildPrograms(scratch string) error {
	clock, err := os.ReadFile("testdata/clock.go.txt")
	if err != nil {
		return err
	}
	older := append(clockChanges, worker.Change{File: dodedupe + "proofclock.go", New: string(clock)})
	newer, err = worker.BuildWith("worker", filepath.Join(scratch, "newer"), append(newerChanges, older...))
	if err != nil {
		return err
	}
	built, err = worker.BuildWith("worker", filepath.Join(scratch, "built"), older)
	return err
}
