//go:build !js

// Package stress randomly mixes what programs do in objects and requests with
// all faults of workerd. It checks that every call is answered, every sum is
// right, and nothing is left behind.
package stress

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/request"
	"flow.internal/capdo/e2e/internal/soak"
	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/internal/workerd"
)

var (
	seed    = flag.Uint64("seed", 0, "reproduces a mix; 0 uses the time")
	runFor  = flag.Duration("stress", 9*time.Second, "how long each mix runs, in three rounds")
	soakFor = flag.Duration("soak", 0, "how long TestSoak runs; 0 skips it")
)

// All mixes run at the same time, because each of them waits 10 s at the end
// until idle objects have left.
func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", strconv.Itoa(len(mixes)+1)) // and resets
	worker.Main(m)
}

// mix describes what happens in one workerd.
type mix struct {
	name   string
	gogc   string
	faults []string // faults that happen from time to time
	within time.Duration
	// keys: clients claim new keys of a ledger, instead of running operations
	keys  bool
	built *worker.Built // the program; nil is worker.Tested
}

// If workerd resets an object without a notification, a lock that the object
// holds is released 40 s later.
const quick, slow = 30 * time.Second, 90 * time.Second

// In a mix with faults objects do not call each other in cycles. Otherwise
// workerd 1.20261117 crashes ("Promise callback destroyed itself") when an
// object is reset that only itself is connected to.
var mixes = []mix{
	{"without faults", "100", nil, quick, false, nil},
	{"without faults and with much garbage collection", "1", nil, quick, false, nil},
	{"with aborts, evictions and cancellations", "1", []string{"abort", "evict", "evict", "gc"}, quick, false, nil},
	{"with crashes", "100", []string{"crash", "terminate", "abort", "evict", "gc"}, quick, false, nil},
	{"with crashes and much garbage collection", "1", []string{"crash", "terminate", "abort", "evict", "gc"}, quick, false, nil},
	{"with new keys of a ledger", "100", nil, slow, true, nil},
}

// resets resets whole isolates, without notifying the program.
var resets = mix{"with resets", "1", []string{"abortAll", "abort", "evict", "crash", "gc"}, slow, false, nil}

// firstSeed returns the requested seed, or a new one.
func firstSeed() uint64 {
	if *seed != 0 {
		return *seed
	}
	return uint64(time.Now().UnixNano())
}

func TestStress(t *testing.T) {
	s := firstSeed()
	for _, m := range mixes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			m.run(t, s, *runFor/3, func(round int) bool { return round < 3 })
		})
	}
}

// run runs the mix in rounds, all in one workerd, and checks the results. Each
// round has objects of its own: what they store does not grow.
func (m mix) run(t *testing.T, seed uint64, d time.Duration, more func(round int) bool) figures {
	t.Logf("-seed %d reproduces the mix", seed)
	l := start(t, m)
	var used []usage
	for l.round = 0; more(l.round) && !t.Failed(); l.round++ {
		l.disturbed(seed+uint64(l.round), d)
		l.checkSums()
		l.objects = map[place]*sums{}
		used = append(used, l.usage())
	}
	l.checkTables()
	l.checkGrowth(used)
	t.Logf("%v", l.figures)
	return l.figures
}

// disturbed has clients do what they do, for a while, among faults.
func (l *lab) disturbed(seed uint64, d time.Duration) {
	var wg sync.WaitGroup
	end := time.Now().Add(d)
	const clients = 12
	for i := range clients {
		client := l.client
		if l.keys {
			client = l.keyClient
		}
		wg.Go(func() { client(i, rand.New(rand.NewPCG(seed, uint64(i))), end) })
	}
	if len(l.faults) > 0 {
		wg.Go(func() { l.disturb(rand.New(rand.NewPCG(seed, clients)), end) })
	}
	wg.Wait()
}

// figures counts events by name.
type figures map[string]int

func (f figures) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(f)) {
		parts = append(parts, fmt.Sprintf("%d %s", f[name], name))
	}
	return strings.Join(parts, ", ")
}

// lab is a workerd that serves the Worker, with what is known about its
// objects.
type lab struct {
	*worker.Server
	mix
	t       testing.TB
	patient *http.Client // waits for answers
	leaving *http.Client // disconnects early

	round   int
	mu      sync.Mutex
	figures figures
	objects map[place]*sums
}

// place identifies the counter of an addition.
type place struct{ object, prefix string }

// sums has additions by id: those that were attempted, those that were
// acknowledged, and those that must not exist.
type sums struct{ attempted, acknowledged, forbidden map[string]bool }

func start(t testing.TB, m mix) *lab {
	t.Helper()
	server := cmp.Or(m.built, &worker.Tested).Start(t, workerd.Config{
		Main: "main.mjs", Modules: map[string]string{"terminate.mjs": worker.Terminate},
		Vars: map[string]string{"GOGC": m.gogc}, V8Flags: []string{"--expose-gc"},
		Flags: []string{"unsafe_module", "experimental", "enable_request_signal"},
	})
	l := &lab{Server: server, mix: m, t: t, figures: figures{}, objects: map[place]*sums{}}
	l.patient = &http.Client{Timeout: m.within, Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	l.leaving = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialToReset}}
	return l
}

// dialToReset opens connections that are reset when they are closed, because
// workerd treats an orderly close as a half-closed connection.
func dialToReset(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err == nil {
		conn.(*net.TCPConn).SetLinger(0)
	}
	return conn, err
}

// get makes a request and returns its body, or the error in the answer.
func (l *lab) get(c *http.Client, ctx context.Context, path string) (body string, err error) {
	req, err := http.NewRequestWithContext(ctx, "GET", l.URL+path, nil)
	if err != nil {
		return "", err
	}
	a, err := request.Do(c, req)
	if err != nil {
		return "", noAnswer{err}
	}
	if a.Status != http.StatusOK {
		var e struct{ Error string }
		if json.Unmarshal([]byte(a.Body), &e) != nil {
			return "", noAnswer{fmt.Errorf("status %d: %.200s", a.Status, a.Body)}
		}
		return "", errors.New(e.Error)
	}
	return a.Body, nil
}

// noAnswer is the error of a request without an answer.
type noAnswer struct{ error }

func (e noAnswer) Unwrap() error { return e.error }

func (l *lab) count(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.figures[name]++
}

// disturb makes faults happen.
func (l *lab) disturb(r *rand.Rand, end time.Time) {
	for time.Now().Before(end) && !l.t.Failed() {
		time.Sleep(time.Duration(20+r.IntN(30)) * time.Millisecond)
		fault, object := l.faults[r.IntN(len(l.faults))], url.QueryEscape(l.name(pick(r)))
		path := "/" + fault + "?object=" + object
		switch fault {
		case "crash", "abort":
			op := &op{Kind: fault, Object: l.name(pick(r)), N: r.IntN(4)}
			if fault == "crash" && r.IntN(2) == 0 {
				op.Object = ""
			}
			path = op.path()
		}
		_, err := l.get(l.patient, context.Background(), path)
		l.judge(fault, err)
		l.count(fault + "s")
	}
}

// judge fails the test if no fault explains an error.
func (l *lab) judge(what string, err error) {
	if err == nil {
		return
	}
	l.count("errors")
	if _, ok := err.(noAnswer); ok {
		l.t.Errorf("%s: no answer: %v", what, err)
		return
	}
	if !l.isExplained(err) {
		l.t.Errorf("%s: %.1000v", what, err)
	}
}

// isExplained reports whether faults of the mix explain each line of an error.
func (l *lab) isExplained(err error) bool {
	if _, ok := err.(noAnswer); ok {
		return false
	}
	for text := range strings.SplitSeq(err.Error(), "\n") {
		if !slices.ContainsFunc(l.allowed(), func(a string) bool { return strings.Contains(text, a) }) {
			return false
		}
	}
	return true
}

// allowed returns texts of errors that the faults of the mix explain.
func (l *lab) allowed() []string {
	list := []string{"panic: stress panic"}
	for _, fault := range l.faults {
		list = append(list, explained[fault]...)
	}
	return list
}

const (
	lost         = "the WebSocket was closed with code 1006"
	disconnected = "Network connection lost."
	hung         = "A critical section within this Durable Object awaited a Promise that apparently will never complete." // if workerd notices it first
)

var explained = map[string][]string{
	"crash":     {"the Go program exited with code 3", "panic: stress crash", lost, disconnected, hung},
	"terminate": {"terminated in the middle of Go", "the Go program was interrupted by the platform", lost, disconnected, hung},
	"abort":     {"stress abort", "I/O context is closed", "the object's instance is gone", lost, disconnected, hung},
	"abortAll":  {"Application called abortAllDurableObjects", "I/O context is closed", "the object's instance is gone", lost, disconnected, hung},
}

// round is how long a soak runs the mixes before it checks the results and the
// use of memory. All mixes run at once, each in one workerd.
const round = 30 * time.Second

func TestSoak(t *testing.T) {
	if *soakFor == 0 {
		t.Skip("without -soak")
	}
	end := soak.Progress(*soakFor)
	begin := time.Now()
	all, total, rounds := append(mixes[:len(mixes):len(mixes)], resets), figures{}, 0
	var mu sync.Mutex
	t.Run("mixes", func(t *testing.T) {
		for i, m := range all {
			t.Run(m.name, func(t *testing.T) {
				t.Parallel()
				done := 0
				did := m.run(t, firstSeed()+uint64(i)<<32, round, func(n int) bool {
					done = n
					return n < 3 || time.Since(begin) < *soakFor
				})
				mu.Lock()
				defer mu.Unlock()
				rounds += done
				for name, n := range did {
					total[name] += n
				}
			})
		}
	})
	end()
	t.Logf("%d rounds in %v: %v", rounds, time.Since(begin).Round(time.Second), total)
}
