// Command capdo builds Go programs into Workers with Durable Objects, checks
// them, runs them locally and deploys them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"

	"flow.internal/capdo/internal/wrangler"
	"github.com/spf13/cobra"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals...)
	defer stop()
	err := newRoot().ExecuteContext(ctx)
	var status exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	case ctx.Err() != nil:
		return 130
	}
	printError(os.Stderr, err)
	return 1
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "capdo",
		Short: "Durable Objects for Go",
		Long: `capdo builds Go programs that register Durable Object classes into Workers,
checks them against their wrangler config, runs them locally, and deploys them.

A project is a folder with a Go package main, which calls durable.Register and
durable.Run, and a wrangler config, whose main is build/entry.mjs. Wrangler
serves and deploys the project: it needs only the build folder.`,
		Example: `  capdo build   compile, check against the wrangler config, write build/
  capdo check   check the wrangler config with all its environments
  capdo dev     serve on http://127.0.0.1:8787 and rebuild on each change
  capdo profile record which functions use the CPU
  capdo serve   run it on your own machine
  capdo bench   put load on it, and measure rates and latencies
  capdo cost    estimate what a ledger costs at Cloudflare
  capdo deploy  check, build, and deploy it to Cloudflare`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("there is no command %q\nhint: see capdo --help", args[0])
			}
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w\nhint: see %s --help", err, cmd.CommandPath())
	})
	root.AddCommand(newBuild(), newCheck(), newDev(), newDeploy(), newServe(), newCluster(),
		newTest(), newExec(), newNew(), newProfile(), newBench(), newCost())
	return root
}

// exitStatus ends capdo with the status of a program that has printed its own
// error.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// problemsError is the error for a config that does not fit the program.
type problemsError []wrangler.Problem

func (e problemsError) Error() string { return e[0].Message }

// printError prints the error, and then the hints. Errors carry their hints as
// lines at the end of their message.
func printError(w io.Writer, err error) {
	var problems problemsError
	if errors.As(err, &problems) {
		printProblems(w, problems)
		return
	}
	var message, hints []string
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimRight(line, "\n")
		switch {
		case !strings.HasPrefix(line, "hint: "):
			message = append(message, line)
		case !slices.Contains(hints, line):
			hints = append(hints, line)
		}
	}
	fmt.Fprintln(w, "error: "+strings.Join(append(message, hints...), "\n"))
}

func printProblems(w io.Writer, problems []wrangler.Problem) {
	for _, p := range problems {
		fmt.Fprintf(w, "%s\nhint: %s\n", p, p.Hint)
	}
}

func hasErrors(problems []wrangler.Problem) bool {
	return slices.ContainsFunc(problems,
		func(p wrangler.Problem) bool { return p.Severity == wrangler.Error })
}

// completeDir completes an argument that is usually a folder.
var completeDir = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)

// oneArg returns the argument of a command, or the current folder if there is
// none.
func oneArg(cmd *cobra.Command, args []string, what string) (string, error) {
	switch len(args) {
	case 0:
		return ".", nil
	case 1:
		return args[0], nil
	}
	return "", fmt.Errorf("%s takes one %s, not %s\nhint: see %[1]s --help", cmd.CommandPath(),
		what, strings.Join(args, " "))
}
