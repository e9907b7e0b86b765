// Package worker builds the Worker of an end-to-end test.
package worker

import (
	"context"
	"fmt"
	"os"
	"testing"

	"flow.internal/capdo/internal/build"
	"flow.internal/capdo/internal/node"
)

// Built is a Worker that can be served in workerd.
type Built struct {
	Dir     string   // output of capdo build
	Binary  string   // path of workerd
	Classes []string // classes that the program registers
}

// Build builds the program in a folder to dir.
func Build(folder, dir string) (b Built, err error) {
	b.Dir = dir
	if b.Binary, err = node.Workerd("."); err != nil {
		return b, err
	}
	r, err := build.Run(context.Background(), folder, dir, nil)
	if err != nil {
		return b, err
	}
	for _, c := range r.Classes {
		b.Classes = append(b.Classes, c.Name)
	}
	return b, nil
}

// Tested is the Worker that Main has built.
var Tested Built

// Main builds the program in the folder worker, runs the tests, and exits.
func Main(m *testing.M) { MainOf("worker", m) }

// MainOf is Main for the program in another folder.
func MainOf(folder string, m *testing.M) {
	MainWith(m, func(scratch string) (err error) {
		Tested, err = Build(folder, scratch)
		return err
	})
}

// MainWith calls prepare with a folder that exists until all tests are over,
// runs the tests, and exits.
func MainWith(m *testing.M, prepare func(scratch string) error) {
	code, err := run(m, prepare)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M, prepare func(scratch string) error) (code int, err error) {
	scratch, err := os.MkdirTemp("", "capdo-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(scratch)
	if err := prepare(scratch); err != nil {
		return 0, err
	}
	return m.Run(), nil
}
