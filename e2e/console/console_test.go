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
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/internal/node"
	"flow.internal/capdo/internal/workerd"
)

var screenshot = flag.String("screenshot", "", "work for two minutes, and write a picture of the page to this `file`: ../../docs/console.png")

func TestMain(m *testing.M) { worker.MainOf("../../examples/flow-payments", m) }

// token is the token that the Worker requires of other machines.
const token = "a token of the test, and not a secret"

// start serves the Worker, and returns its address: that of a proxy, which also
// kills and starts workerd.
func start(t *testing.T) string {
	t.Helper()
	s := worker.Start(t, workerd.Config{
		Main: "main.mjs", Flags: []string{"unsafe_module", "experimental", "enable_request_signal"},
		Vars: map[string]string{"CAPDO_LOCAL": "true", "DEMO": "true", "PAYMENTS_TOKEN": token},
	})
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target) // passes on the Host
	// while workerd is killed the connection breaks off
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	mux := http.NewServeMux()
	mux.Handle("/", proxy)
	mux.HandleFunc("POST /test/kill", func(http.ResponseWriter, *http.Request) { s.Kill() })
	mux.HandleFunc("POST /test/start", func(http.ResponseWriter, *http.Request) { s.Restart() })
	front := httptest.NewServer(mux)
	t.Cleanup(func() {
		s.Kill() // ends the requests that go on
		front.Close()
	})
	return front.URL
}

// result is a line of output of testdata/browser.mjs.
type result struct {
	Test    string
	Failure string
}

func TestConsoleInABrowser(t *testing.T) {
	address := start(t)
	nodeJS, err := node.Find(".")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, nodeJS, "testdata/browser.mjs")
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir(), "CONSOLE_URL="+address, "CONSOLE_TOKEN="+token, "CONSOLE_SCREENSHOT="+*screenshot)
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
