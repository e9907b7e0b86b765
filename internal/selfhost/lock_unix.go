//go:build unix

package selfhost

import (
	"errors"
	"os"
	"syscall"
)

// lockFile locks a file until every process that has it open has closed it.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errHeld
	}
	return err
}

func terminate(p *os.Process) error { return p.Signal(syscall.SIGTERM) }
