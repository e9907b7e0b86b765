package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"flow.internal/capdo/internal/wrangler"
)

// inputs are the files that wrangler reads besides the storage: a copy of the
// user's config, and builds.
//
// wrangler watches each file itself, and ends when a binding has no class. The
// user's config changes before there is a program for it. So wrangler reads a
// copy of the config that the last good build was checked with. A build with
// other classes, or another config, goes to a new folder. The copy names that
// folder, so wrangler sees only one file change.
type inputs struct {
	original string // the user's config
	copied   string // the copy that wrangler reads instead
	build    string // the folder with the build
	number   int    // number of that folder
	classes  []string
	warned   map[wrangler.Rename]bool
}

// serve gives a build to wrangler.
func (s *server) serve(r *report) error {
	if err := s.linkVariables(); err != nil {
		return err
	}
	before := s.inputs
	next, config, err := s.inputsFor(r)
	if err != nil {
		return err
	}
	if _, err := r.staged.Publish(next.build); err != nil {
		return err
	}
	s.inputs = *next
	if !bytes.Equal(config, s.readCopy()) {
		if err := os.WriteFile(s.copied, config, 0o644); err != nil {
			return err
		}
	}
	// wrangler may still read the previous build
	os.RemoveAll(filepath.Join(s.storage.own(), "build"+strconv.Itoa(s.number-2)))
	if before.number > 0 && !slices.Equal(before.classes, s.classes) {
		fmt.Fprintln(os.Stderr, "[capdo] the classes are now "+strings.Join(s.classes, ", "))
	}
	s.warnOfRenames(r.config)
	return nil
}

// inputsFor returns the inputs for a build, and the copy of the config.
func (s *server) inputsFor(r *report) (*inputs, []byte, error) {
	in := s.inputs
	in.classes = classNames(r)
	if in.number > 0 && slices.Equal(in.classes, s.classes) {
		config, err := in.config(r, s.storage.own())
		if err != nil || bytes.Equal(config, s.readCopy()) {
			return &in, config, err
		}
	}
	in.number++
	in.build = filepath.Join(s.storage.own(), "build"+strconv.Itoa(in.number))
	config, err := in.config(r, s.storage.own())
	return &in, config, err
}

// config returns the copy, for dir, of the config; it names the build.
func (in *inputs) config(r *report, dir string) ([]byte, error) {
	main, err := filepath.Rel(dir, filepath.Join(in.build, wrangler.EntryModule))
	if err != nil {
		return nil, err
	}
	return r.config.Moved(dir, filepath.ToSlash(main))
}

func (s *server) readCopy() []byte {
	b, _ := os.ReadFile(s.copied)
	return b
}

func classNames(r *report) (names []string) {
	for _, c := range r.Classes {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	return names
}

// warnOfRenames prints where the objects of renamed classes are. wrangler dev
// identifies a class by its name, and an object's id depends on that name.
func (s *server) warnOfRenames(c *wrangler.Config) {
	for _, r := range c.Renames() {
		dir := filepath.Join(s.storage.dir, "v3", "do", c.Name+"-"+r.From)
		files, _ := filepath.Glob(filepath.Join(dir, strings.Repeat("?", 64)+".sqlite"))
		if len(files) == 0 || s.warned[r] {
			continue
		}
		if s.warned == nil {
			s.warned = map[wrangler.Rename]bool{}
		}
		s.warned[r] = true
		fmt.Fprintf(os.Stderr,
			"warning: class %s was %s: unlike Cloudflare, wrangler dev does not move its objects"+
				"\nhint: the data of %[2]s is in %s, and can only be found under that name\n",
			r.To, r.From, fromHere(dir))
	}
}

// fromHere returns a path relative to the current folder, if it is below.
func fromHere(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(here, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}

// reload makes wrangler read its variables again. wrangler watches only its
// config; when that changes, it reads everything. Without reload, a removed
// token would remain valid. The config's content does not change.
func (s *server) reload() error {
	if err := s.linkVariables(); err != nil {
		return err
	}
	now := time.Now()
	return os.Chtimes(s.copied, now, now)
}

// linkVariables links the files with variables. wrangler looks for them beside
// the config.
func (s *server) linkVariables() error {
	dir, err := filepath.Abs(filepath.Dir(s.original))
	if err != nil {
		return err
	}
	for _, pattern := range []string{".dev.vars*", ".env*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := os.Symlink(f, filepath.Join(s.storage.own(), filepath.Base(f))); err != nil &&
				!errors.Is(err, fs.ErrExist) {
				return err
			}
		}
	}
	return nil
}
