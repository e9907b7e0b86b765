//go:build !js

// Package runtime tests the shared Go runtime in workerd. It has the tests that
// end or measure the whole program or need a client outside. It drives the
// Worker in worker/ over HTTP. The other packages test the rest from inside.
package runtime

import (
	"encoding/json"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/request"
	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/internal/workerd"
)

// Many tests mostly wait for slow events in workerd, so more of them may run at
// once than there are processors.
func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "8")
	worker.Main(m)
}

// lab is a workerd that serves the Worker.
type lab struct {
	*worker.Server
	t testing.TB
}

// start serves the Worker with a disk of its own.
func start(t testing.TB) *lab {
	t.Helper()
	return startWith(t, workerd.Config{})
}

// startWithoutIdling serves the Worker in a runtime that keeps objects for an
// hour without an event, however slow the machine is. Storage in memory is
// key-value storage. On disk workerd has three files open for each object.
func startWithoutIdling(t testing.TB, inMemory bool) *lab {
	t.Helper()
	return startWith(t, workerd.Config{InMemory: inMemory, Modules: changed(t, "runtime.mjs",
		"const IDLE_MS = 10_000;", "const IDLE_MS = 3_600_000;")})
}

// changed returns a copy of a module in which a line has been replaced.
func changed(t testing.TB, module, line, by string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(worker.Tested.Dir, module))
	if err != nil {
		t.Fatal(err)
	}
	source := strings.Replace(string(b), line, by, 1)
	if source == string(b) {
		t.Fatalf("%s has no line %q", module, line)
	}
	file := filepath.Join(t.TempDir(), module)
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	return map[string]string{module: file}
}

// startWith is start with a configuration that has further settings.
func startWith(t testing.TB, c workerd.Config) *lab {
	t.Helper()
	c.Main = "main.mjs"
	if c.Modules == nil {
		c.Modules = map[string]string{}
	}
	c.Modules["terminate.mjs"] = worker.Terminate
	c.Private = true // fetch reaches this machine
	c.Flags = append(c.Flags, "unsafe_module", "experimental", "enable_request_signal")
	c.V8Flags = []string{"--expose-gc"}
	return &lab{worker.Start(t, c), t}
}

// answer is the answer to a request.
type answer struct {
	status int
	body   string
	took   time.Duration
}

var client = &http.Client{Timeout: 3 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 200}}

func (l *lab) get(path string) answer {
	start := time.Now()
	got, err := request.Get(client, l.URL+path)
	if err != nil {
		got.Body = err.Error()
	}
	a := answer{status: got.Status, body: got.Body, took: time.Since(start)}
	var e struct{ Error string }
	if a.status == http.StatusInternalServerError && json.Unmarshal([]byte(a.body), &e) == nil {
		a.body = e.Error
	}
	return a
}

// want fails the test unless the request gets that body with status 200.
func (l *lab) want(path, body string) {
	l.t.Helper()
	if a := l.get(path); a.status != http.StatusOK || a.body != body {
		l.t.Errorf("GET %s: %d %q in %v, want %q", path, a.status, a.body, a.took, body)
	}
}

// wantError fails the test unless the request fails with an error that contains
// text.
func (l *lab) wantError(path, text string) answer {
	l.t.Helper()
	a := l.get(path)
	if a.status != http.StatusInternalServerError || !strings.Contains(a.body, text) {
		l.t.Errorf("GET %s: %d %q in %v, want an error with %q", path, a.status, a.body, a.took, text)
	}
	return a
}

// eventually waits until a request gets that body. Each attempt is a request.
func (l *lab) eventually(path, body string, within time.Duration) {
	l.t.Helper()
	var a answer
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if a = l.get(path); a.body == body {
			return
		}
	}
	l.t.Errorf("GET %s: %d %q for %v, want %q", path, a.status, a.body, within, body)
}

// wantLog waits until workerd has printed a text, which may happen after the
// answer.
func (l *lab) wantLog(text string) {
	l.t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if strings.Contains(l.Log(), text) {
			return
		}
	}
	l.t.Errorf("the log does not contain %q", text)
}

// together makes concurrent requests and returns their answers in order.
func (l *lab) together(paths ...string) []answer {
	answers := make([]answer, len(paths))
	var wg sync.WaitGroup
	for i, p := range paths {
		wg.Go(func() { answers[i] = l.get(p) })
	}
	wg.Wait()
	return answers
}
