//go:build !js

// Package runtime tests of the shared Go runtime in workerd what ends or
// measures the whole program, or takes a client outside: the Worker in worker/,
// driven over HTTP. The rest is tested from inside, by the packages that have
// it.
package runtime

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/internal/workerd"
)

var built worker.Built

// Most of the time many tests wait for what takes long in workerd, so more may
// run at once than there are processors.
func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "8")
	worker.Main(m, &built)
}

// lab is a workerd that serves the Worker.
type lab struct {
	*workerd.Process
	t testing.TB
}

// start serves the Worker on a disk of its own.
func start(t testing.TB) *lab {
	t.Helper()
	main, err := filepath.Abs("testdata/main.mjs")
	if err != nil {
		t.Fatal(err)
	}
	return startWith(t, workerd.Config{Main: "main.mjs"}, main)
}

// startWithoutIdling serves the Worker in a runtime that keeps objects for an
// hour without an event, however slow the machine is. Storage in memory is
// key-value storage. On disk workerd has three files open for each object.
func startWithoutIdling(t testing.TB, inMemory bool) *lab {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(built.Dir, "runtime.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	source := strings.Replace(string(b), "const IDLE_MS = 10_000;", "const IDLE_MS = 3_600_000;", 1)
	if source == string(b) {
		t.Fatal("runtime.mjs has no IDLE_MS of 10 s")
	}
	file := filepath.Join(t.TempDir(), "runtime.mjs")
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	main, err := filepath.Abs("testdata/main.mjs")
	if err != nil {
		t.Fatal(err)
	}
	return startWith(t, workerd.Config{Main: "main.mjs", InMemory: inMemory,
		Modules: map[string]string{"runtime.mjs": file}}, main)
}

// startWith is start with a configuration that has further settings.
func startWith(t testing.TB, c workerd.Config, main string) *lab {
	t.Helper()
	modules := workerd.BuildModules(built.Dir)
	maps.Copy(modules, c.Modules)
	c.Modules = modules
	c.Modules[c.Main] = main
	c.Binary, c.Objects, c.Disk = built.Binary, workerd.Namespaces(built.Classes...), t.TempDir()
	c.Private = true // fetch reaches this machine
	c.Flags = []string{"unsafe_module", "experimental", "enable_request_signal"}
	c.V8Flags = []string{"--expose-gc"}
	process, err := workerd.Start(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{process, t}
	t.Cleanup(func() {
		l.Kill()
		if t.Failed() {
			t.Logf("workerd printed:\n%s", l.Log())
		}
	})
	return l
}

// answer is what a request gave.
type answer struct {
	status int
	body   string
	took   time.Duration
}

var client = &http.Client{Timeout: 3 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 200}}

func (l *lab) get(path string) answer {
	start := time.Now()
	resp, err := client.Get(l.URL + path)
	if err != nil {
		return answer{body: err.Error(), took: time.Since(start)}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		b = []byte(err.Error())
	}
	a := answer{status: resp.StatusCode, body: string(b), took: time.Since(start)}
	var e struct{ Error string }
	if a.status == http.StatusInternalServerError && json.Unmarshal(b, &e) == nil {
		a.body = e.Error
	}
	return a
}

// want fails the test unless the request gives that body with status 200.
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

// eventually waits until a request gives that body; each try is one request.
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

// wantLog waits until workerd has printed a text: that may arrive after the
// answer.
func (l *lab) wantLog(text string) {
	l.t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if strings.Contains(l.Log(), text) {
			return
		}
	}
	l.t.Errorf("the log does not have %q", text)
}

// together makes requests at once and returns their answers in order.
func (l *lab) together(paths ...string) []answer {
	answers := make([]answer, len(paths))
	var wg sync.WaitGroup
	for i, p := range paths {
		wg.Go(func() { answers[i] = l.get(p) })
	}
	wg.Wait()
	return answers
}
