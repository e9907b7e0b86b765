package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"flow.internal/capdo/internal/gotest"
	"github.com/spf13/cobra"
)

// testFlags are capdo's own flags of test and exec.
type testFlags struct {
	hang    time.Duration
	env     string // of the wrangler config
	passEnv []string
	verbose bool
	report  string // file for verbose output, because go test hides the output of passing tests
}

func (f *testFlags) add(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&f.hang, "hang", 10*time.Second,
		"end a test program in which nothing happens for that long, with goroutine traces")
	cmd.Flags().StringVar(&f.env, "env", "",
		"the environment of the wrangler config that tests run in")
	cmd.Flags().StringSliceVar(&f.passEnv, "pass-env", nil,
		"names of environment variables that tests may see (besides Go's own, such as GODEBUG)")
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "x", false,
		"print the commands, and how long workerd took to start")
}

func newExec() *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   "exec [flags] program [test flags]",
		Short: "Run a compiled Go test program inside workerd, for go test -exec",
		Long: `Exec runs a Go test program that was compiled with GOOS=js GOARCH=wasm inside
workerd, in the current folder, and exits with its exit code. It is meant for
go test -exec, for example in an editor; capdo test is the short form.`,
		Example: `  GOOS=js GOARCH=wasm go test -exec 'capdo exec' ./...
  GOOS=js GOARCH=wasm go test -exec 'capdo exec --hang 1m' -run Alarm -v .`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.exec(cmd.Context(), args[0], args[1:])
		},
	}
	cmd.Flags().SetInterspersed(false)
	f.add(cmd)
	cmd.Flags().StringVar(&f.report, "report", "", "")
	cmd.Flags().MarkHidden("report")
	return cmd
}

// exec runs the test program and returns its exit code.
func (f *testFlags) exec(ctx context.Context, program string, args []string) error {
	o := gotest.Options{Program: program, Args: slices.Clone(args), Dir: ".", PassEnv: f.passEnv,
		Env: f.env, Hang: f.hang, Stdout: os.Stdout, Stderr: os.Stderr}
	r, err := gotest.Run(ctx, o)
	if f.verbose {
		f.print(program, r)
	}
	if err == nil && r.Code != 0 {
		return exitStatus(r.Code)
	}
	return err
}

func (f *testFlags) print(program string, r gotest.Result) {
	w := os.Stderr
	if f.report != "" {
		file, err := os.OpenFile(f.report, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return
		}
		defer file.Close()
		w = file
	}
	ms := time.Millisecond
	fmt.Fprintf(w, "%s: workerd was up after %v, the tests took %v, and the cleanup %v\n",
		filepath.Base(program), r.Start.Round(ms), r.Tests.Round(ms), r.End.Round(ms))
}
