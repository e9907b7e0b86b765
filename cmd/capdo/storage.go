package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// storage is the folder that wrangler dev keeps objects in. One capdo dev at a time uses it: with two, each object would be in memory twice,
// and exactly-once at an end without a word.
//
// Its folder capdo has the lock, and the copy of the config. Git ignores that folder whatever the project's own .gitignore says.
type storage struct {
	dir  string // absolute
	lock *os.File
}

// errHeld: another process has the lock.
var errHeld = errors.New("the file is locked")

func (s *storage) own() string { return filepath.Join(s.dir, "capdo") }

// take locks the storage for a server at an address, until this process ends, and what it has started.
func (s *storage) take(address string) error {
	if err := os.MkdirAll(s.own(), 0o755); err != nil {
		return fmt.Errorf("cannot store: %w\nhint: choose another folder with --persist-to", err)
	}
	if err := os.WriteFile(filepath.Join(s.own(), ".gitignore"), []byte("*\n"), 0o644); err != nil {
		return err
	}
	path := filepath.Join(s.own(), "dev.lock")
	for s.lock == nil {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return err
		}
		err = lockFile(f)
		switch {
		case errors.Is(err, errHeld):
			f.Close()
			return s.heldError(path)
		case err != nil:
			return fmt.Errorf("cannot lock %s: %w", path, err)
		case !isFile(f, path): // the one that had it has just ended, and removed it
			f.Close()
		default:
			s.lock = f
		}
	}
	text := fmt.Sprintf("%s\n%d\n", address, os.Getpid())
	if err := s.lock.Truncate(0); err != nil {
		return err
	}
	_, err := s.lock.WriteAt([]byte(text), 0)
	return err
}

// isFile reports whether f is the file that is at path now.
func isFile(f *os.File, path string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

func (s *storage) heldError(path string) error {
	where := ""
	b, _ := os.ReadFile(path)
	if address, pid, ok := strings.Cut(strings.TrimSpace(string(b)), "\n"); ok {
		where = fmt.Sprintf(", on %s (process %s)", address, pid)
	}
	return fmt.Errorf("another capdo dev serves with the storage in %s%s\nhint: use that one, or give this one storage of its own with --persist-to", s.dir, where)
}

// release removes what capdo dev has put there, and unlocks it.
func (s *storage) release() {
	os.RemoveAll(s.own())
	s.lock.Close()
}
