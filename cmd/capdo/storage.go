package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// storage is the folder in which wrangler dev keeps objects. Only one capdo dev
// at a time uses it. With two, each object would be in memory twice, and two
// callers could hold one key.
//
// Its subfolder capdo contains the lock, the copy of the config, and builds.
// Git ignores that folder, even if the project's own .gitignore does not.
type storage struct {
	dir  string // absolute
	lock *os.File
}

// errHeld means that another process has the lock.
var errHeld = errors.New("the file is locked")

func (s *storage) own() string      { return filepath.Join(s.dir, "capdo") }
func (s *storage) lockPath() string { return filepath.Join(s.own(), "dev.lock") }

// take locks the storage for a server at an address, until this process and the
// processes that it has started have ended.
func (s *storage) take(address string) error {
	for s.lock == nil {
		f, err := s.open()
		if err != nil {
			return err
		}
		if isFile(f, s.lockPath()) {
			s.lock = f
		} else { // the process that had the lock has just ended and removed the file
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

// open opens and locks the lock file.
func (s *storage) open() (*os.File, error) {
	for {
		err := os.MkdirAll(s.own(), 0o755)
		// another process created it and removed it
		if errors.Is(err, fs.ErrExist) && !isOther(s.own()) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot store: %w"+
				"\nhint: choose another folder with --persist-to", err)
		}
		f, err := os.OpenFile(s.lockPath(), os.O_RDWR|os.O_CREATE, 0o644)
		if errors.Is(err, fs.ErrNotExist) { // the folder was just removed
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot store: %w"+
				"\nhint: choose another folder with --persist-to", err)
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

// isOther reports whether path exists and is not a folder.
func isOther(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// isFile reports whether f is the file that path now names.
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
		"\nhint: use that one, or choose other storage with --persist-to", s.dir, where)
}

// release removes the files of capdo dev and unlocks the storage. It removes
// the lock file last, because another process may then lock it.
func (s *storage) release() {
	files, _ := os.ReadDir(s.own())
	for _, f := range files {
		if path := filepath.Join(s.own(), f.Name()); path != s.lockPath() {
			os.RemoveAll(path)
		}
	}
	os.Remove(s.lockPath())
	os.Remove(s.own()) // fails if another process has started to use it
	s.lock.Close()
}
