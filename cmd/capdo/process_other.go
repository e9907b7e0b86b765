//go:build !unix

package main

import (
	"os"
	"os/exec"
)

var stopSignals = []os.Signal{os.Interrupt}

func ownGroup(*exec.Cmd)  {}
func killGroup(*exec.Cmd) {}
