package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"text/template"

	"flow.internal/capdo/internal/build"
	"flow.internal/capdo/internal/node"
	"github.com/spf13/cobra"
)

//go:embed template
var templates embed.FS

func newNew() *cobra.Command {
	var s scaffold
	cmd := &cobra.Command{
		Use:   "new name",
		Short: "Write a new project: a Worker with a Durable Object, and its test",
		Long: `New writes a project to a new folder: a module with one Durable Object class and
an HTTP handler, their test, and a wrangler config. Then it resolves the modules
(go mod tidy) and installs wrangler and workerd (npm install).

The last part of name is the name of the module and of the Worker.`,
		Example: `  capdo new payments
  capdo new ../work/payments --capdo ../capdo`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("the project needs a name\nhint: capdo new payments")
			}
			s.dir = args[0]
			return s.create(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&s.source, "capdo", "",
		"folder of capdo's source (default: the source of this command)")
	cmd.Flags().BoolVar(&s.bare, "no-install", false, "do not run go mod tidy and npm install")
	cmd.Flags().BoolVarP(&s.verbose, "verbose", "x", false, "print the commands")
	return cmd
}

// scaffold is a new project.
type scaffold struct {
	dir, source   string
	bare, verbose bool

	// These are used in the templates.
	Name, Capdo, Wrangler, Node, NodePackage string
}

// workerName matches names that Cloudflare accepts for a Worker and Go for a
// module path.
var workerName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,61}[a-z0-9]$`)

func (s *scaffold) create(ctx context.Context) error {
	abs, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	if s.Name = filepath.Base(abs); !workerName.MatchString(s.Name) {
		return fmt.Errorf("%q cannot be the name of a Worker"+
			"\nhint: use 2 to 63 lower-case letters, digits and dashes, "+
			"with a letter at the beginning", s.Name)
	}
	if isStandard(s.Name) {
		return fmt.Errorf("%q cannot be the name of a module: Go uses it itself"+
			"\nhint: use another name, such as %s-worker", s.Name, s.Name)
	}
	if _, err := os.Lstat(s.dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists already\nhint: choose another name, or remove it", s.dir)
	}
	if err := s.find(abs); err != nil {
		return err
	}
	if err := s.write(); err != nil {
		return err
	}
	if !s.bare {
		if err := s.install(ctx); err != nil {
			return err
		}
	}
	fmt.Printf("%s is ready. Next:\n\n  cd %[1]s\n", s.dir)
	if s.bare {
		fmt.Print("  go mod tidy && npm install\n")
	}
	fmt.Print("  go tool capdo test    # its tests, in workerd\n" +
		"  go tool capdo dev     # serve it on http://127.0.0.1:8787\n")
	return nil
}

// isStandard reports whether a module with this path would hide a package of
// the standard library, or whether Go reads the path as a pattern.
func isStandard(name string) bool {
	switch name {
	case "all", "std", "cmd", "tool", "work":
		return true
	}
	root, err := build.GoRoot(context.Background())
	if err != nil {
		return false // go mod tidy will report it
	}
	_, err = os.Stat(filepath.Join(root, "src", name))
	return err == nil
}

// find finds capdo's source and the versions of the tools that it needs.
func (s *scaffold) find(project string) error {
	if s.source == "" {
		_, file, _, _ := runtime.Caller(0)
		s.source = filepath.Join(filepath.Dir(file), "..", "..")
	}
	source, err := filepath.Abs(s.source)
	if err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil || !bytes.HasPrefix(mod, []byte("module flow.internal/capdo\n")) {
		return fmt.Errorf("%s is not the source of capdo"+
			"\nhint: set --capdo to the folder of a clone", source)
	}
	s.Capdo = source
	if rel, err := filepath.Rel(project, source); err == nil &&
		!strings.HasPrefix(rel, filepath.Join("..", "..", "..")) {
		s.Capdo = filepath.ToSlash(rel) // so near that both may be moved together
	}
	return s.findVersions(source)
}

func (s *scaffold) findVersions(source string) error {
	b, err := os.ReadFile(filepath.Join(source, "package.json"))
	if err != nil {
		return err
	}
	var pkg struct{ DevDependencies, OptionalDependencies map[string]string }
	if err := json.Unmarshal(b, &pkg); err != nil {
		return fmt.Errorf("package.json in %s: %w", source, err)
	}
	s.Wrangler = pkg.DevDependencies["wrangler"]
	if _, err := node.Find("/"); err != nil { // the installed Node.js is not suitable
		s.NodePackage = node.Package()
		s.Node = pkg.OptionalDependencies[s.NodePackage]
	}
	return nil
}

// write writes the files. The folder appears only when all of them are written.
func (s *scaffold) write() error {
	parent := filepath.Dir(filepath.Clean(s.dir))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(parent, ".capdo-new-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	all, err := template.ParseFS(templates, "template/*.tmpl")
	if err != nil {
		return err
	}
	for _, t := range all.Templates() {
		var b bytes.Buffer
		if err := t.Execute(&b, s); err != nil {
			return err
		}
		name := strings.TrimSuffix(t.Name(), ".tmpl")
		switch name {
		case "gitignore", "dockerignore":
			name = "." + name
		case "vscode.json":
			name = filepath.Join(".vscode", "settings.json")
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tmp, name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(tmp, name), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return errors.Join(os.Chmod(tmp, 0o755), os.Rename(tmp, s.dir))
}

// install resolves and installs the dependencies. If it fails, the written
// files remain.
func (s *scaffold) install(ctx context.Context) error {
	for _, c := range [][]string{{"go", "mod", "tidy"},
		{"npm", "install", "--no-audit", "--no-fund", "--loglevel=error"}} {
		if s.verbose {
			fmt.Fprintf(os.Stderr, "cd %s && %s\n", s.dir, strings.Join(c, " "))
		}
		cmd := exec.CommandContext(ctx, c[0], c[1:]...)
		cmd.Dir = s.dir
		done := progress(os.Stderr, strings.Join(c[:2], " "))
		out, err := cmd.CombinedOutput()
		done()
		if err != nil {
			return fmt.Errorf("%s was written, but %s fails there: %w\n%s"+
				"\nhint: run that again in %[1]s", s.dir, strings.Join(c[:2], " "), err,
				bytes.TrimSpace(out))
		}
	}
	return nil
}
