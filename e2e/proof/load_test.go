//go:build !js

package proof

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// load is what callers do, and what is done to them.
type load struct {
	targets   []string
	clients   int
	disturbed bool // by kills, aborts and lost replies
	tick      func()
}

const (
	epoch     = 500 * time.Millisecond // the life of a key
	killEvery = 800 * time.Millisecond
)

// history is what they saw.
type history struct {
	mu       sync.Mutex
	ops      []porcupine.Operation
	calls    int
	known    map[string][]claimed // by target and key
	unknown  int
	fenced   int
	repeated int // calls that the provider repeated
	refused  int // calls that definitely did nothing
	kills    int
	aborts   int
	odd      []string // errors that nobody expects
}

// claimed is a claim that somebody may complete or release, stale or not; without a fence, one to repeat.
type claimed struct {
	owner string
	fence int64
}

func (h *history) String() string {
	return fmt.Sprintf("%d operations, %d of unknown outcome, %d fenced, %d repeated by the provider, %d refused, %d kills, %d aborts",
		h.calls, h.unknown, h.fenced, h.repeated, h.refused, h.kills, h.aborts)
}

// add adds another history's figures.
func (h *history) add(other *history) {
	h.calls += other.calls
	h.unknown += other.unknown
	h.fenced += other.fenced
	h.repeated += other.repeated
	h.refused += other.refused
	h.kills += other.kills
	h.aborts += other.aborts
}

// run drives the lab for a while.
func (w load) run(t testing.TB, l *lab, d time.Duration) *history {
	t.Helper()
	h := &history{known: map[string][]claimed{}}
	begin := time.Now()
	ctx, cancel := context.WithDeadline(t.Context(), begin.Add(d))
	defer cancel()
	var wg sync.WaitGroup
	for n := range w.clients {
		c := &caller{load: w, lab: l, history: h, id: n, begin: begin, random: rand.New(rand.NewPCG(uint64(n), uint64(begin.UnixNano())))}
		wg.Go(func() { c.work(ctx) })
	}
	if w.disturbed {
		wg.Go(func() { abortAtTimes(ctx, l, h) })
		killAtTimes(t, ctx, l, h)
	}
	wg.Wait()
	return h
}

func killAtTimes(t testing.TB, ctx context.Context, l *lab, h *history) {
	for pause(ctx, killEvery) {
		l.kill()
		h.kills++
		if err := l.start(); err != nil {
			t.Error(err)
			return
		}
	}
}

func abortAtTimes(ctx context.Context, l *lab, h *history) {
	for pause(ctx, time.Duration(100+rand.IntN(300))*time.Millisecond) {
		resp, err := client.Post(l.url()+"/abort", "", nil)
		if err == nil {
			resp.Body.Close()
			h.aborts++
		}
	}
}

// pause reports whether there is time left after it.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 20}}

// caller makes one call after the other.
type caller struct {
	load
	*history
	lab      *lab
	id, made int
	begin    time.Time
	random   *rand.Rand
}

func (c *caller) work(ctx context.Context) {
	for pause(ctx, time.Duration(c.random.IntN(4))*time.Millisecond) {
		c.made++
		in := c.choose()
		call := c.now()
		out, lost, sent := c.do(in)
		if !sent {
			pause(ctx, 20*time.Millisecond)
			continue
		}
		c.record(in, out, call, c.now(), lost)
	}
}

func (c *caller) now() int64 { return int64(time.Since(c.begin)) }

// choose picks an operation on a key of the moment.
func (c *caller) choose() (in input) {
	in.target = c.targets[c.random.IntN(len(c.targets))]
	in.key = strconv.Itoa(int(time.Since(c.begin) / epoch))
	in.owner = fmt.Sprintf("%d-%d", c.id, c.made)
	if in.target == "store" || in.target == "racy" {
		in.op = pick(c.random, "put", "put", "put", "forget")
		return in
	}
	in.op = pick(c.random, "claim", "claim", "claim", "claim", "complete", "extend", "release", "release", "forget")
	return c.chooseClaim(in)
}

func pick[T any](r *rand.Rand, choices ...T) T { return choices[r.IntN(len(choices))] }

// chooseClaim picks somebody's claim to complete, to release or to repeat; where there is none it makes one.
func (c *caller) chooseClaim(in input) input {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.known[in.target+"/"+in.key]
	if in.op == "forget" || len(known) == 0 || in.op == "claim" && c.random.IntN(2) == 0 {
		if in.op != "forget" {
			in.op = "claim"
		}
		return in
	}
	k := known[max(len(known)-1-c.random.IntN(4), 0)] // one of the last
	if k.fence == 0 {
		in.op = "claim"
	}
	in.owner = k.owner
	if in.op != "claim" {
		in.fence = k.fence
	}
	if in.op == "complete" {
		in.result = fmt.Sprintf("r%d-%d", c.id, c.made)
	}
	return in
}

// do makes the call. sent is false when it certainly had no effect; lost is how many attempts of the provider's failed.
func (c *caller) do(in input) (out output, lost int, sent bool) {
	q := url.Values{"op": {in.op}, "key": {in.key}, "owner": {in.owner}, "fence": {strconv.FormatInt(in.fence, 10)}, "result": {in.result}}
	if c.disturbed {
		c.addFaults(q)
	}
	// Not GET, which net/http repeats by itself.
	resp, err := client.Post(c.lab.url()+"/"+in.target+"?"+q.Encode(), "", nil)
	if err != nil {
		var op *net.OpError
		return output{unknown: true}, 0, !errors.As(err, &op) || op.Op != "dial"
	}
	defer resp.Body.Close()
	lost, _ = strconv.Atoi(resp.Header.Get("x-lost"))
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return output{unknown: true}, lost, true
	}
	out, sent = c.read(body)
	return out, lost, sent
}

// addFaults has the provider lose a reply, so that it repeats a call, or has the caller lose one.
func (c *caller) addFaults(q url.Values) {
	switch c.random.IntN(24) {
	case 0, 1:
		q.Set("fail", "1")
	case 2:
		q.Set("fail", "2")
	case 3:
		q.Set("drop", "1")
	}
}

func (c *caller) read(body []byte) (out output, sent bool) {
	var a struct {
		Status, Outcome, Result string
		Inserted                bool
		Fence                   int64
	}
	if json.Unmarshal(body, &a) != nil {
		return output{unknown: true}, true
	}
	switch a.Status {
	case "ok", "fenced":
		return output{status: a.Status, inserted: a.Inserted, outcome: a.Outcome, fence: a.Fence, result: a.Result}, true
	case "overloaded":
		c.mu.Lock()
		defer c.mu.Unlock()
		c.refused++
		return out, false
	case "unknown":
	default:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.odd = append(c.odd, a.Status)
	}
	return output{unknown: true}, true
}

// record adds a call. The provider may have sent it twice, and a put or a claim that is delivered twice may take effect twice, if it is forgotten
// or released between: then the history has another one, of unknown outcome.
func (c *caller) record(in input, out output, call, returned int64, lost int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	if out.unknown {
		c.unknown++
		returned = never
	}
	if out.status == "fenced" {
		c.fenced++
	}
	if lost > 0 {
		c.repeated++
	}
	add := func(out output, returned int64) {
		c.ops = append(c.ops, porcupine.Operation{ClientId: c.id, Input: in, Call: call, Output: out, Return: returned})
	}
	add(out, returned)
	if (in.op == "put" || in.op == "claim") && (out.unknown || lost > 0) {
		add(output{unknown: true}, returned)
	}
	if c.tick != nil {
		c.tick()
	}
	if place := in.target + "/" + in.key; in.op == "claim" && (out.unknown || out.fence != 0) {
		c.known[place] = append(c.known[place], claimed{in.owner, out.fence})
	}
}
