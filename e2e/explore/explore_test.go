//go:build !js

// Package explore runs the real wasm and the real glue under Node, on a
// simulated workerd, in many orders of events. It checks the invariants of
// internal/jsrt/PROTOCOL.md after each event. rules_test.go checks in workerd
// what the simulation assumes.
package explore

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"flow.internal/capdo/internal/build"
	"flow.internal/capdo/internal/node"
)

var (
	duration   = flag.Duration("explore", 12*time.Second, "how long to run random schedules")
	exhaustive = flag.Duration("exhaustive", 12*time.Second, "how long to run the interleavings of small scenarios, at most")
	seed       = flag.Int("seed", -1, "the one schedule to run, with its events")
	first      = flag.Int("first", 1, "the first of the seeds")
	only       = flag.String("only", "", "the one scenario to run")
	path       = flag.String("path", "", "the one interleaving of a small scenario to run, with -only")
)

func TestExplore(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("GOFLAGS", "-tags=explore") // exports the state of Go's side
	if _, err := build.Run(context.Background(), "worker", dir, nil); err != nil {
		t.Fatal(err)
	}
	node, err := node.Find(".")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--allow-natives-syntax", "testdata/explore.mjs", dir, fmt.Sprintf("first=%d", *first)}
	switch {
	case *seed >= 0:
		args = append(args, fmt.Sprintf("seed=%d", *seed))
	case *path != "":
		args = append(args, "path="+*path)
	default:
		args = append(args, fmt.Sprintf("for=%d", duration.Milliseconds()), fmt.Sprintf("exhaustive=%d", exhaustive.Milliseconds()))
	}
	if *only != "" {
		args = append(args, "only="+*only)
	}
	cmd := exec.Command(node, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("%v\nhint: go test ./e2e/explore -v -seed N runs a schedule again", err)
	}
}
