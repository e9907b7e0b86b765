//go:build !js

package cluster

import (
	"context"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"flow.internal/capdo/internal/sleep"
)

var soakFor = flag.Duration("soak", 0, "how long TestSoak runs; 0 skips it")

const callers = 6

func same(int) string { return "c" }

// fault is an event that happens to nodes during calls.
type fault struct {
	name string
	do   func(t testing.TB, w *load, n *node)
}

var (
	bounded = []fault{
		{"SIGKILL; another node has SIGSTOP beyond its lease, then SIGCONT; a third is cut from everything", lost},
		{"SIGTERM", stopped},
		{"the bucket is slow and answers 500 and 503, then is away", badBucket},
		{"a node is cut from the others", cutFromPeers},
	}
	long = append([]fault{
		{"the bucket is slow", func(t testing.TB, w *load, _ *node) {
			w.setConditions(conditions{delay: time.Second}, 10*time.Second)
			w.recover(t)
		}},
		{"the bucket answers 500 and 503", func(t testing.TB, w *load, _ *node) {
			w.setConditions(conditions{broken: 0.5}, 10*time.Second)
			w.recover(t)
		}},
		{"the bucket is away for longer than leases", func(t testing.TB, w *load, _ *node) { w.setConditions(conditions{away: true}, 2*lease); w.recover(t) }},
		{"a node is cut from the bucket", cutFromBucket},
		{"a rolling restart", rolling},
		{"SIGKILL", killed},
		{"a node is cut from everything", cutFromAll},
		{"SIGSTOP beyond the lease, then SIGCONT", func(t testing.TB, w *load, n *node) { paused(t, w, n, func() { w.takeover(t, n) }) }},
	}, bounded...)
)

func killed(t testing.TB, w *load, n *node) {
	n.avoid.Store(true)
	n.kill()
	w.takeover(t, n)
	n.revive(t)
}

// stopped ends a node gracefully. No call may fail at HTTP because of that. A
// call on its way to an object that moves may fail once: its caller is told
// that the outcome is unknown.
func stopped(t testing.TB, w *load, n *node) {
	n.avoid.Store(true) // like a load balancer that polls /readyz
	time.Sleep(time.Second)
	before, ends := w.reasons(), w.ends()
	n.down.Store(true)
	err := n.running().Stop()
	w.awaitKeys(t, isolated{n: true})
	after := w.reasons()
	if err != nil || w.ends() != ends { // on a busy machine leases may expire
		t.Logf("  not judged, because nodes ended by themselves: %v", err)
	} else {
		w.figures.graceful++
		judgeStop(t, before, after)
	}
	n.revive(t)
}

// rolling restarts all nodes, one after the other.
func rolling(t testing.TB, w *load, _ *node) {
	for _, n := range w.nodes {
		stopped(t, w, n)
	}
}

func judgeStop(t testing.TB, before, after map[string]int) {
	for why, count := range after {
		if count == before[why] {
			continue
		}
		t.Logf("  %d calls around SIGTERM: %s", count-before[why], why)
		if !strings.Contains(why, " unknown: ") {
			t.Errorf("%d calls failed around SIGTERM: %s", count-before[why], why)
		}
	}
}

// ends returns how often nodes have ended by themselves.
func (w *load) ends() (n int64) {
	for _, node := range w.nodes {
		n += node.ends.Load()
	}
	return n
}

func (w *load) reasons() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.why)
}

// lost leaves one node, or two of three. They take over everything within the
// time of one lease.
func lost(t testing.TB, w *load, n *node) {
	second, third := w.nodes[n.number%len(w.nodes)], w.nodes[(n.number+1)%len(w.nodes)]
	gone := []*node{n, second}
	if len(w.nodes) > 3 {
		gone = append(gone, third)
		w.own(third)
		w.cutAll(t, third, true)
	}
	w.own(second)
	paused(t, w, second, func() {
		n.avoid.Store(true)
		n.kill()
		w.takeover(t, gone...)
	})
	if len(w.nodes) > 3 {
		w.cutAll(t, third, false)
	}
	n.revive(t)
	w.recover(t)
}

// paused suspends a node for longer than its lease, so that others take over.
// The node does not know that when it continues.
func paused(t testing.TB, w *load, n *node, takenOver func()) {
	s := n.running()
	if err := s.Process().Signal(syscall.SIGSTOP); err != nil {
		t.Error(err)
		return
	}
	n.avoid.Store(true)
	takenOver()
	n.avoid.Store(false) // callers return at the moment when it continues
	ends := n.ends.Load()
	if err := s.Process().Signal(syscall.SIGCONT); err != nil {
		t.Error(err)
		return
	}
	time.Sleep(2 * time.Second)
	n.await(t)
	t.Logf("  the paused node ended itself: %v", n.ends.Load() > ends)
}

// setConditions sets the state of the bucket for all nodes.
func (w *load) setConditions(bad conditions, d time.Duration) {
	for _, n := range w.nodes {
		n.link.set(bad)
	}
	time.Sleep(d)
	for _, n := range w.nodes {
		n.link.set(conditions{})
	}
}

func badBucket(t testing.TB, w *load, _ *node) {
	w.setConditions(conditions{delay: 400 * time.Millisecond, broken: 0.3}, 2*time.Second)
	w.setConditions(conditions{away: true}, 2*time.Second)
	w.recover(t)
}

func (w *load) recover(t testing.TB) {
	for _, n := range w.nodes {
		n.await(t)
	}
	w.awaitKeys(t, nil)
}

func cutFromBucket(t testing.TB, w *load, n *node) {
	n.link.set(conditions{away: true})
	n.avoid.Store(true)
	w.takeover(t, n)
	n.link.set(conditions{})
	w.recover(t)
}

func cutFromPeers(t testing.TB, w *load, n *node) {
	if err := w.network.cutPeers(n.number, len(w.nodes), true); err != nil {
		t.Error(err)
	}
	time.Sleep(2 * time.Second)
	if err := w.network.cutPeers(n.number, len(w.nodes), false); err != nil {
		t.Error(err)
	}
	w.recover(t)
}

// cutFromAll disconnects a node from bucket, peers and clients.
func cutFromAll(t testing.TB, w *load, n *node) {
	w.cutAll(t, n, true)
	w.takeover(t, n)
	w.cutAll(t, n, false)
	w.recover(t)
}

// cutAll disconnects a node or reconnects it. Without network namespaces it
// disconnects it only from the bucket.
func (w *load) cutAll(t testing.TB, n *node, cut bool) {
	if cut {
		n.avoid.Store(true)
	}
	if !w.network.spaces {
		t.Logf("  only from the bucket: %s", w.network.why)
		n.link.set(conditions{away: cut})
		return
	}
	if err := w.network.cutAll(n.number, cut); err != nil {
		t.Error(err)
	}
}

// takeover waits until all keys answer without the given nodes, and records how
// long that took.
func (w *load) takeover(t testing.TB, gone ...*node) {
	t.Helper()
	without := isolated{}
	for _, n := range gone {
		without[n] = true
	}
	took := w.awaitKeys(t, without).Round(100 * time.Millisecond)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.figures.takeovers = append(w.figures.takeovers, took)
}

// run makes calls while the faults happen, one after the other, and judges the
// results.
func run(t *testing.T, l *lab, list []fault) *load {
	w := newLoad(l)
	ctx, cancel := context.WithCancel(t.Context())
	wait := w.work(ctx, callers)
	for w.inUse() < 30 && sleep.For(ctx, 50*time.Millisecond) { // so that each node has some
	}
	for i, f := range list {
		begin := time.Now()
		n := l.nodes[i%len(l.nodes)]
		t.Logf("%s: node %d", f.name, n.number)
		w.own(n)
		f.do(t, w, n)
		t.Logf("  %.1f s", time.Since(begin).Seconds())
		w.mu.Lock()
		w.figures.faults++
		w.mu.Unlock()
	}
	time.Sleep(time.Second)
	cancel()
	wait()
	w.recover(t)
	numbers := w.readOut(t)
	w.judge(t)
	t.Logf("%d numbers of sequences, no gap", numbers)
	return w
}

// inUse returns the number of keys.
func (w *load) inUse() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.names)
}

func (w *load) acquired() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.figures.acquired
}

func (w *load) judge(t *testing.T) {
	begin := time.Now()
	verdict, ok := w.history.Check()
	t.Logf("%v: %s; checked in %v", &w.figures, verdict, time.Since(begin).Round(time.Millisecond))
	if !ok {
		t.Error("the history has no explanation")
	}
	for _, why := range slices.Sorted(maps.Keys(w.why)) {
		t.Logf("  %d unknown: %s", w.why[why], why)
	}
	for _, n := range w.nodes {
		t.Logf("  node %d ended by itself %d times; crashes: %q", n.number, n.ends.Load(), n.crashes())
	}
}

func where(t testing.TB, w *network) {
	if w.spaces {
		t.Log("each node is in a network namespace of its own")
	} else {
		t.Logf("no network namespaces, all nodes are on loopback: %s", w.why)
	}
}

func TestFaults(t *testing.T) {
	w := newNetwork(t, 4)
	where(t, w)
	l := run(t, newLab(t, 4, w, same), bounded)
	if l.figures.fenced == 0 || l.figures.waits == 0 || l.figures.replays == 0 || len(l.figures.takeovers) == 0 {
		t.Errorf("the load is too small: %v", &l.figures)
	}
}

// Two nodes with different prefixes in the bucket are two ledgers, so each key
// can have two holders. The checker must notice that.
func TestSplitClusterIsCaught(t *testing.T) {
	t.Parallel()
	isCaught(t, newLab(t, 2, &network{why: "not needed"},
		func(n int) string { return []string{"one", "two"}[n-1] }))
}

// isCaught makes calls to a broken cluster until the checker notices.
func isCaught(t *testing.T, l *lab) {
	t.Helper()
	w := newLoad(l)
	for enough := 30; enough <= 240; enough *= 2 {
		ctx, cancel := context.WithTimeout(t.Context(), patient)
		wait := w.work(ctx, callers)
		for w.acquired() < enough && sleep.For(ctx, 50*time.Millisecond) {
		}
		cancel()
		wait()
		verdict, ok := w.history.Check()
		t.Logf("%v: %s", &w.figures, strings.SplitN(verdict, "\n", 2)[0])
		if !ok {
			return
		}
	}
	t.Error("the checker did not notice")
}

func TestSoak(t *testing.T) {
	if *soakFor == 0 {
		t.Skip("without -soak")
	}
	end := time.Now().Add(*soakFor)
	for round := 1; time.Now().Before(end) && !t.Failed(); round++ {
		w := newNetwork(t, 3)
		where(t, w)
		list := slices.Clone(long)
		for i := range list { // another order for other nodes
			j := (i + round*4) % len(list)
			list[i], list[j] = list[j], list[i]
		}
		run(t, newLab(t, 3, w, same), list)
		os.Stderr.WriteString(".")
	}
}
