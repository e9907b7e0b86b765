//go:build !js

// Package console tests the live console of examples/flow-payments: its page in
// a headless Chromium, and the Worker in workerd.
package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/internal/node"
	"flow.internal/capdo/internal/workerd"
)

var screenshot = flag.String("screenshot", "", "work for two minutes, and write a picture of the page to this `file`: ../../docs/console.png")

var built worker.Built

func TestMain(m *testing.M) { worker.MainOf("../../examples/flow-payments", m, &built) }

// token is the token that the Worker requires of other machines.
const token = "a token of the test, and not a secret"

// lab is a workerd that serves the Worker, behind a proxy whose address stays
// the same when workerd restarts.
type lab struct {
	config workerd.Config
	front  *httptest.Server

	mu      sync.Mutex
	process *workerd.Process // nil while killed
	log     string           // log of earlier processes
}

func start(t *testing.T) *lab {
	t.Helper()
	main, err := filepath.Abs("testdata/main.mjs")
	if err != nil {
		t.Fatal(err)
	}
	modules := workerd.BuildModules(built.Dir)
	modules["main.mjs"] = main
	l := &lab{config: workerd.Config{
		Binary: built.Binary, Main: "main.mjs", Modules: modules, Objects: workerd.Namespaces("Console", "Ledger", "Processor"), Disk: t.TempDir(),
		Flags: []string{"unsafe_module", "experimental", "enable_request_signal"}, Vars: map[string]string{"CAPDO_LOCAL": "true", "DEMO": "true", "PAYMENTS_TOKEN": token},
	}}
	if err := l.run(); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", l.forward)
	mux.HandleFunc("POST /test/kill", func(http.ResponseWriter, *http.Request) { l.kill() })
	mux.HandleFunc("POST /test/start", func(w http.ResponseWriter, _ *http.Request) {
		if err := l.run(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	l.front = httptest.NewServer(mux)
	t.Cleanup(func() {
		l.kill()
		l.front.Close()
		if t.Failed() {
			t.Logf("workerd printed:\n%s", l.log)
		}
	})
	return l
}

func (l *lab) run() error {
	p, err := workerd.Start(context.Background(), l.config)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.process = p
	return err
}

// kill ends workerd with SIGKILL.
func (l *lab) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.process == nil {
		return
	}
	l.process.Kill()
	l.log += l.process.Log()
	l.process = nil
}

// forward forwards a request with its Host. While workerd is down it closes the
// connection.
func (l *lab) forward(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	p := l.process
	l.mu.Unlock()
	if p == nil {
		panic(http.ErrAbortHandler)
	}
	target, err := url.Parse(p.URL)
	if err != nil {
		panic(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	proxy.ServeHTTP(w, r)
}

// result is a line of output of testdata/browser.mjs.
type result struct {
	Test    string
	Failure string
}

func TestConsoleInABrowser(t *testing.T) {
	l := start(t)
	nodeJS, err := node.Find(".")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, nodeJS, "testdata/browser.mjs")
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir(), "CONSOLE_URL="+l.front.URL, "CONSOLE_TOKEN="+token, "CONSOLE_SCREENSHOT="+*screenshot)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for lines := bufio.NewScanner(stdout); lines.Scan(); ran++ {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Errorf("the browser's script printed %q", lines.Text())
			continue
		}
		t.Run(r.Test, func(t *testing.T) {
			if r.Failure != "" {
				t.Error(r.Failure)
			}
		})
	}
	if err := cmd.Wait(); err != nil || ran == 0 {
		t.Errorf("the browser's script ended after %d tests with %v:\n%s", ran, err, &stderr)
	}
}
