//go:build !js

package runtime

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/internal/workerd"
)

// open returns the body of an answer while it arrives.
func (l *lab) open(path string) io.Reader {
	l.t.Helper()
	resp, err := client.Get(l.URL + path)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { resp.Body.Close() })
	return resp.Body
}

func TestFlushedLinesArriveOneAtATime(t *testing.T) {
	t.Parallel()
	l := start(t)
	body := l.open("/object?o=a&do=ticks")
	var lines []string
	var first, last time.Time
	for s := bufio.NewScanner(body); s.Scan(); last = time.Now() {
		if lines = append(lines, s.Text()); len(lines) == 1 {
			first = time.Now()
		}
	}
	if strings.Join(lines, "") != "01234" || last.Sub(first) < 20*time.Millisecond {
		t.Errorf("lines %v over %v", lines, last.Sub(first))
	}
}

func TestPanicAfterTheFirstFlushBreaksTheStreamOff(t *testing.T) {
	t.Parallel()
	l := start(t)
	body := l.open("/object?o=a&do=break")
	if b, err := io.ReadAll(body); err == nil {
		t.Errorf("%q ended as if it were complete", b)
	}
	l.want("/?o=a&m=ping", "pong")
}

func TestLargeResponseIsStreamed(t *testing.T) {
	t.Parallel()
	l := start(t)
	body := l.open("/object?o=a&do=big&n=41943040")
	if n, err := io.Copy(io.Discard, body); n != 40<<20 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if s := l.size(); s.Sys > 32<<20 {
		t.Errorf("Go's memory grew to %d bytes", s.Sys)
	}
}

func TestNoContentAndPanicsOverHTTP(t *testing.T) {
	t.Parallel()
	l := start(t)
	if a := l.get("/object?o=a&do=empty"); a.status != http.StatusNoContent || a.body != "" {
		t.Errorf("%d %q", a.status, a.body)
	}
	if a := l.get("/object?o=a&do=panic"); a.status != http.StatusBadGateway || !strings.Contains(a.body, "http boom") {
		t.Errorf("%d %q", a.status, a.body)
	}
}

// TestNewlineInURL: with an older flag, the URL of a request that JavaScript has
// made may contain newlines. They must not end the URL and begin a header.
// workerd's own fetch sends them as %0A.
func TestNewlineInURL(t *testing.T) {
	t.Parallel()
	l := startWith(t, workerd.Config{Flags: []string{"fetch_legacy_url"}})
	l.wantError("/newline", `no scenario "ping\nname\nvalue"`)
}
