// Package worker builds the Worker of an end-to-end test.
package worker

import (
	"context"
	"fmt"
	"os"
	"testing"

	"flow.internal/capdo/internal/build"
	"flow.internal/capdo/internal/node"
	"flow.internal/capdo/internal/workerd"
)

// Built is a Worker that can be served in workerd.
type Built struct {
	Dir     string   // output of capdo build
	Binary  string   // path of workerd
	Classes []string // classes that the program registers
}

// Start serves the Worker until the test ends. c has the special settings.
func (b *Built) Start(t testing.TB, c workerd.Config) *workerd.Process {
	t.Helper()
	c.Binary, c.Main, c.Disk = b.Binary, "entry.mjs", t.TempDir()
	c.Modules, c.Objects = workerd.BuildModules(b.Dir), workerd.Namespaces(b.Classes...)
	return Start(t, c)
}

// Start runs workerd until the test ends. If the test fails, it prints
// workerd's output.
func Start(t testing.TB, c workerd.Config) *workerd.Process {
	t.Helper()
	p, err := workerd.Start(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("workerd printed:\n%s", excerpt(p.Log()))
		}
	})
	return p
}

// excerpt returns the beginning and the end of a log.
func excerpt(log string) string {
	const most = 3000
	if len(log) <= 2*most {
		return log
	}
	return log[:most] + "\n…\n" + log[len(log)-most:]
}

// Main builds the program in the folder worker to *built, runs the tests, and
// exits.
func Main(m *testing.M, built *Built) { MainOf("worker", m, built) }

// MainOf is Main for the program in another folder.
func MainOf(folder string, m *testing.M, built *Built) { MainThen(folder, m, built, func() {}) }

// MainThen is MainOf, but calls then before it exits.
func MainThen(folder string, m *testing.M, built *Built, then func()) {
	code, err := run(folder, m, built)
	then()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(folder string, m *testing.M, built *Built) (code int, err error) {
	if built.Dir, err = os.MkdirTemp("", "capdo-e2e-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(built.Dir)
	if built.Binary, err = node.Workerd("."); err != nil {
		return 0, err
	}
	r, err := build.Run(context.Background(), folder, built.Dir, nil)
	if err != nil {
		return 0, err
	}
	for _, c := range r.Classes {
		built.Classes = append(built.Classes, c.Name)
	}
	return m.Run(), nil
}
