//go:build !js

// Package nethttp compares net/http handlers in a Worker and in an object with
// the same handlers behind net/http's own server.
package nethttp

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/e2e/nethttp/cases"
	"flow.internal/capdo/internal/workerd"
)

func TestMain(m *testing.M) { worker.Main(m) }

// ways are the ways to a handler: the Worker itself; an object whose response
// the Worker returns; Forward; and Forward below a middleware.
var ways = []string{"", "object", "forward", "copied"}

// seen is what a client receives.
type seen struct {
	status int
	header http.Header
	body   string
	broken bool // the response ended early
	notes  string
}

func TestHandlersAnswerAsBehindNetHTTP(t *testing.T) {
	native := httptest.NewUnstartedServer(cases.Handler())
	native.Config.ErrorLog = log.New(io.Discard, "", 0)
	native.Start()
	t.Cleanup(native.Close)
	url := serve(t)
	if len(cases.All) < 80 {
		t.Errorf("%d cases", len(cases.All))
	}
	used := map[string]bool{}
	for i, c := range cases.All {
		t.Run(c.Name, func(t *testing.T) {
			want := ask(t, native.URL, c, "", fmt.Sprint(i), c.Notes)
			for _, way := range ways {
				got := ask(t, url, c, way, fmt.Sprint(i, way), strings.Count(want.notes, "\n"))
				compare(t, c.Name, way, got, want, used)
			}
		})
	}
	for name := range differences {
		if !used[name] && !t.Failed() {
			t.Errorf("%q is listed as a difference, but there is none", name)
		}
	}
}

// serve starts the Worker and returns its URL.
func serve(t *testing.T) string {
	t.Helper()
	p := worker.Start(t, workerd.Config{Flags: []string{"enable_request_signal"}})
	return p.URL
}

// ask sends the request of a case over a connection of its own, so that it sees
// each end of the connection. The handler may continue after its client has the
// response, so ask waits for the expected number of notes.
func ask(t *testing.T, url string, c cases.Case, way, id string, notes int) seen {
	t.Helper()
	s := exchange(t, url, c, http.Header{"X-Case": {c.Name}, "X-Way": {way}, "X-Id": {id}})
	s.notes = takeNotes(t, url, way, id, notes)
	return s
}

// takeNotes waits for at least n notes of a handler.
func takeNotes(t *testing.T, url, way, id string, n int) (notes string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		notes += exchange(t, url, cases.Case{}, http.Header{"X-Notes": {id}, "X-Way": {where(way)}}).body
		if strings.Count(notes, "\n") >= n || time.Now().After(end) {
			return notes
		}
	}
}

// where returns the way to the handlers' memory.
func where(way string) string {
	if way == "" {
		return ""
	}
	return "object"
}

func exchange(t *testing.T, url string, c cases.Case, extra http.Header) seen {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	go conn.Write(wire(c, extra))
	method, _, _ := strings.Cut(c.Request, " ")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	for err == nil && resp.StatusCode < 200 {
		resp, err = http.ReadResponse(r, &http.Request{Method: method})
	}
	if err != nil {
		return seen{broken: true}
	}
	body, err := io.ReadAll(resp.Body)
	return seen{status: resp.StatusCode, header: resp.Header, body: string(body), broken: err != nil}
}

// wire returns a request in its wire format.
func wire(c cases.Case, extra http.Header) []byte {
	line := c.Request
	if line == "" {
		line = "GET /"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\nCF-Connecting-IP: 192.0.2.1\r\n", line)
	extra.Write(&b)
	c.Header.Write(&b)
	hasBody := c.Body != "" || strings.HasPrefix(line, "P")
	switch {
	case c.Chunked:
		fmt.Fprintf(&b, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(c.Body), c.Body)
	case hasBody:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(c.Body), c.Body)
	default:
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// compare fails the test if an answer differs from net/http's and the
// difference is not listed.
func compare(t *testing.T, name, way string, got, want seen, used map[string]bool) {
	t.Helper()
	if d, ok := differences[name]; ok && (d.ways == nil || slices.Contains(d.ways, way)) {
		used[name] = true
		if changed := d.is(got, want); !changed {
			t.Errorf("%q %q: got %s\nwhich is not the listed difference: %s", name, way, got, d.why)
		}
		return
	}
	if got.status != want.status || got.body != want.body || got.broken != want.broken || got.notes != want.notes {
		t.Errorf("%q %q: got %s\nwant %s", name, way, got, want)
	}
	if diff := headerDiff(got.header, want.header); diff != "" {
		t.Errorf("%q %q: %s", name, way, diff)
	}
}

func (s seen) String() string {
	return fmt.Sprintf("%d %q broken=%v %q", s.status, s.body[:min(len(s.body), 100)], s.broken, s.notes)
}

// headerDiff compares headers except those of the connection. Workers choose
// those freely, and Cloudflare's network sets the date.
func headerDiff(got, want http.Header) string {
	got, want = maps.Clone(got), maps.Clone(want)
	for _, name := range []string{"Date", "Connection"} {
		got.Del(name)
		want.Del(name)
	}
	if want.Get("Content-Length") == "" { // net/http omits it from 2 KiB on, durablehttp from 64 KiB on
		got.Del("Content-Length")
	}
	var diff []string
	for name := range maps.Keys(want) {
		if !slices.Equal(got[name], want[name]) {
			diff = append(diff, fmt.Sprintf("%s is %q, want %q", name, got[name], want[name]))
		}
	}
	for name := range maps.Keys(got) {
		if _, ok := want[name]; !ok {
			diff = append(diff, fmt.Sprintf("%s is %q, but should be absent", name, got[name]))
		}
	}
	slices.Sort(diff)
	return strings.Join(diff, "; ")
}
