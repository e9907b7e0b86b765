//go:build !unix

package localcluster

import (
	"errors"
	"os"
)

func pause(*os.Process) error  { return errors.New("a process cannot be paused on this platform") }
func resume(*os.Process) error { return errors.New("a process cannot be paused on this platform") }
