//go:build !js

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/request"
	"flow.internal/capdo/e2e/proof"
	"flow.internal/capdo/internal/sleep"
)

// load is a set of callers on all nodes, with the results of their calls.
type load struct {
	*lab
	history *proof.History
	begin   time.Time
	made    atomic.Int64

	mu      sync.Mutex
	keys    map[string]*key // by target and key
	names   []string
	figures figures
	why     map[string]int // reasons of unknown outcomes
}

// key is what callers know about a key.
type key struct {
	target, name string
	claims       []proof.Operation // claims whose fence is known
	pending      []proof.Operation // claims of unknown outcome
	unknown      int
	asked        map[int]bool // requested entries of a stream
}

// figures counts events.
type figures struct {
	operations, unknown, fenced, acquired, replays, notSent, waits, faults, graceful int
	takeovers                                                                        []time.Duration
}

func (f *figures) String() string {
	return fmt.Sprintf("%d operations, %d unknown outcomes, %d not sent (the node was down), %d acquired, %d replays, %d fenced, %d waits, %d faults, %d graceful stops judged, takeovers after %v",
		f.operations, f.unknown, f.notSent, f.acquired, f.replays, f.fenced, f.waits, f.faults, f.graceful, f.takeovers)
}

func newLoad(l *lab) *load {
	return &load{lab: l, history: proof.NewHistory(), begin: time.Now(), keys: map[string]*key{}, why: map[string]int{}}
}

// patience is how long a caller waits for an answer. It is shorter than a
// takeover.
const patience = 4 * time.Second

func newClient() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Second}}
}

// work lets callers work until ctx ends.
func (w *load) work(ctx context.Context, callers int) (wait func()) {
	var wg sync.WaitGroup
	for id := range callers {
		c := &caller{load: w, id: id, random: rand.New(rand.NewPCG(uint64(id), uint64(time.Now().UnixNano()))), client: newClient()}
		wg.Go(func() {
			for sleep.For(ctx, time.Duration(5+c.random.IntN(40))*time.Millisecond) {
				o, wait := c.choose()
				if a, sent := c.call(c.any(), o, wait); !sent || a.Unknown {
					sleep.For(ctx, 150*time.Millisecond)
				}
			}
		})
	}
	return wg.Wait
}

// caller makes one call after another.
type caller struct {
	*load
	id     int
	random *rand.Rand
	client *http.Client
}

// any returns a node that clients may use.
func (c *caller) any() *node {
	for range 20 {
		if n := c.nodes[c.random.IntN(len(c.nodes))]; !n.avoid.Load() {
			return n
		}
	}
	return c.nodes[0]
}

// A key exists until the end of the test, but is mostly used during one epoch.
// So keys from before each fault exist, and a key's history stays short.
const (
	epoch       = 5 * time.Second
	mostUnknown = 5 // per key: the number of possible histories multiplies
)

func (c *caller) choose() (o proof.Operation, wait int) {
	n := int(time.Since(c.begin) / epoch)
	if n > 0 && c.random.IntN(3) == 0 {
		n = c.random.IntN(n + 1)
	}
	owner := fmt.Sprintf("%d-%d", c.id, c.made.Add(1))
	switch c.random.IntN(8) {
	case 0:
		return c.on("store", fmt.Sprintf("s%d-%d", n, c.random.IntN(4)), proof.Operation{Op: "put", Owner: owner}), 0
	case 1:
		entry := c.random.IntN(proof.Entries)
		o := c.on("sequence", fmt.Sprintf("q%d-%d", n, c.random.IntN(2)), proof.Operation{Op: "next", Owner: owner, Entry: entry, Fingerprint: "p"})
		c.ask(o)
		return o, 0
	}
	target := []string{"ledger", "buckets"}[c.random.IntN(2)]
	return c.chooseClaim(c.on(target, fmt.Sprintf("k%d-%d", n, c.random.IntN(6)), proof.Operation{Op: "claim", Owner: owner, Fingerprint: "p"}))
}

// on returns an operation on a key. If too many outcomes of the key are
// unknown, it takes a new key.
func (c *caller) on(target, name string, o proof.Operation) proof.Operation {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 0; ; i++ {
		id := target + "/" + name
		k := c.keys[id]
		if k == nil {
			k = &key{target: target, name: name, asked: map[int]bool{}}
			c.keys[id], c.names = k, append(c.names, id)
		}
		if k.unknown < mostUnknown {
			o.Target, o.Key = target, name
			return o
		}
		name = fmt.Sprintf("%s+", name)
	}
}

func (c *caller) ask(o proof.Operation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys[o.Target+"/"+o.Key].asked[o.Entry] = true
}

// chooseClaim claims the key, or continues with a caller's claim, stale or not.
func (c *caller) chooseClaim(o proof.Operation) (proof.Operation, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.keys[o.Target+"/"+o.Key]
	wait := 0
	if c.random.IntN(5) == 0 {
		wait = 20 + c.random.IntN(600)
	}
	if len(k.pending) > 0 && c.random.IntN(3) == 0 { // repeat it to learn its outcome
		o.Owner = k.pending[c.random.IntN(len(k.pending))].Owner
		return o, wait
	}
	if len(k.claims) == 0 || c.random.IntN(5) < 2 {
		return o, wait
	}
	held := k.claims[max(0, len(k.claims)-1-c.random.IntN(4))]
	o.Owner, o.Fence = held.Owner, held.Fence
	switch c.random.IntN(12) {
	case 0:
		o.Op, o.Result = "complete", fmt.Sprintf("r%d", c.made.Add(1))
	case 1:
		o.Op = "extend"
	default:
		o.Op = "release"
	}
	return o, 0
}

// call makes a call through a node and records it, unless the call did not
// reach the node.
func (c *caller) call(n *node, o proof.Operation, wait int) (a proof.Answer, sent bool) {
	call := c.history.Now()
	a, sent = c.send(n, o, wait)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !sent {
		c.figures.notSent++
		return a, false
	}
	c.history.Add(c.id, o, a, call)
	c.note(o, a, wait)
	return a, true
}

func (w *load) note(o proof.Operation, a proof.Answer, wait int) {
	f, k := &w.figures, w.keys[o.Target+"/"+o.Key]
	f.operations++
	for count, is := range map[*int]bool{
		&f.unknown: a.Unknown, &f.fenced: a.Status == "fenced", &f.acquired: a.Outcome == "acquired", &f.replays: a.Outcome == "replay", &f.waits: wait > 0, &k.unknown: a.Unknown,
	} {
		if is {
			*count++
		}
	}
	switch {
	case o.Op != "claim":
	case a.Unknown:
		k.pending = append(k.pending, o)
	case a.Fence != 0:
		o.Fence = a.Fence
		k.claims = append(k.claims, o)
	}
}

// lasting is in ms, and longer than the test.
const lasting = "3600000"

// send makes a call. It reports sent false if the call certainly had no effect.
func (c *caller) send(n *node, o proof.Operation, wait int) (a proof.Answer, sent bool) {
	q := url.Values{
		"target": {o.Target}, "op": {o.Op}, "key": {o.Key}, "owner": {o.Owner}, "fingerprint": {o.Fingerprint}, "result": {o.Result},
		"fence": {strconv.FormatInt(o.Fence, 10)}, "entry": {strconv.Itoa(o.Entry)}, "wait": {strconv.Itoa(wait)}, "lease": {lasting}, "ttl": {lasting},
	}
	got, err := request.Post(c.client, "http://"+n.options.Listen+"/?"+q.Encode())
	if got.Status == 0 {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return a, false
		}
		return c.unknown(n, errors.Unwrap(err).Error()), true
	}
	var reply struct {
		proof.Answer
		Detail string
	}
	if err != nil || got.Status != http.StatusOK || json.Unmarshal([]byte(got.Body), &reply) != nil {
		return c.unknown(n, fmt.Sprintf("%d %.100q %v", got.Status, got.Body, err)), true
	}
	switch a = reply.Answer; a.Status {
	case "ok", "fenced", "mismatch":
		return a, true
	case "overloaded":
		return a, false
	}
	return c.unknown(n, o.Op+" "+a.Status+": "+reply.Detail), true
}

// unknown records the reason of an unknown outcome.
func (c *caller) unknown(n *node, why string) proof.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.why[fmt.Sprintf("node %d: %s", n.number, address.ReplaceAllString(why, "…"))]++
	return proof.Answer{Unknown: true}
}

// address matches the parts in which failures of the same kind differ.
var address = regexp.MustCompile(`[0-9.]+:[0-9]+|reference = \w+`)

// own makes a node the owner of some keys: an object belongs to the first node
// that is asked for it.
func (w *load) own(n *node) {
	c := &caller{load: w, id: 3000, client: newClient()}
	for i := range 3 {
		o := proof.Operation{Op: "claim", Owner: fmt.Sprintf("3000-%d", c.made.Add(1)), Fingerprint: "p"}
		c.call(n, c.on("ledger", fmt.Sprintf("own%d-%d", c.made.Load(), i), o), 0)
	}
}

// isolated is a set of nodes that do not answer while they are disconnected.
type isolated map[*node]bool

// awaitKeys asks all nodes for every key in use, until each has answered
// through each node. It returns how long that took. Then no key has an unknown
// winner.
func (w *load) awaitKeys(t testing.TB, except isolated) time.Duration {
	t.Helper()
	begin := time.Now()
	var names []string
	w.mu.Lock()
	for _, id := range w.names {
		if k := w.keys[id]; k.target == "ledger" || k.target == "buckets" {
			names = append(names, id)
		}
	}
	w.mu.Unlock()
	names = names[max(0, len(names)-24):]
	var wg sync.WaitGroup
	atOnce := make(chan struct{}, 8)
	for i, n := range w.nodes {
		c := &caller{load: w, id: 1000 + i, client: newClient()}
		for _, id := range names {
			if except[n] {
				continue
			}
			wg.Go(func() {
				atOnce <- struct{}{}
				defer func() { <-atOnce }()
				if !c.find(n, id) {
					t.Errorf("%s did not answer through node %d", id, n.number)
				}
			})
		}
	}
	wg.Wait()
	return time.Since(begin)
}

// find asks for the holder of a key until it is known.
func (c *caller) find(n *node, id string) bool {
	c.mu.Lock()
	k := c.keys[id]
	c.mu.Unlock()
	for end := time.Now().Add(patient); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		o := proof.Operation{Target: k.target, Key: k.name, Op: "claim", Owner: fmt.Sprintf("%d-%d", c.id, c.made.Add(1)), Fingerprint: "q"}
		// The fingerprint differs from the holder's, so the call changes
		// nothing unless the key is free.
		if a, sent := c.call(n, o, 0); sent && !a.Unknown {
			return true
		}
	}
	return false
}

// readOut asks for the number of every entry. Afterwards no stream may have a
// gap.
func (w *load) readOut(t testing.TB) (numbers int) {
	t.Helper()
	c := &caller{load: w, id: 2000, client: newClient(), random: rand.New(rand.NewPCG(1, 2))}
	for _, id := range w.names {
		k := w.keys[id]
		if k.target != "sequence" {
			continue
		}
		seen := map[int64]bool{}
		for entry := range k.asked {
			o := proof.Operation{Target: k.target, Key: k.name, Op: "next", Entry: entry, Fingerprint: "p"}
			var a proof.Answer
			for end := time.Now().Add(patient); a.Number == 0 && time.Now().Before(end); {
				o.Owner = fmt.Sprintf("2000-%d", c.made.Add(1))
				if a, _ = c.call(c.any(), o, 0); a.Number == 0 {
					time.Sleep(100 * time.Millisecond)
				}
			}
			seen[a.Number] = true
		}
		for n := range len(k.asked) {
			if !seen[int64(n+1)] {
				t.Errorf("stream %s has no number %d of %d", k.name, n+1, len(k.asked))
			}
		}
		numbers += len(seen)
	}
	return numbers
}
