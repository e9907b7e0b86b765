//go:build !js

// Package httpclient compares an http.Client in a Worker and in an object with
// an http.Client in a native program.
package httpclient

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/e2e/httpclient/cases"
	"flow.internal/capdo/e2e/internal/documented"
	"flow.internal/capdo/e2e/internal/request"
	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/internal/workerd"
)

func TestMain(m *testing.M) { worker.Main(m) }

// ways are: http.DefaultTransport with the handler's context, without one, and
// in an object; a copy of it; Outbound; and Transport with an object as the
// server.
var ways = []string{"default", "without a context", "in an object", "copy", "outbound", "object"}

// serve starts the server and the Worker.
func serve(t *testing.T) (server, url string) {
	t.Helper()
	s := httptest.NewUnstartedServer(cases.Server())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	t.Cleanup(s.Close)
	p := worker.Start(t, workerd.Config{Flags: []string{"enable_request_signal"}, Private: true})
	return s.URL, p.URL
}

// run makes the Worker run a case.
func run(t *testing.T, url, server, way, name string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"X-Case": {name}, "X-Way": {way}, "X-Server": {server}}
	client := &http.Client{Timeout: 30 * time.Second}
	a, err := request.Do(client, r)
	if err != nil {
		t.Errorf("%q %q: %v", name, way, err)
	}
	return a.Body
}

func TestClientsSeeWhatNativeOnesSee(t *testing.T) {
	server, url := serve(t)
	if len(cases.All) < 80 {
		t.Errorf("%d cases", len(cases.All))
	}
	for _, c := range cases.All {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			want := c.Run(cases.Env{Context: t.Context(), Client: &http.Client{Transport: &http.Transport{}}, URL: server})
			d, differs := differences[c.Name]
			used := false
			for _, way := range ways {
				got := run(t, url, server, way, c.Name)
				switch {
				case differs && (d.ways == nil || slices.Contains(d.ways, way)):
					used = true
					if got == want || !strings.Contains(got, d.has) {
						t.Errorf("%q %q: got\n%s\nwhich is not the listed difference: %s; a native client has\n%s", c.Name, way, got, d.why, want)
					}
				case got != want:
					t.Errorf("%q %q: got\n%s\nwant\n%s", c.Name, way, got, want)
				}
			}
			if differs && !used {
				t.Errorf("%q is listed as a difference, but there is none", c.Name)
			}
		})
	}
}

// Requests share the Go program. A goroutine of one request may run while
// workerd considers another one current.
func TestFetchWithoutAContext(t *testing.T) {
	server, url := serve(t)
	var holding, passing sync.WaitGroup
	for range 3 {
		for _, way := range []string{"default", "in an object"} {
			holding.Go(func() {
				if got := run(t, url, server, way, "hold"); got != "done" {
					t.Errorf("%s: %s", way, got)
				}
			})
		}
	}
	over := make(chan bool)
	for range 3 { // short requests that wake the goroutines
		passing.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					run(t, url, server, "default", "turn")
				}
			}
		})
	}
	holding.Wait()
	close(over)
	passing.Wait()
}

func TestCanceledRequestClosesItsBody(t *testing.T) {
	server, url := serve(t)
	for _, way := range ways {
		if way == "copy" { // net/http's Transport reads the body itself and leaves it open
			continue
		}
		if got := run(t, url, server, way, "given up"); got != "true io: read/write on closed pipe" {
			t.Errorf("%s: %s", way, got)
		}
	}
}

func TestDifferencesAreDocumented(t *testing.T) {
	for name, d := range differences {
		documented.Row(t, "../../docs/http.md", d.why, name)
	}
}
