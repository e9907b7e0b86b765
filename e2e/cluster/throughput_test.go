//go:build !js

package cluster

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/e2e/proof"
)

var measureFor = flag.Duration("measure", 0, "how long TestThroughput measures each figure; 0 skips it")

const (
	measuring = 16        // callers
	taken     = int64(30) // keys
)

// TestThroughput measures the figures of docs/scale.md: the effect of more
// nodes on the same machine, and the bucket requests of each operation.
func TestThroughput(t *testing.T) {
	if *measureFor == 0 {
		t.Skip("without -measure")
	}
	for nodes := 1; nodes <= 3; nodes++ {
		l := newLab(t, nodes, &network{why: "not needed"}, same)
		w := newLoad(l)
		quiet := l.traffic.during(*measureFor, func() { time.Sleep(*measureFor) })
		t.Logf("%d idle nodes: %v per second in total", nodes, quiet.per(int64(measureFor.Seconds())))
		w.measure(t, "new keys", func(n int64) proof.Operation { return claimOf(fmt.Sprint("new", n), "o") })
		c := &caller{load: w, client: &http.Client{Timeout: 20 * time.Second}}
		for n := range taken {
			if a, _ := c.send(l.nodes[int(n)%nodes], claimOf(fmt.Sprint("taken", n), "holder"), 0); a.Status != "ok" {
				t.Fatalf("a claim says %+v", a)
			}
		}
		w.measure(t, "keys that are taken", func(n int64) proof.Operation { return claimOf(fmt.Sprint("taken", n/3%taken), fmt.Sprint(n)) })
		w.measure(t, "numbers of a stream", func(n int64) proof.Operation {
			return proof.Operation{Target: "sequence", Key: fmt.Sprint("s", n%50), Op: "next", Entry: int(n), Owner: fmt.Sprint(n), Fingerprint: "p"}
		})
		for _, n := range l.nodes {
			n.kill()
		}
		l.bucket.Stop()
	}
}

func claimOf(key, owner string) proof.Operation {
	return proof.Operation{Target: "ledger", Key: key, Op: "claim", Owner: owner, Fingerprint: "p"}
}

// measure makes operations on all nodes in turn.
func (w *load) measure(t *testing.T, name string, operation func(n int64) proof.Operation) {
	var made, done atomic.Int64
	nodes, server := w.cpu(t)
	used := w.traffic.during(*measureFor, func() {
		ctx, cancel := context.WithTimeout(context.Background(), *measureFor)
		defer cancel()
		var wg sync.WaitGroup
		client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: measuring}}
		for id := range measuring {
			c := &caller{load: w, id: id, client: client}
			wg.Go(func() {
				for ctx.Err() == nil {
					n := made.Add(1)
					if a, sent := c.send(w.nodes[int(n)%len(w.nodes)], operation(n), 0); sent && !a.Unknown {
						done.Add(1)
					}
				}
			})
		}
		wg.Wait()
	})
	nodesAfter, serverAfter := w.cpu(t)
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(max(done.Load(), 1)) }
	t.Logf("%d nodes, %s: %.0f a second; each takes %.1f ms of CPU time in nodes, %.1f ms in the bucket's server; bucket: %v",
		len(w.nodes), name, float64(done.Load())/measureFor.Seconds(), each(nodesAfter-nodes), each(serverAfter-server), used.per(done.Load()))
	if done.Load() == 0 || done.Load() < made.Load()*9/10 {
		t.Errorf("%d of %d calls were answered", done.Load(), made.Load())
	}
}

// cpu returns the CPU time of the nodes and of the bucket's server. On a busy
// machine it says more than elapsed time.
func (w *load) cpu(t *testing.T) (nodes, server time.Duration) {
	for _, n := range w.nodes {
		nodes += cpuOf(t, n.running().Process().Pid)
	}
	return nodes, cpuOf(t, w.bucket.PID())
}

// cpuOf reads /proc: fields 14 and 15 are ticks of 10 ms.
func cpuOf(t *testing.T, pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// use is a number of bucket requests and their bytes.
type use struct {
	requests, in, out int64
	kinds             map[string]int
}

func (c *traffic) now() use {
	c.mu.Lock()
	defer c.mu.Unlock()
	return use{c.requests.Load(), c.in.Load(), c.out.Load(), maps.Clone(c.kinds)}
}

func (c *traffic) during(_ time.Duration, do func()) use {
	before := c.now()
	do()
	u := c.now()
	u.requests, u.in, u.out = u.requests-before.requests, u.in-before.in, u.out-before.out
	for k, n := range before.kinds {
		u.kinds[k] -= n
	}
	return u
}

func (u use) per(n int64) string {
	n = max(n, 1)
	var kinds []string
	for _, k := range slices.Sorted(maps.Keys(u.kinds)) {
		if share := float64(u.kinds[k]) / float64(n); share >= 0.01 {
			kinds = append(kinds, fmt.Sprintf("%s %.2f", k, share))
		}
	}
	return fmt.Sprintf("%.2f requests, %d bytes sent, %d bytes received (%s)", float64(u.requests)/float64(n), u.out/n, u.in/n, strings.Join(kinds, ", "))
}
