package selfhost

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// metrics serves /metrics in Prometheus' text format. It has no figures about
// requests, because they go to workerd directly, which does not count them.
type metrics struct {
	health *health
	data   string // folder
	begin  time.Time

	mu    sync.Mutex
	lines map[source]int
}

// source is the origin of a line of the log, and its level.
type source struct{ from, level string }

// count counts a line of the log.
func (m *metrics) count(from, level string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lines == nil {
		m.lines = map[source]int{}
	}
	m.lines[source{from, level}]++
}

// usage is the kernel's data about workerd, on platforms that provide it.
type usage struct {
	cpu               float64 // seconds
	memory            int64   // bytes, resident
	openFiles, atMost int64   // atMost is the limit
}

func (m *metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	m.write(r.Context(), w)
}

func (m *metrics) write(ctx context.Context, w io.Writer) {
	begin := time.Now()
	alive := m.health.checkAlive(ctx)
	took := time.Since(begin).Seconds()
	gauge(w, "capdo_alive", "Whether workerd's event loop answers, as /healthz.", bit(alive == nil))
	gauge(w, "capdo_alive_seconds", "How long workerd's event loop took to answer.", took)
	gauge(w, "capdo_ready", "Whether new requests should come here, as /readyz.",
		bit(m.health.checkReady(ctx) == nil))
	gauge(w, "capdo_start_time_seconds", "When the process started, in Unix time.",
		float64(m.begin.UnixMilli())/1000)
	if u, ok := processUsage(int(m.health.pid.Load())); ok {
		metric(w, "capdo_workerd_cpu_seconds_total", "counter", "CPU time of workerd.", u.cpu)
		gauge(w, "capdo_workerd_resident_bytes", "Memory of workerd (RSS).", float64(u.memory))
		gauge(w, "capdo_workerd_open_files", "Open files of workerd.", float64(u.openFiles))
		gauge(w, "capdo_workerd_max_files", "How many files workerd may open.", float64(u.atMost))
	}
	if free, ok := freeBytes(m.data); ok {
		gauge(w, "capdo_data_free_bytes",
			"Free space on the data folder's file system.", float64(free))
	}
	m.writeLines(w)
}

func (m *metrics) writeLines(w io.Writer) {
	m.mu.Lock()
	lines := maps.Clone(m.lines)
	m.mu.Unlock()
	order := func(a, b source) int {
		return slices.Compare([]string{a.from, a.level}, []string{b.from, b.level})
	}
	const name = "capdo_log_lines_total"
	fmt.Fprintf(w, "# HELP %s Lines that the Worker and workerd printed.\n"+
		"# TYPE %s counter\n", name, name)
	for _, s := range slices.SortedFunc(maps.Keys(lines), order) {
		fmt.Fprintf(w, "%s{from=%q,level=%q} %d\n", name, s.from, s.level, lines[s])
	}
}

func gauge(w io.Writer, name, help string, value float64) { metric(w, name, "gauge", help, value) }

func metric(w io.Writer, name, kind, help string, value float64) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n%s %v\n", name, help, name, kind, name, value)
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
