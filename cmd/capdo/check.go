package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"flow.internal/capdo/internal/shim"
	"flow.internal/capdo/internal/wrangler"
	"github.com/spf13/cobra"
)

func newCheck() *cobra.Command {
	var p project
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check [config]",
		Short: "Check a wrangler config against its program and Cloudflare's rules",
		Long: `Check reads a wrangler config (a file, or the one in a folder; default: the
current folder) with all its environments, compiles the program beside it, asks
it which classes it registers, and reports every problem with file, line and
column. It finds what wrangler deploy --dry-run finds about Durable Objects, and
what Cloudflare would refuse after that. Nothing is written.

The exit status is 1 if there is an error, and 0 if there are only warnings.
docs/migrations.md explains each rule.`,
		Example: `  capdo check
  capdo check ./examples/ledger
  capdo check --env test
  capdo check wrangler.staging.jsonc
  capdo check --json | jq '.[] | select(.severity == "error")'`,
		ValidArgsFunction: cobra.FixedCompletions([]string{"toml", "json", "jsonc"},
			cobra.ShellCompDirectiveFilterFileExt),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.takeArg(cmd, args); err != nil {
				return err
			}
			return p.check(cmd.Context(), os.Stdout, asJSON)
		},
	}
	addPlace(cmd)
	addEnv(cmd, &p.env, "check only this environment")
	cmd.Flags().BoolVarP(&p.verbose, "verbose", "x", false, "print the commands")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the problems as JSON")
	return cmd
}

// addEnv adds a flag that chooses one of the config's environments.
func addEnv(cmd *cobra.Command, env *string, usage string) {
	cmd.Flags().StringVar(env, "env", *env, usage)
	cmd.RegisterFlagCompletionFunc("env", func(
		cmd *cobra.Command, args []string, _ string,
	) ([]string, cobra.ShellCompDirective) {
		var p project
		if err := p.take(append(args, ".")[0]); err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c, err := p.config(cmd.Context())
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.Sorted(maps.Keys(c.Environments)), cobra.ShellCompDirectiveNoFileComp
	})
}

// addPlace adds flags for a program and a config that are not in one folder.
func addPlace(cmd *cobra.Command) {
	cmd.Flags().String("main", "", "folder of the package main, if it is not beside the config")
	cmd.Flags().String("config", "", "the wrangler config, if it is not beside the package main")
	cmd.MarkFlagDirname("main")
	cmd.MarkFlagFilename("config", "toml", "json", "jsonc")
}

// takeArg reads a command's argument, and the flags of addPlace.
func (p *project) takeArg(cmd *cobra.Command, args []string) error {
	path, err := oneArg(cmd, args, "folder or config")
	if err != nil {
		return err
	}
	main, _ := cmd.Flags().GetString("main")
	config, _ := cmd.Flags().GetString("config")
	switch {
	case config != "" && len(args) > 0:
		return fmt.Errorf("the config is named twice: %s and --config %s"+
			"\nhint: leave one out, or set --main to the folder of the package main", path, config)
	case config != "" && main == "":
		main = "."
	}
	if config != "" {
		path = config
	}
	if err := p.take(path); err != nil {
		return err
	}
	if main == "" {
		return nil
	}
	if p.file == "" { // use the config in the folder
		if p.file, err = wrangler.Find(p.dir); err != nil {
			return err
		}
	}
	info, err := os.Stat(main)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is not a folder", main)
	}
	if err != nil {
		return fmt.Errorf("--main: %w\nhint: set it to the folder of the package main", err)
	}
	p.dir = main
	return nil
}

// take reads the path of a folder or of a config in its folder.
func (p *project) take(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%w\nhint: give a wrangler config, or a folder that has one", err)
	}
	p.dir = path
	if !info.IsDir() {
		p.dir, p.file = filepath.Dir(path), path
	}
	return nil
}

// check prints the problems of the config.
func (p *project) check(ctx context.Context, w io.Writer, asJSON bool) error {
	config, err := p.config(ctx)
	if err != nil {
		return err
	}
	staged, err := p.stage(ctx)
	if err != nil {
		return err
	}
	problems, err := until(ctx, func() ([]wrangler.Problem, error) {
		return wrangler.CheckAll(config, staged.Description, time.Now()), nil
	})
	if err != nil {
		return err
	}
	if asJSON {
		err = printJSON(w, append([]wrangler.Problem{}, problems...))
	} else {
		printProblems(w, problems)
		fmt.Fprintf(w, "%s: %s (%s)\n", config.Path, tally(problems),
			subject(config, staged.Description))
	}
	if err == nil && hasErrors(problems) {
		return exitStatus(1)
	}
	return err
}

// tally returns the number of problems as text.
func tally(problems []wrangler.Problem) string {
	if len(problems) == 0 {
		return "no problems"
	}
	errors := 0
	for _, p := range problems {
		if p.Severity == wrangler.Error {
			errors++
		}
	}
	var out []string
	for _, n := range []struct {
		n    int
		noun string
	}{{errors, "error"}, {len(problems) - errors, "warning"}} {
		if n.n == 1 {
			out = append(out, "1 "+n.noun)
		} else if n.n > 1 {
			out = append(out, fmt.Sprintf("%d %ss", n.n, n.noun))
		}
	}
	return strings.Join(out, ", ")
}

// subject describes which parts of the config were checked against which
// classes.
func subject(c *wrangler.Config, program shim.Description) string {
	envs := []string{"top level"}
	if c.Env != "" {
		envs = []string{"env." + c.Env}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Environments)) {
		envs = append(envs, "env."+name)
	}
	classes := "no classes"
	if len(program.Classes) > 0 {
		var names []string
		for _, class := range program.Classes {
			names = append(names, class.Name)
		}
		classes = "classes " + strings.Join(names, ", ")
	}
	return strings.Join(envs, ", ") + "; " + classes
}
