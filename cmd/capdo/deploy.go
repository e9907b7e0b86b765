package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"flow.internal/capdo/internal/wrangler"
	"github.com/spf13/cobra"
)

func newDeploy() *cobra.Command {
	d := deployment{env: os.Getenv("CLOUDFLARE_ENV")}
	cmd := &cobra.Command{
		Use:   "deploy [dir or config] [-- wrangler flags]",
		Short: "Check and build a program, then run wrangler deploy",
		Long: `Deploy builds the program in dir (default: the current folder) like capdo build,
and checks the config like capdo check, for the environment that is deployed. It
stops after an error; it prints warnings. Then it runs the project's own wrangler
deploy with the flags after --, and exits with wrangler's status. Wrangler does
not ask for a login: first run npx wrangler login, or set CLOUDFLARE_API_TOKEN.

If the config has a build command, wrangler runs that before it uploads. A capdo
build in it builds only what has changed since.

docs/deploy.md says how to set up an environment for tests, what to look at after
the first deploy, and what cannot be undone.`,
		Example: `  capdo deploy --dry-run
  capdo deploy --env test
  capdo deploy ./examples/ledger -- --message "shorter leases"`,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if n := cmd.ArgsLenAtDash(); n >= 0 {
				args, d.flags = args[:n], args[n:]
			}
			p := project{env: d.env, verbose: d.verbose}
			if err := p.takeArg(cmd, args); err != nil {
				return err
			}
			return d.run(cmd.Context(), &p)
		},
	}
	addPlace(cmd)
	addEnv(cmd, &d.env,
		"the environment to deploy (default $CLOUDFLARE_ENV, or else the top level)")
	cmd.Flags().BoolVar(&d.dryRun, "dry-run", false,
		"stop before the upload; needs neither network nor login")
	cmd.Flags().BoolVarP(&d.verbose, "verbose", "x", false, "print the commands")
	return cmd
}

// deployment holds the flags of capdo deploy.
type deployment struct {
	env     string
	dryRun  bool
	verbose bool
	flags   []string // the user's, for wrangler
}

func (d *deployment) run(ctx context.Context, p *project) error {
	if err := d.checkFlags(); err != nil {
		return err
	}
	t := tool{verbose: d.verbose}
	if err := t.find(p.dir); err != nil {
		return err
	}
	config, err := p.config(ctx)
	if err != nil {
		return err
	}
	begun := time.Now()
	r, err := p.build(ctx)
	if err != nil {
		return err
	}
	b, err := p.built(config, begun)
	if err != nil {
		return err
	}
	t.env = []string{b.variable()}
	printProblems(os.Stderr, r.Problems)
	printReport(os.Stderr, r)
	return t.run(ctx, filepath.Dir(config.Path), d.args(config)...)
}

// args returns wrangler's arguments. They always name the environment, so that
// wrangler deploys the checked one.
func (d *deployment) args(c *wrangler.Config) []string {
	args := []string{"deploy", "--config", filepath.Base(c.Path), "--env=" + d.env}
	if d.dryRun {
		args = append(args, "--dry-run")
	}
	return append(args, d.flags...)
}

// passed are wrangler's flags that do not change what was checked. The value is
// true if the flag takes a value.
var passed = map[string]bool{
	"--tag": true, "--message": true, "--outdir": true, "--outfile": true, "--metafile": true,
	"--secrets-file": true, "--env-file": true,
	"--profile": true, "--old-asset-ttl": true, "--containers-rollout": true,
	"--durable-objects-code-update-mode": true,
	"--routes":                           true, "--route": true, "--domains": true,
	"--domain": true, "--zone": true, "--zones": true, "--zone-id": true, "--zone-ids": true,
	"--minify": false, "--no-minify": false, "--upload-source-maps": false,
	"--no-upload-source-maps": false, "--dry-run": false,
	"--keep-vars": false, "--no-keep-vars": false, "--strict": false, "--no-strict": false,
	"--logpush": false, "--no-logpush": false,
	"--experimental-route-zones": false, "--x-route-zones": false,
}

// checkFlags refuses flags and arguments with which wrangler might deploy
// something that was not checked, or to another place.
func (d *deployment) checkFlags() error {
	for flags := d.flags; len(flags) > 0; {
		arg := flags[0]
		flags = flags[1:]
		name, _, hasValue := strings.Cut(arg, "=")
		takesValue, ok := passed[dashed(name)]
		switch {
		case !strings.HasPrefix(arg, "-") || arg == "-" || arg == "--":
			return fmt.Errorf("%s cannot be passed to wrangler: "+
				"it would deploy something that was not checked"+
				"\nhint: give the folder or the config to capdo deploy itself", arg)
		case !ok:
			return fmt.Errorf("%s cannot be passed to wrangler: "+
				"it might deploy something that was not checked"+
				"\nhint: %s", name, instead(name))
		case takesValue && !hasValue && len(flags) > 0:
			flags = flags[1:]
		}
	}
	return nil
}

// dashed returns a flag's name with dashes. wrangler also accepts camel case.
func dashed(name string) string { return strings.ToLower(upper.ReplaceAllString(name, "-$0")) }

var upper = regexp.MustCompile(`[A-Z]`)

func instead(name string) string {
	switch dashed(name) {
	case "--env", "-e", "--config", "-c", "--cwd":
		return "give dir and --env to capdo deploy itself"
	case "--dispatch-namespace", "--name":
		return "capdo deploy checks the Worker that the config names; " +
			"for another Worker run npx wrangler deploy yourself"
	}
	return "set it in the config, so that it is checked, or run npx wrangler deploy yourself"
}
