package worker

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"flow.internal/capdo/internal/freeport"
	"flow.internal/capdo/internal/node"
	"flow.internal/capdo/internal/workerd"
)

// Server is a workerd that serves a Worker: one process after the other, at the
// same address and on the same disk.
type Server struct {
	URL    string
	Config workerd.Config // of the next process

	t       testing.TB
	added   map[string]string // modules that are not of the build
	mu      sync.Mutex
	process *workerd.Process // the last one
	before  strings.Builder  // what the processes before it printed
}

// Terminate is a module that ends objects in the middle of Go.
const Terminate = "../internal/worker/terminate.mjs"

// Start serves the Worker that Main has built; see [Built.Start].
func Start(t testing.TB, c workerd.Config) *Server {
	t.Helper()
	return Tested.Start(t, c)
}

// Start serves the Worker until the test is over. c has what is special about
// it: Main is a file in testdata, Modules are added to those of the build, and
// no Objects means all classes.
func (b *Built) Start(t testing.TB, c workerd.Config) *Server {
	t.Helper()
	added := map[string]string{}
	if c.Main == "" {
		c.Main = "entry.mjs"
	} else {
		added[c.Main] = filepath.Join("testdata", c.Main)
	}
	maps.Copy(added, c.Modules)
	c.Binary = b.Binary
	if c.Objects == nil {
		c.Objects = workerd.Namespaces(b.Classes...)
	}
	s := &Server{t: t, Config: c, added: added}
	s.Use(b)
	s.open()
	return s
}

// Serve serves a Worker without a Go program until the test is over.
func Serve(t testing.TB, c workerd.Config) *Server {
	t.Helper()
	var err error
	if c.Binary, err = node.Workerd("."); err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, Config: c, added: c.Modules}
	s.use(map[string]string{})
	s.open()
	return s
}

// Use has the next process serve another program.
func (s *Server) Use(b *Built) {
	s.t.Helper()
	s.use(workerd.BuildModules(b.Dir))
}

func (s *Server) use(modules map[string]string) {
	s.t.Helper()
	for name, file := range s.added {
		path, err := filepath.Abs(file)
		if err != nil {
			s.t.Fatal(err)
		}
		modules[name] = path
	}
	s.Config.Modules = modules
}

// open starts the first process. If the test fails, it prints what workerd
// printed.
func (s *Server) open() {
	s.t.Helper()
	var err error
	if s.Config.Port, err = freeport.Get(); err != nil {
		s.t.Fatal(err)
	}
	s.Config.Disk = s.t.TempDir()
	if s.process, err = workerd.Start(context.Background(), s.Config); err != nil {
		s.t.Fatal(err)
	}
	s.URL = s.process.URL
	s.t.Cleanup(func() {
		s.Kill()
		if s.t.Failed() {
			s.t.Logf("workerd printed:\n%s", excerpt(s.AllLogs()))
		}
	})
}

// Kill ends workerd with SIGKILL, unless it has ended. It returns when the
// process has ended, so that Restart finds the port and the disk free.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process.Kill()
}

// Restart kills workerd and starts it again. Any goroutine may do so: that it
// does not start is an error of the test, and does not end it.
func (s *Server) Restart() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process.Kill()
	p, err := workerd.Start(context.Background(), s.Config)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.before.WriteString(s.process.Log())
	s.process = p
}

// Resident returns how many bytes of memory workerd has resident.
func (s *Server) Resident() int {
	s.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.PID()))
	if err != nil {
		s.t.Fatal(err)
	}
	var size, resident int // in pages
	fmt.Sscan(string(b), &size, &resident)
	return resident * os.Getpagesize()
}

// PID returns the process's id.
func (s *Server) PID() int { return s.last().PID() }

// Log returns what workerd and the Worker have printed since the last start.
func (s *Server) Log() string { return s.last().Log() }

// AllLogs returns what they have printed since the first start.
func (s *Server) AllLogs() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.before.String() + s.process.Log()
}

func (s *Server) last() *workerd.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// excerpt is the beginning and the end of a log, and between them the first
// error that ended a Go program, with what is before it.
func excerpt(log string) string {
	const most = 3000
	if len(log) <= 2*most {
		return log
	}
	middle := log[most : len(log)-most]
	if at := strings.Index(middle, "fatal error: "); at >= 0 {
		middle = middle[max(0, at-most/2):min(len(middle), at+2*most)] + "\n…\n"
	} else {
		middle = ""
	}
	return log[:most] + "\n…\n" + middle + log[len(log)-most:]
}
