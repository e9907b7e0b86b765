//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestStorageHasOneUser(t *testing.T) {
	dir := t.TempDir()
	first := &storage{dir: dir}
	if err := first.take("http://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	second := &storage{dir: dir}
	err := second.take("http://127.0.0.1:2")
	if want := fmt.Sprintf(", on http://127.0.0.1:1 (process %d)\nhint: ", os.Getpid()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	if b, err := os.ReadFile(filepath.Join(first.own(), ".gitignore")); string(b) != "*\n" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	first.release()
	if _, err := os.Stat(first.own()); !os.IsNotExist(err) {
		t.Errorf("the folder is left: %v", err)
	}
	if err := second.take("http://127.0.0.1:2"); err != nil {
		t.Fatal(err)
	}
	second.release()
}

// A file left by a killed process must not count as a lock.
func TestStorageOfAKilledProcessIsFree(t *testing.T) {
	s := &storage{dir: t.TempDir()}
	if err := os.MkdirAll(s.own(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.lockPath(), []byte("http://127.0.0.1:1 which is longer than the next\n1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.take("http://x"); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(s.lockPath()); string(b) != fmt.Sprintf("http://x\n%d\n", os.Getpid()) {
		t.Errorf("%q", b)
	}
	s.release()
}

func TestStorageHammer(t *testing.T) {
	dir := t.TempDir()
	var users, taken atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				s := &storage{dir: dir}
				if err := s.take("http://x"); err != nil {
					if !strings.Contains(err.Error(), "another capdo dev") {
						t.Error(err)
					}
					continue
				}
				if n := users.Add(1); n != 1 {
					t.Errorf("%d users", n)
				}
				taken.Add(1)
				users.Add(-1)
				s.release()
			}
		})
	}
	wg.Wait()
	if taken.Load() < 8 {
		t.Errorf("it was taken %d times", taken.Load())
	}
}
