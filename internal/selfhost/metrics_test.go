//go:build !js

package selfhost

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestMetrics(t *testing.T) {
	alive := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer alive.Close()
	h := &health{}
	m := &metrics{health: h, data: t.TempDir(), begin: time.Unix(1700000000, 0)}
	read := func() string {
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w.Body.String()
	}
	if text := read(); !strings.Contains(text, "\ncapdo_alive 0\n") || !strings.Contains(text, "\ncapdo_ready 0\n") || strings.Contains(text, "workerd_cpu") {
		t.Errorf("before it serves:\n%s", text)
	}
	h.alive.Store(&alive.URL)
	h.pid.Store(int64(os.Getpid()))
	r := relay{text: &strings.Builder{}, metrics: m}
	for _, line := range []string{
		"a line", `{"timestamp":1,"level":"error","message":"boom","source":"kj"}`, `{"timestamp":1,"level":"error","message":"boom"}`,
		`{"timestamp":1,"level":"log","message":"secret"}`, `{"timestamp":1,"level":"\"\n","message":"secret"}`,
	} {
		r.pass(line)
	}
	text := read()
	for _, want := range []string{
		"\ncapdo_alive 1\n", "\ncapdo_ready 1\n", "\ncapdo_start_time_seconds 1.7e+09\n",
		`capdo_log_lines_total{from="workerd",level="INFO"} 1`, `capdo_log_lines_total{from="workerd",level="ERROR"} 1`,
		`capdo_log_lines_total{from="worker",level="ERROR"} 1`, `capdo_log_lines_total{from="worker",level="INFO"} 2`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	line := regexp.MustCompile(`^(# (HELP|TYPE) capdo_[a-z_]+ .+|capdo_[a-z_]+(\{from="[a-z]+",level="[A-Z]+"\})? [0-9.e+-]+)$`)
	for text := range strings.Lines(text) {
		if !line.MatchString(strings.TrimSuffix(text, "\n")) {
			t.Errorf("%q is not in the format", text)
		}
	}
	if u, ok := processUsage(os.Getpid()); ok && (u.memory < 1<<20 || u.openFiles < 3 || u.atMost < u.openFiles || u.cpu < 0) {
		t.Errorf("%+v", u)
	}
	if _, ok := processUsage(1 << 30); ok {
		t.Error("the process does not exist")
	}
	h.stopping.Store(true)
	if text := read(); !strings.Contains(text, "\ncapdo_ready 0\n") {
		t.Errorf("while it stops:\n%s", text)
	}
}
