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

// inputs are what wrangler reads, beside the storage: a copy of the user's
// config, and builds.
//
// wrangler looks for changes of each file by itself, and ends when a binding
// has no class. The user's config changes before there is a program for it. So
// wrangler reads the config that the last good build was checked with; and a
// build that has other classes, or another config, goes to a folder of its own.
// The copy names that folder, so it is the one file whose change wrangler sees.
type inputs struct {
	original string // the user's config
	copied   string // the one that wrangler reads in its place
	build    string // the folder with the build
	number   int    // of that folder
	classes  []string
	warned   map[wrangler.Rename]bool
}

// serve hands a build over to wrangler.
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
	// wrangler may still read the one before
	os.RemoveAll(filepath.Join(s.storage.own(), "build"+strconv.Itoa(s.number-2)))
	if before.number > 0 && !slices.Equal(before.classes, s.classes) {
		fmt.Fprintln(os.Stderr, "[capdo] the classes are now "+strings.Join(s.classes, ", "))
	}
	s.warnOfRenames(r.config)
	return nil
}

// inputsFor returns what wrangler is to read for a build, and the config's
// copy.
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

// config is the copy, in dir, of a config that names the build.
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

// warnOfRenames says where the objects of renamed classes are: wrangler dev
// knows a class by its name, and an object's id depends on it.
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
		fmt.Fprintf(os.Stderr, "warning: class %s was %s: wrangler dev does not take its objects along, as Cloudflare does\nhint: what %[2]s has stored is in %s, and is found again under that name only\n",
			r.To, r.From, fromHere(dir))
	}
}

// fromHere returns a path as it is from the current folder, where it is below.
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

// reload has wrangler read its variables again. It looks for changes of its
// config only, and then reads everything: what would last otherwise is a token
// that was removed. The config's content stays as it is.
func (s *server) reload() error {
	if err := s.linkVariables(); err != nil {
		return err
	}
	now := time.Now()
	return os.Chtimes(s.copied, now, now)
}

// linkVariables links the files with variables, which wrangler looks for beside
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
