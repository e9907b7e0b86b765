package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"flow.internal/capdo/internal/build"
	"flow.internal/capdo/internal/shim"
	"flow.internal/capdo/internal/wrangler"
	"github.com/spf13/cobra"
)

func newBuild() *cobra.Command {
	var verbose, asJSON, names bool
	cmd := &cobra.Command{
		Use:   "build [dir or config]",
		Short: "Compile a program and write the folder that wrangler serves",
		Long: `Build compiles the package main in dir (default: the current folder) for wasm,
asks it which classes it registers, and checks that against the wrangler config
in dir. If there are no errors, it writes app.wasm, entry.mjs and the modules that
they need to the folder of the config's main. It does not touch files that have
not changed.

--profile keeps the names of Go's functions, which makes app.wasm larger: do not
use it for what you deploy.`,
		Example: `  capdo build
  capdo build ./examples/ledger
  capdo build wrangler.staging.jsonc
  capdo build --main ./cmd/worker --config deploy/wrangler.jsonc
  capdo build --profile && workerd serve --inspector-addr=127.0.0.1:9229 config.capnp
  capdo build --json | jq .size_gz`,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			p := project{verbose: verbose, names: names}
			if err := p.takeArg(cmd, args); err != nil {
				return err
			}
			if !asJSON && p.isBuilt(cmd.Context()) {
				fmt.Println("capdo deploy has just built this")
				return nil
			}
			r, err := p.build(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(os.Stdout, r)
			}
			printProblems(os.Stderr, r.Problems)
			return printReport(os.Stdout, r)
		},
	}
	addPlace(cmd)
	cmd.Flags().BoolVarP(&verbose, "verbose", "x", false, "print the commands")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	cmd.Flags().BoolVar(&names, "profile", false,
		"keep the names of Go's functions, for capdo profile")
	return cmd
}

// project is a folder with a program and a wrangler config.
type project struct {
	dir     string
	file    string // the config, if it is not the one that wrangler finds in dir
	env     string // the config's environment, or ""
	names   bool   // keep the names of functions in app.wasm
	verbose bool
	isLocal bool // for a server on this machine; also keeps names
}

// report is the result of a build. Its problems are only warnings.
type report struct {
	*build.Result
	Problems []wrangler.Problem `json:"problems"`
	// set for a program larger than largeProgram
	Largest []build.Package `json:"largest,omitempty"`

	config *wrangler.Config // the config that the program was checked with
	staged *build.Staged
}

// largeProgram is the compressed size above which a build lists the largest
// packages: 3 MB, Cloudflare's limit on the Free plan.
const largeProgram = 3_000_000

// build builds the program. It writes nothing unless the program compiles and
// fits the config.
func (p *project) build(ctx context.Context) (*report, error) {
	config, err := p.config(ctx)
	if err != nil {
		return nil, err
	}
	staged, err := p.stage(ctx)
	if err != nil {
		return nil, err
	}
	problems, err := until(ctx, func() ([]wrangler.Problem, error) {
		return wrangler.Check(config, staged.Description, time.Now()), nil
	})
	if err != nil {
		return nil, err
	}
	if hasErrors(problems) {
		return nil, problemsError(problems)
	}
	result, err := staged.Publish(config.Out())
	if err != nil {
		return nil, err
	}
	r := &report{Result: result, Problems: append([]wrangler.Problem{}, problems...),
		config: config, staged: staged}
	if result.SizeGz > largeProgram && !p.isLocal {
		packages, err := build.Packages(ctx, p.dir)
		if err != nil {
			return nil, err
		}
		r.Largest = packages[:min(len(packages), 10)]
	}
	return r, nil
}

// config reads the config, or one of its environments.
func (p *project) config(ctx context.Context) (*wrangler.Config, error) {
	path := p.file
	if path == "" {
		var err error
		if path, err = wrangler.Find(p.dir); err != nil {
			return nil, err
		}
	}
	c, err := until(ctx, func() (*wrangler.Config, error) { return wrangler.Load(path) })
	if err != nil {
		return nil, err
	}
	return c.Environment(p.env)
}

// until returns the result of f. If ctx ends first, it returns the cause, and f
// continues in the background.
func until[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		return *new(T), context.Cause(ctx)
	}
}

func (p *project) stage(ctx context.Context) (*build.Staged, error) {
	o := build.Options{KeepNames: p.names || p.isLocal}
	if p.verbose {
		o.Logf = logf
		return build.Stage(ctx, p.dir, o)
	}
	done := progress(os.Stderr, "building "+p.dir)
	defer done()
	return build.Stage(ctx, p.dir, o)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printReport(w io.Writer, r *report) error {
	fmt.Fprintf(w, "%s: app.wasm %s, %s gz\n", r.Dir, size(r.Size), size(r.SizeGz))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range r.Classes {
		fmt.Fprintf(t, "  class %s\t%s\n", c.Name, strings.Join(served(c), ", "))
	}
	if handlers := r.Handlers(); len(handlers) > 0 {
		fmt.Fprintf(t, "  Worker\t%s\n", strings.Join(handlers, ", "))
	}
	if len(r.Largest) > 0 {
		fmt.Fprintf(t, "The program is large. The code of its largest packages:\n")
	}
	for _, p := range r.Largest {
		fmt.Fprintf(t, "  %s\t%s\n", p.Path, size(p.Size))
	}
	return t.Flush()
}

// served lists the handlers of a class, and then its methods with parentheses.
func served(c shim.Class) []string {
	out := slices.Clone(c.Events)
	for _, m := range c.Methods {
		out = append(out, m+"()")
	}
	return out
}

func size(n int) string {
	if n < 1<<20 {
		return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.2f MiB", float64(n)/(1<<20))
}
