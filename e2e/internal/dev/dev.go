// Package dev runs capdo dev for end-to-end tests.
package dev

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/internal/freeport"
	"flow.internal/capdo/internal/process"
)

// Server is a running capdo dev.
type Server struct {
	URL  string
	Disk string       // folder of its storage
	Log  *process.Log // output since Run; it may arrive a little late

	t     testing.TB
	dir   string
	ready string
	port  int
	own   []string // flags for capdo
	flags []string // flags for wrangler
	cmd   *exec.Cmd
	ended chan struct{} // closed when capdo has ended
}

var capdo string

// Main compiles capdo, runs the tests, and exits.
func Main(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "capdo-dev-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	capdo = filepath.Join(dir, "capdo")
	if out, err := exec.Command("go", "build", "-o", capdo,
		"../../cmd/capdo").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%s%w", out, err)
	}
	return m.Run(), nil
}

// Start serves the example in dir, which may be its config, with more flags for
// wrangler and with its own disk, until the test ends. Once it runs it answers
// at the path ready.
func Start(t testing.TB, dir, ready string, flags ...string) *Server {
	t.Helper()
	return StartWith(t, nil, dir, ready, flags...)
}

// StartWith is Start with more flags for capdo too.
func StartWith(t testing.TB, own []string, dir, ready string, flags ...string) *Server {
	t.Helper()
	port, err := freeport.Get()
	if err != nil {
		t.Fatal(err)
	}
	// Otherwise two wranglers look for a port at the same time, and may choose
	// the same.
	flags = append(flags, "--inspector-port", "0")
	s := &Server{t: t, dir: dir, ready: ready, own: own, flags: flags, port: port,
		Disk: t.TempDir()}
	s.URL = fmt.Sprintf("http://127.0.0.1:%d", s.port)
	s.Run()
	t.Cleanup(s.Kill)
	return s
}

// Run starts capdo dev, also after Kill, and waits until it answers.
func (s *Server) Run() {
	s.t.Helper()
	s.Log = &process.Log{}
	args := slices.Concat([]string{"dev", s.dir, "--port", strconv.Itoa(s.port), "--persist-to",
		s.Disk}, s.own, []string{"--"}, s.flags)
	s.cmd = exec.Command(capdo, args...)
	s.cmd.Stdout, s.cmd.Stderr = s.Log, s.Log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	s.ended = ended
	go func(cmd *exec.Cmd) {
		cmd.Wait()
		close(ended)
	}(s.cmd)
	end := time.After(2 * time.Minute)
	for {
		if resp, err := http.Get(s.URL + s.ready); err == nil {
			resp.Body.Close()
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
			continue
		case <-ended:
		case <-end:
		}
		s.Kill()
		s.t.Fatalf("capdo dev did not answer:\n%s", s.Log)
	}
}

// processes returns the process that Run started, and all its descendants.
func (s *Server) processes() []int {
	pids := []int{s.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children(pids[i])...)
	}
	return pids
}

// Memory returns the resident memory of all workerd processes of the server, in
// bytes.
func (s *Server) Memory() (bytes int) {
	for _, pid := range s.processes() {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, rss, _ := strings.Cut(string(status), "VmRSS:")
		if fields := strings.Fields(rss); strings.TrimSpace(string(name)) == "workerd" &&
			len(fields) > 0 {
			kib, _ := strconv.Atoi(fields[0])
			bytes += kib << 10
		}
	}
	return bytes
}

// Kill ends capdo, wrangler and workerd with SIGKILL. It waits until all have
// ended, so that Run can use the port and the storage.
func (s *Server) Kill() {
	pids := s.processes()
	for _, pid := range pids {
		if p, err := os.FindProcess(pid); err == nil {
			p.Kill()
		}
	}
	<-s.ended
	for _, pid := range pids[1:] { // only capdo is a child process, so only it can be awaited
		for isRunning(pid) {
			time.Sleep(5 * time.Millisecond)
		}
	}
	if s.t.Failed() {
		s.t.Logf("capdo dev printed:\n%s", s.Log)
	}
}

// isRunning reports whether a thread of the process is still running. A process
// that was not waited for keeps the entry of its first thread.
func isRunning(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	_, state, _ := strings.Cut(string(stat), ") ") // after the name, which may contain spaces
	return len(threads) > 1 || !strings.HasPrefix(state, "Z")
}

func children(pid int) (pids []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range tasks {
		b, _ := os.ReadFile(file)
		for _, f := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(f); err == nil {
				pids = append(pids, n)
			}
		}
	}
	return pids
}
