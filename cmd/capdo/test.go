package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

func newTest() *cobra.Command {
	return &cobra.Command{
		Use:   "test [packages] [go test flags]",
		Short: "Run Go tests inside workerd",
		Long: `Test compiles each package's tests for wasm and runs them inside workerd, with
real Durable Objects (see package durable/durabletest). It is go test with
GOOS=js, GOARCH=wasm and -exec set: packages, flags, output and exit codes are
go test's own. -race, -fuzz and -cpuprofile do not exist for wasm; fuzz targets
run their seed corpus.

Tests see the files in their package's folder and all files in its testdata. Files
that they write stay in memory, except profiles. They see Go's own environment
variables, such as GODEBUG, and those named with --pass-env.

An editor can do the same: GOOS=js GOARCH=wasm go test -exec 'capdo exec' ./…

capdo's own flags:
  --pass-env names  environment variables that tests may see, comma-separated
  --env name        the environment of the wrangler config that tests run in
  --hang duration   end a test program in which nothing happens for that long,
                    with goroutine traces (default 10s)
  -x                print the commands, and how long workerd took to start`,
		Example: `  capdo test
  capdo test ./... -v -run Alarm
  capdo test -bench . -benchmem -run '^$'
  capdo test -coverprofile cover.out && go tool cover -html cover.out`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := newTestRun(args)
			switch {
			case err != nil:
				return fmt.Errorf("%w\nhint: see capdo test --help", err)
			case t.help:
				return cmd.Help()
			}
			return t.run(cmd.Context())
		},
	}
}

// testRun is a run of go test.
type testRun struct {
	help, verbose bool
	exec          []string // flags for capdo exec
	args          []string // for go test
}

// newTestRun separates capdo's own flags from the arguments.
func newTestRun(args []string) (*testRun, error) {
	t := &testRun{}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		flag := strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-")
		name, value, hasValue := strings.Cut(flag, "=")
		switch {
		case arg == "-args" || arg == "--args": // the rest is for the test program
			t.args = append(append(t.args, arg), args...)
			return t, nil
		case arg == "-h" || arg == "-help" || arg == "--help":
			t.help = true
		case arg == "-x":
			t.verbose = true
			t.exec = append(t.exec, "-x")
		case arg[:min(1, len(arg))] == "-" &&
			(name == "env" || name == "pass-env" || name == "hang"):
			if !hasValue {
				if len(args) == 0 {
					return nil, fmt.Errorf("flag needs an argument: --%s", name)
				}
				value, args = args[0], args[1:]
			}
			if _, err := time.ParseDuration(value); name == "hang" && err != nil {
				return nil, fmt.Errorf("--hang: %w", err)
			}
			t.exec = append(t.exec, "--"+name+"="+value)
		default:
			t.args = append(t.args, arg)
		}
	}
	return t, nil
}

// run runs go test and returns its exit status.
func (t *testRun) run(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if t.verbose {
		report, err := os.CreateTemp("", "capdo-report-")
		if err != nil {
			return err
		}
		defer os.Remove(report.Name())
		defer io.Copy(os.Stderr, report)
		t.exec = append(t.exec, "--report="+report.Name())
	}
	execFlag := quoteFields(append([]string{self, "exec"}, t.exec...))
	cmd := exec.CommandContext(ctx, "go",
		append([]string{"test", "-exec=" + execFlag}, t.args...)...)
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	if t.verbose {
		fmt.Fprintf(os.Stderr, "GOOS=js GOARCH=wasm %s\n", quoteFields(cmd.Args))
	}
	done := sync.OnceFunc(progress(os.Stderr, "compiling"))
	defer done()
	cmd.Stdout, cmd.Stderr = &firstWrite{os.Stdout, done}, &firstWrite{os.Stderr, done}
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exitStatus(max(exit.ExitCode(), 1))
	case errors.Is(err, exec.ErrNotFound):
		return errors.New("the go command is not on PATH\nhint: install Go 1.26 or later")
	}
	return err
}

// quoteFields joins arguments in the format that go test -exec splits.
func quoteFields(args []string) string {
	args = slices.Clone(args)
	for i, a := range args {
		if a == "" || strings.ContainsAny(a, " \t\n'\"") {
			quote := "'"
			if strings.Contains(a, quote) {
				quote = `"`
			}
			args[i] = quote + a + quote
		}
	}
	return strings.Join(args, " ")
}

// firstWrite calls first before each write.
type firstWrite struct {
	io.Writer
	first func()
}

func (w *firstWrite) Write(p []byte) (int, error) {
	w.first()
	return w.Writer.Write(p)
}
