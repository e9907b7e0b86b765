//go:build !unix

package main

import (
	"os"
	"os/exec"
)

var stopSignals = []os.Signal{os.Interrupt}

// group does nothing on this platform.
type group struct{}

func newGroup(...*os.File) (*group, error) { return &group{}, nil }
func (*group) adopt(*exec.Cmd)             {}
func (*group) kill()                       {}

func lockFile(*os.File) error { return nil }
