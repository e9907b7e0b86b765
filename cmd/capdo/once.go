package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"flow.internal/capdo/internal/wrangler"
)

// builtVariable is the environment variable with which capdo deploy describes its
// finished build. A capdo build in the config's build command reads it, and does
// not repeat that build.
const builtVariable = "CAPDO_BUILT"

// built describes a build, and what it depends on besides files.
type built struct {
	Main   string    // the folder of the package main, absolute
	Config string    // absolute
	Out    string    // absolute
	Env    []string  // Go's variables
	At     time.Time // a time before it began
	Digest string    // of the written files
}

func (p *project) built(c *wrangler.Config, at time.Time) (b built, err error) {
	b.At = at
	for to, path := range map[*string]string{&b.Main: p.dir, &b.Config: c.Path, &b.Out: c.Out()} {
		if *to, err = filepath.Abs(path); err != nil {
			return b, err
		}
	}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "GO") {
			b.Env = append(b.Env, v)
		}
	}
	slices.Sort(b.Env)
	b.Digest, err = digest(b.Out)
	return b, err
}

// variable returns the environment variable with this description.
func (b *built) variable() string {
	text, err := json.Marshal(b)
	if err != nil {
		panic(err) // strings and a time
	}
	return builtVariable + "=" + string(text)
}

// isBuilt reports whether capdo deploy has just made the same build. A build
// command may have written files or set variables since then.
func (p *project) isBuilt(ctx context.Context) bool {
	var before built
	if json.Unmarshal([]byte(os.Getenv(builtVariable)), &before) != nil {
		return false
	}
	c, err := p.config(ctx)
	if err != nil {
		return false
	}
	now, err := p.built(c, before.At)
	if err != nil || now.variable() != before.variable() {
		return false
	}
	changed, err := p.changedSince(ctx, before)
	return err == nil && !changed
}

// changedSince reports whether an input file of the build is newer than the
// build.
func (p *project) changedSince(ctx context.Context, b built) (bool, error) {
	packages, err := listPackages(ctx, p.dir, p.verbose)
	if err != nil {
		return true, err
	}
	files := []string{b.Config}
	for _, pkg := range packages {
		entries, err := os.ReadDir(pkg.Dir)
		if err != nil {
			return true, err
		}
		for _, e := range entries {
			if !e.IsDir() {
				files = append(files, filepath.Join(pkg.Dir, e.Name()))
			}
		}
		for _, e := range pkg.EmbedFiles {
			files = append(files, filepath.Join(pkg.Dir, e))
		}
		files = append(files, filepath.Join(pkg.Module.Dir, "go.mod"))
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil || !info.ModTime().Before(b.At) {
			return true, err
		}
	}
	return false, nil
}

// digest returns a digest of the files in a build's folder.
func digest(dir string) (string, error) {
	h := sha256.New()
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range files {
		if e.IsDir() {
			continue
		}
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%q ", e.Name())
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}
