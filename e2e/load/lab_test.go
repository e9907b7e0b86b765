//go:build !js

// Package load puts a ledger in workerd under load: many live keys, one key
// that all callers want, records that expire at the same time, more callers
// than an object accepts. It asserts correctness and limits. Times appear only
// in the figures that it prints.
package load

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/e2e/internal/request"
	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/internal/workerd"
)

func TestMain(m *testing.M) { worker.Main(m) }

// lab is a workerd that serves the Worker.
type lab struct {
	*testing.T
	server  *worker.Server
	calls   sync.WaitGroup // requests that nobody may have waited for
	stalled []net.Conn     // connections whose requests are not complete
}

func start(t *testing.T) *lab {
	t.Helper()
	l := &lab{T: t, server: worker.Start(t, workerd.Config{Main: "main.mjs"})}
	t.Cleanup(func() {
		l.server.Kill()
		l.leave()
		l.calls.Wait()
	})
	return l
}

// client gives up before waiting callers do, so a caller that is never woken
// gets no answer.
var client = &http.Client{Timeout: dedupe.MaxWait * 3 / 4, Transport: &http.Transport{MaxIdleConnsPerHost: 50}}

// post makes a request and decodes its answer into out, unless out is nil.
func (l *lab) post(path string, q url.Values, out any) error {
	a, err := request.Post(client, l.server.URL+path+"?"+q.Encode())
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // the URL contains keys
		}
		return fmt.Errorf("POST %s: %w", path, err)
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("POST %s: %d: %.300s", path, a.Status, a.Body)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal([]byte(a.Body), out)
}

func ask[T any](l *lab, path string, q url.Values) (out T) {
	l.Helper()
	if err := l.post(path, q, &out); err != nil {
		l.Fatal(err)
	}
	return out
}

// await asks repeatedly until the answer is as wanted.
func await[T any](l *lab, path string, q url.Values, wanted func(T) bool) T {
	l.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		out := ask[T](l, path, q)
		if wanted(out) {
			return out
		}
		if time.Now().After(end) {
			l.Fatalf("%s stays at %+v", path, out)
		}
	}
}

// counts counts the waits of all objects.
type counts struct{ Waits, Waiting int }

// inside is what an object shows about itself.
type inside struct {
	Rows         int // -1: no table exists
	Bytes        int
	Due, Watched int     // rows that are due within ten minutes
	Last         float64 // due time of the last of them, in Unix ms
	Alarm        *float64
	Alarms       []alarm
}

// alarm is what one alarm of the object did, and how long it took.
type alarm struct{ Removed, Told, MS int }

// turns returns how often an alarm may have looked for due entries. It looks
// again every 100 ms while it waits for functions.
func (a alarm) turns() int { return 1 + a.MS/100 }

// target is a ledger: a binding, a scope, and the mapping of keys to objects.
type target struct {
	binding, scope string
	buckets        int // 0: an object per key
}

// bucket returns the query for one of the ledger's buckets.
func (g target) bucket(n int) url.Values {
	name := fmt.Sprintf("capdo.ledger.v1:%s:%d/%d", base64.RawURLEncoding.EncodeToString([]byte(g.scope)), n, g.buckets)
	return url.Values{"binding": {g.binding}, "object": {name}}
}

// tally counts the outcomes of calls.
type tally struct {
	Acquired, TakenOver, Replay, InProgress, Attempt, Overloaded, Done, Wrong int
	Errors                                                                    map[string]int
}

func (t *tally) add(o *tally) {
	t.Acquired += o.Acquired
	t.TakenOver += o.TakenOver
	t.Replay += o.Replay
	t.InProgress += o.InProgress
	t.Attempt = max(t.Attempt, o.Attempt)
	t.Overloaded += o.Overloaded
	t.Done += o.Done
	t.Wrong += o.Wrong
	for text, n := range o.Errors {
		if t.Errors == nil {
			t.Errors = map[string]int{}
		}
		t.Errors[text] += n
	}
}

func (t tally) String() string {
	s := fmt.Sprintf("%d acquired (%d taken over), %d replayed, %d in progress, attempt %d, %d overloaded, %d done, %d wrong",
		t.Acquired, t.TakenOver, t.Replay, t.InProgress, t.Attempt, t.Overloaded, t.Done, t.Wrong)
	for _, text := range slices.Sorted(maps.Keys(t.Errors)) {
		s += fmt.Sprintf(", %d: %s", t.Errors[text], text)
	}
	return s
}

// want fails the test unless the calls had exactly these outcomes.
func (l *lab) want(what string, got, want tally) {
	l.Helper()
	if got.String() != want.String() {
		l.Errorf("%s:\n\t%v; want\n\t%v", what, got, want)
	}
}

// order is an operation by the callers from..to. Each uses its own key, or one
// of a number of shared keys.
type order struct {
	op, prefix         string
	from, to, keys     int
	parallel, releases int
	lease, wait        time.Duration
	until              time.Time
}

// split returns the parts of an order, of at most size calls each.
func (o order) split(size int) iter.Seq[order] {
	return func(yield func(order) bool) {
		for part := o; part.from < o.to; part.from = part.to {
			if part.to = min(part.from+size, o.to); !yield(part) {
				return
			}
		}
	}
}

func (g target) values(o order) url.Values {
	q := url.Values{"binding": {g.binding}, "scope": {g.scope}, "op": {o.op}, "prefix": {o.prefix}}
	numbers := map[string]int64{
		"buckets": int64(g.buckets), "from": int64(o.from), "to": int64(o.to), "keys": int64(o.keys), "parallel": int64(o.parallel),
		"releases": int64(o.releases), "lease": o.lease.Milliseconds(), "wait": o.wait.Milliseconds(),
	}
	if !o.until.IsZero() {
		numbers["until"] = o.until.UnixMilli()
	}
	for name, n := range numbers {
		q.Set(name, strconv.FormatInt(n, 10))
	}
	return q
}

// chunk is the number of calls in a request, and lanes the number of concurrent
// requests.
const chunk, lanes = 250, 4

// drive makes the callers' calls, many in each request. It returns how long
// that took.
func (l *lab) drive(what string, g target, o order) (total tally, took time.Duration) {
	l.Helper()
	if o.parallel == 0 {
		o.parallel = 64
	}
	begin := time.Now()
	news, done := begin, 0
	var mu sync.Mutex
	var wg sync.WaitGroup
	free := make(chan struct{}, lanes)
	for part := range o.split(chunk) {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			t := l.run(g, part)
			mu.Lock()
			defer mu.Unlock()
			total.add(&t)
			if done += part.to - part.from; time.Since(news) > 2*time.Second {
				news = time.Now()
				l.Logf("%s: %d of %d after %v", what, done, o.to-o.from, time.Since(begin).Round(time.Second))
			}
		})
	}
	wg.Wait()
	return total, time.Since(begin)
}

// run makes the calls of an order in one request.
func (l *lab) run(g target, o order) (t tally) {
	if err := l.post("/run", g.values(o), &t); err != nil {
		l.Error(err)
	}
	return t
}

// together makes the calls of all callers at the same time, in requests of 100.
// The returned function waits for them.
func (l *lab) together(g target, o order) (wait func() tally) {
	o.parallel = 100
	var mu sync.Mutex
	var wg sync.WaitGroup
	var total tally
	for part := range o.split(o.parallel) {
		wg.Add(1)
		l.calls.Go(func() {
			defer wg.Done()
			t := l.run(g, part)
			mu.Lock()
			defer mu.Unlock()
			total.add(&t)
		})
	}
	return func() tally { wg.Wait(); return total }
}

// one makes a single call.
func (l *lab) one(g target, o order) tally {
	l.Helper()
	o.to = o.from + 1
	return ask[tally](l, "/run", g.values(o))
}

// resident returns the memory of workerd's process, in KiB.
func (l *lab) resident() int { return l.server.Resident() / 1024 }

// cpu returns the CPU time that workerd's process has taken, to 10 ms.
func (l *lab) cpu() time.Duration {
	l.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.server.PID()))
	if err != nil {
		l.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the program's name may have spaces
	fields := strings.Fields(rest)
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err := errors.Join(err1, err2); err != nil {
		l.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memory returns the size of heap and stacks of the Go program, in KiB.
func (l *lab) memory() int {
	return ask[int](l, "/memory", nil) / 1024
}

// stored returns the size of all objects' files, in KiB.
func (l *lab) stored() int {
	var bytes int64
	err := filepath.WalkDir(l.server.Config.Disk, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil { // otherwise the file was removed meanwhile
			bytes += info.Size()
		}
		return nil
	})
	if err != nil {
		l.Error(err)
	}
	return int(bytes / 1024)
}

// figures are printed at the end.
type figures struct {
	b strings.Builder
	w *tabwriter.Writer
}

func newFigures() *figures {
	f := &figures{}
	f.w = tabwriter.NewWriter(&f.b, 0, 0, 2, ' ', 0)
	return f
}

// row adds a figure: its name and a formatted value.
func (f *figures) row(what, format string, args ...any) {
	fmt.Fprintf(f.w, "%s\t"+format+"\n", append([]any{what}, args...)...)
}

func (f *figures) String() string {
	f.w.Flush()
	return f.b.String()
}

// rate says how many calls there were a second, and what CPU time workerd took
// for one.
func (l *lab) rate(n int, took, cpuBefore time.Duration) string {
	l.Helper()
	each := (l.cpu() - cpuBefore) / time.Duration(n)
	return fmt.Sprintf("%s, %v of CPU each", perSecond(n, took), each.Round(time.Microsecond))
}

func perSecond(n int, d time.Duration) string { return fmt.Sprintf("%.0f/s", float64(n)/d.Seconds()) }
