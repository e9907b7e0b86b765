package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"flow.internal/capdo/internal/build"
	"github.com/fsnotify/fsnotify"
)

// settle is how long nothing must change before a build. Editors and version
// control write many files at once.
const settle = 100 * time.Millisecond

// watcher waits for changes of the files that a program is built from: the
// packages of its own module and of modules that are replaced by a folder,
// their embedded files, go.mod and go.sum, and the wrangler config. It also
// watches the files with variables.
type watcher struct {
	*fsnotify.Watcher
	dir     string
	config  string          // the config, absolute
	verbose bool            // print the commands
	embeds  map[string]bool // folders with embedded files
	files   map[string]bool // files with variables that wrangler's flags name
}

// changes describes what has changed.
type changes struct {
	build     bool // files that the program is built from
	variables bool // files with variables, which wrangler reads
}

func newWatcher(ctx context.Context, dir string, verbose bool) (*watcher, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("cannot watch files: %w", err)
	}
	w := &watcher{Watcher: notify, dir: dir, verbose: verbose}
	if err := w.update(ctx); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// update watches the folders that the program is now built from.
func (w *watcher) update(ctx context.Context) error {
	packages, err := listPackages(ctx, w.dir, w.verbose)
	if err != nil {
		return err
	}
	dirs := map[string]bool{w.dir: true}
	if w.config != "" {
		dirs[filepath.Dir(w.config)] = true
	}
	for file := range w.files {
		dirs[filepath.Dir(file)] = true
	}
	w.embeds = map[string]bool{}
	for _, p := range packages {
		dirs[p.Dir], dirs[p.Module.Dir] = true, true
		for _, file := range p.EmbedFiles {
			embed := filepath.Dir(filepath.Join(p.Dir, file))
			dirs[embed], w.embeds[embed] = true, true
		}
	}
	for dir := range dirs {
		if err := w.Add(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot watch %s: %w", dir, err)
		}
	}
	for _, dir := range w.WatchList() {
		if !dirs[dir] {
			w.Remove(dir)
		}
	}
	return nil
}

// addConfig watches a config, and the files with variables that wrangler's
// flags name instead of .dev.vars. wrangler runs in the config's folder.
func (w *watcher) addConfig(path string, flags []string) (err error) {
	if w.config, err = filepath.Abs(path); err != nil {
		return err
	}
	if err := w.Add(filepath.Dir(w.config)); err != nil {
		return fmt.Errorf("cannot watch %s: %w", filepath.Dir(w.config), err)
	}
	w.files = map[string]bool{}
	for file, rest, ok := cutFlag(flags, "--env-file",
		"--envFile"); ok; file, rest, ok = cutFlag(rest, "--env-file", "--envFile") {
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(w.config), file)
		}
		w.files[filepath.Clean(file)] = true
		if err := w.Add(filepath.Dir(file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot watch %s: %w", file, err)
		}
	}
	return nil
}

// wait returns after something has changed and then nothing for a while. It
// returns an error if ctx ends.
func (w *watcher) wait(ctx context.Context) (changes, error) {
	var quiet <-chan time.Time
	var all changes
	for {
		select {
		case <-ctx.Done():
			return changes{}, ctx.Err()
		case e := <-w.Events:
			if c := w.concerns(e); c != (changes{}) {
				all.build, all.variables = all.build || c.build, all.variables || c.variables
				quiet = time.After(settle)
			}
		case <-w.Errors: // events were lost
			all = changes{true, true}
			quiet = time.After(settle)
		case <-quiet:
			return all, nil
		}
	}
}

// concerns returns what an event may have changed.
func (w *watcher) concerns(e fsnotify.Event) changes {
	name := filepath.Base(e.Name)
	switch {
	case e.Op == fsnotify.Chmod, strings.HasSuffix(name, "~"), strings.HasSuffix(name, "_test.go"):
		return changes{}
	case isVariables(name) && filepath.Dir(e.Name) == filepath.Dir(w.config), w.files[e.Name]:
		return changes{variables: true}
	case strings.HasPrefix(name, "."):
		return changes{}
	case slices.Contains([]string{"go.mod", "go.sum", "wrangler.json", "wrangler.jsonc",
		"wrangler.toml", filepath.Base(w.config)}, name),
		slices.Contains([]string{".go", ".s", ".h"}, filepath.Ext(name)),
		w.embeds[filepath.Dir(e.Name)]:
		return changes{build: true}
	}
	return changes{build: e.Op.Has(fsnotify.Create) && w.isPackage(e.Name)}
}

// isVariables reports whether wrangler dev reads variables and secrets from a
// file with that name: .dev.vars, .dev.vars.staging, .env, .env.local, …
func isVariables(name string) bool {
	for _, file := range []string{".dev.vars", ".env"} {
		if name == file || strings.HasPrefix(name, file+".") && !strings.HasSuffix(name, ".swp") &&
			!strings.HasSuffix(name, ".example") {
			return true
		}
	}
	return false
}

// isPackage reports whether a new path is a folder with Go files. It starts to
// watch every new folder, because Go files may follow.
func (w *watcher) isPackage(path string) bool {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return false
	}
	w.Add(path)
	files, _ := filepath.Glob(filepath.Join(path, "*.go"))
	return len(files) > 0
}

// goPackage is a part of go list's description of a package.
type goPackage struct {
	Dir        string
	EmbedFiles []string
	Module     *struct {
		Dir     string
		Main    bool
		Replace *struct{ Version string }
	}
}

// isLocal reports whether the user can edit a package: it is not in the module
// cache or the standard library.
func (p *goPackage) isLocal() bool {
	m := p.Module
	return m != nil && p.Dir != "" && (m.Main || m.Replace != nil && m.Replace.Version == "")
}

// listPackages lists the local packages that the program in dir is built from,
// even if the program does not compile.
func listPackages(ctx context.Context, dir string, verbose bool) ([]goPackage, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-e", "-deps", "-json=Dir,EmbedFiles,Module", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if verbose {
		logf("cd %s && GOOS=js GOARCH=wasm %s", dir, build.CommandLine(cmd.Args))
	}
	out, err := cmd.Output()
	if err != nil {
		return nil, listError(dir, err)
	}
	var packages []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		if p.isLocal() {
			packages = append(packages, p)
		}
	}
}

func listError(dir string, err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("go list fails in %s:\n%s", dir, strings.TrimSpace(string(exit.Stderr)))
	}
	return fmt.Errorf("go list: %w", err)
}
