//go:build !js

// Package boundary fuzzes the boundary between JavaScript and Go in workerd. It
// sends hostile values to Go in every possible way, checks Go's memory around
// each place that JavaScript writes to, and sends Go's values back. A failure
// names the seed and the case that reproduce it.
package boundary

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/request"
	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/internal/workerd"
)

var (
	fuzzTime = flag.Duration("fuzz-for", 0, "how long to fuzz each way; 0 means a few seconds in total")
	fuzzSeed = flag.Int("seed", 1, "the first seed")
)

func TestMain(m *testing.M) { worker.Main(m) }

// serve starts workerd with the Worker, and with modules in place of its own.
// gogc is how often Go collects garbage.
func serve(t testing.TB, replaced map[string]string, gogc string) *worker.Server {
	t.Helper()
	modules := map[string]string{}
	for _, name := range []string{"guard.mjs", "report.mjs", "values.mjs"} {
		modules[name] = filepath.Join("testdata", name)
	}
	maps.Copy(modules, replaced)
	return worker.Start(t, workerd.Config{
		Main: "main.mjs", Modules: modules, Objects: workerd.Namespaces("Fuzz", "Plain"),
		JSON: map[string]string{"ODD": `{"__proto__": [1, null], "": "\ud83d"}`, "GOGC": gogc}, Flags: []string{"experimental"},
	})
}

// report is the answer of the fuzzer in workerd.
type report struct {
	Values, Calls, Refused                 int
	Imports, Wholes, Windows, EncodedTwice int // calls; calls with all memory compared; calls with the neighborhood compared
	Failures                               []string
}

var client = &http.Client{Timeout: 2 * time.Minute}

func fuzz(p *worker.Server, way string, seed, n int) (r report) {
	return fuzzIn(p, way, way, seed, n)
}

func fuzzIn(p *worker.Server, object, way string, seed, n int) (r report) {
	a, err := request.Get(client, fmt.Sprintf("%s/%s?o=%s&seed=%d&n=%d", p.URL, way, object, seed, n))
	if err != nil {
		return report{Failures: []string{err.Error()}}
	}
	if err := json.Unmarshal([]byte(a.Body), &r); err != nil {
		return report{Failures: []string{a.Body}}
	}
	return r
}

// ways are the ways in which values come to Go. Each has the size of a batch
// and the number of batches in make test.
var ways = []struct {
	name           string
	batch, batches int
}{
	{"direct", 400, 4}, // the boundary itself, without structured clone
	{"rpc", 300, 2},
	{"stored", 150, 2},
	{"sql", 150, 2},
	{"env", 100, 2},
	{"vars", 100, 1},
	{"remote", 150, 2},
	{"responses", 60, 1},
	{"frames", 30, 1},
	{"hibernating", 100, 1},
}

func TestHostileValues(t *testing.T) {
	p := serve(t, nil, "100")
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			var sum report
			end := time.Now().Add(*fuzzTime)
			seed := *fuzzSeed
			for i := 0; i < way.batches || time.Now().Before(end); i++ {
				r := fuzz(p, way.name, seed, way.batch)
				sum.Values, sum.Calls, sum.Refused = sum.Values+r.Values, sum.Calls+r.Calls, sum.Refused+r.Refused
				sum.Imports, sum.Wholes, sum.Windows, sum.EncodedTwice = r.Imports, r.Wholes, r.Windows, r.EncodedTwice
				if len(r.Failures) > 0 {
					t.Fatalf("seed %d:\n%s", seed, strings.Join(r.Failures, "\n"))
				}
				seed++
			}
			if sum.Values == 0 {
				t.Error("no value was sent")
			}
			t.Logf("%d seeds: %d values in %d calls, %d refused; so far %d imports, %d with the neighborhood compared and %d with all memory compared, %d values encoded twice",
				seed-*fuzzSeed, sum.Values, sum.Calls, sum.Refused, sum.Imports, sum.Windows, sum.Wholes, sum.EncodedTwice)
		})
	}
}

// If Go collects garbage constantly, references are released and their numbers
// reused between any two calls.
func TestHostileValuesWhileGoCollects(t *testing.T) {
	p := serve(t, nil, "1")
	for way, n := range map[string]int{"direct": 200, "rpc": 100} {
		if r := fuzz(p, way, *fuzzSeed, n); len(r.Failures) > 0 || r.Values == 0 {
			t.Errorf("%s, seed %d, %d values:\n%s", way, *fuzzSeed, r.Values, strings.Join(r.Failures, "\n"))
		}
	}
}

// Numbers that wrap around, more names than numbers, handles that are released
// or belong to another object, and bytes that change at the last moment.
func TestEdges(t *testing.T) {
	p := serve(t, nil, "100")
	for _, object := range []string{"a", "b"} {
		if r := fuzzIn(p, object, "edges", 0, 0); len(r.Failures) > 0 {
			t.Errorf("%s:\n%s", object, strings.Join(r.Failures, "\n"))
		}
	}
}

// A client can send header bytes that fetch in JavaScript refuses. workerd
// replaces each byte that is not UTF-8 by U+FFFD.
func TestRawHeaders(t *testing.T) {
	p := serve(t, nil, "100")
	for i, raw := range []string{"plain", "caf\xc3\xa9", "\xff\xfe\x80", "\xed\xa0\x80", strings.Repeat("x", 6000), "a\tb", "\xe2\x82\xac", ""} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /headers?q=%%ff%%ed%%a0%%80 HTTP/1.1\r\nHost: boundary\r\nX-Raw: %s\r\nConnection: close\r\n\r\n", raw)
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		if got := resp.Header.Get("X-Raw"); resp.StatusCode != 200 || got != string([]rune(raw)) {
			t.Errorf("case %d: status %d, header %q came back as %q", i, resp.StatusCode, raw, got)
		}
		conn.Close()
	}
}
