package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// storage is the folder that wrangler dev keeps objects in. One capdo dev at a
// time uses it. With two, each object would be in memory twice, and two callers
// could hold one key.
//
// Its folder capdo has the lock, the copy of the config, and builds. Git
// ignores that folder, whatever the project's own .gitignore says.
type storage struct {
	dir  string // absolute
	lock *os.File
}

// errHeld: another process has the lock.
var errHeld = errors.New("the file is locked")

func (s *storage) own() string      { return filepath.Join(s.dir, "capdo") }
func (s *storage) lockPath() string { return filepath.Join(s.own(), "dev.lock") }

// take locks the storage for a server at an address, until this process and
// what it has started have ended.
func (s *storage) take(address string) error {
	for s.lock == nil {
		f, err := s.open()
		if err != nil {
			return err
		}
		if isFile(f, s.lockPath()) {
			s.lock = f
		} else { // the process that had it has just ended, and removed it
			f.Close()
		}
	}
	if err := s.lock.Truncate(0); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(s.lock, "%s\n%d\n", address, os.Getpid()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.own(), ".gitignore"), []byte("*\n"), 0o644)
}

// open opens and locks the file that is the lock.
func (s *storage) open() (*os.File, error) {
	for {
		err := os.MkdirAll(s.own(), 0o755)
		// another process made it, and removed it
		if errors.Is(err, fs.ErrExist) && !isOther(s.own()) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot store: %w\nhint: choose another folder with --persist-to", err)
		}
		f, err := os.OpenFile(s.lockPath(), os.O_RDWR|os.O_CREATE, 0o644)
		if errors.Is(err, fs.ErrNotExist) { // the folder has just been removed
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot store: %w\nhint: choose another folder with --persist-to", err)
		}
		if err = lockFile(f); err == nil {
			return f, nil
		}
		f.Close()
		if errors.Is(err, errHeld) {
			return nil, s.heldError()
		}
		return nil, fmt.Errorf("cannot lock %s: %w", s.lockPath(), err)
	}
}

// isOther reports whether there is something at path that is not a folder.
func isOther(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// isFile reports whether f is the file that is at path now.
func isFile(f *os.File, path string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

func (s *storage) heldError() error {
	where := ""
	b, _ := os.ReadFile(s.lockPath())
	if address, pid, ok := strings.Cut(strings.TrimSpace(string(b)), "\n"); ok {
		where = fmt.Sprintf(", on %s (process %s)", address, pid)
	}
	return fmt.Errorf("another capdo dev serves with the storage in %s%s"+
		"\nhint: use that one, or give this one storage of its own with --persist-to", s.dir, where)
}

// release removes what capdo dev has put there, and unlocks it. The lock's file
// goes last: another process may lock it from then on.
func (s *storage) release() {
	files, _ := os.ReadDir(s.own())
	for _, f := range files {
		if path := filepath.Join(s.own(), f.Name()); path != s.lockPath() {
			os.RemoveAll(path)
		}
	}
	os.Remove(s.lockPath())
	os.Remove(s.own()) // unless another process has begun
	s.lock.Close()
}
