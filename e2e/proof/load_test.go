//go:build !js

package proof

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/e2e/internal/request"
	"flow.internal/capdo/internal/sleep"
)

// load describes the calls and the faults.
type load struct {
	targets   []string
	clients   int
	disturbed bool // with kills, crashes, aborts, evictions and lost replies
}

const (
	epoch     = 400 * time.Millisecond // the life of a key, at least
	callsAKey = 8                      // that are answered in an epoch, at least
	killEvery = 800 * time.Millisecond
	// A history under faults has so many answered calls. On a busy machine it
	// takes up to slowest times as long as it should.
	leastCalls, slowest = 400, 5
)

// history records what callers saw.
type history struct {
	mu      sync.Mutex
	ops     []porcupine.Operation
	known   map[string][]claimed // by target and key
	figures figures
	odd     []string            // unexpected errors
	effects map[string][]effect // by account
}

// claimed is a claim that a caller may complete or release, stale or not.
// Without a fence, the caller repeats the claim.
type claimed struct {
	owner, fingerprint string
	fence              int64
}

// figures counts events by name.
type figures map[string]int

// Names of figures. Outcomes are counted where they occur in the model.
const (
	operations      = "operations"
	unknown         = "unknown outcomes"
	kills           = "kills"
	aborts          = "aborts"
	crashes         = "crashes"
	evictions       = "evictions"
	repeated        = "repeated by the provider"
	fenced          = "fenced"
	mismatched      = "mismatches"
	takenOver       = "leases taken over"
	waited          = "waits"
	gone            = "waits given up"
	renewed         = "numbers renewed"
	refused         = "refused" // by an overloaded object: calls that certainly did nothing
	rolledBack      = "rolled back"
	nothing         = "other transactions that did nothing"
	tooLarge        = "results too large"
	swaps           = "programs swapped"
	tooNew          = "records of a newer version"
	toldOf          = "holders that died" // and must be reported
	failedCallbacks = "callbacks that failed"
)

var names = []string{operations, unknown, kills, aborts, crashes, evictions, repeated, fenced, mismatched, takenOver, waited, gone, renewed, refused,
	rolledBack, nothing, tooLarge, swaps, tooNew, toldOf, failedCallbacks}

func (f figures) String() string {
	var list []string
	for _, name := range names {
		list = append(list, fmt.Sprintf("%d %s", f[name], name))
	}
	return strings.Join(list, ", ")
}

func (f figures) add(other figures) {
	for name, n := range other {
		f[name] += n
	}
}

// missing returns the required figures that are still zero.
func (f figures) missing() (list []string) {
	for _, name := range names {
		if f[name] == 0 {
			list = append(list, name)
		}
	}
	return list
}

func (h *history) count(name string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.figures[name] += n
}

// run runs the load for a while, and then asks for every number that was given.
func (w load) run(t testing.TB, l *lab, d time.Duration) *history {
	t.Helper()
	h := &history{known: map[string][]claimed{}, figures: figures{}, effects: map[string][]effect{}}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), slowest*d)
	defer cancel()
	go func() {
		if sleep.For(ctx, d) && (!w.disturbed || h.reach(ctx, leastCalls)) {
			cancel()
		}
	}()
	var wg sync.WaitGroup
	var callers []*caller
	for n := range w.clients {
		c := &caller{load: w, lab: l, history: h, id: n, begin: begin, random: rand.New(rand.NewPCG(uint64(n), uint64(begin.UnixNano())))}
		callers = append(callers, c)
		wg.Go(func() { c.work(ctx) })
	}
	if w.disturbed {
		wg.Go(func() { disturb(ctx, l, h, "/abort", 100, 400, 5) })
		wg.Go(func() { disturb(ctx, l, h, "/evict", 30, 90, 5) })
		wg.Go(func() { disturb(ctx, l, h, "/crash", 900, 1500, 40) })
		killAtTimes(ctx, l, h)
	}
	wg.Wait()
	if w.disturbed { // what is settled is known to the newer program
		l.Use(&newer)
		l.Restart()
		h.settle(t, l, time.Since(begin))
	}
	if slices.Contains(w.targets, "sequence") {
		h.readOut(t, callers)
	}
	return h
}

func killAtTimes(ctx context.Context, l *lab, h *history) {
	for sleep.For(ctx, killEvery) && h.proceed(ctx, 40) {
		l.swap()
		l.Restart()
		h.count(kills, 1)
		h.count(swaps, 1)
	}
}

// disturb repeatedly asks the Worker for a fault, with pauses in ms and calls.
// The Worker's answer tells whether the fault happened.
func disturb(ctx context.Context, l *lab, h *history, path string, least, most, calls int) {
	for sleep.For(ctx, time.Duration(least+rand.IntN(most-least))*time.Millisecond) && h.proceed(ctx, calls) {
		a, _ := request.Post(client, l.URL+path)
		switch {
		case a.Body == "aborted":
			h.count(aborts, 1)
		case strings.Contains(a.Body, "exited with code 3"):
			h.count(crashes, 1)
		case path == "/evict":
			var did struct{ Evicted int }
			json.Unmarshal([]byte(a.Body), &did)
			h.count(evictions, did.Evicted)
		}
	}
}

// proceed waits, before a fault, until that many more calls were answered: even
// on a busy machine, calls must succeed between two faults. It reports whether
// time is left.
func (h *history) proceed(ctx context.Context, calls int) bool {
	return h.reach(ctx, h.answered()+calls)
}

// reach waits until so many calls have been answered. It reports whether there
// is time left.
func (h *history) reach(ctx context.Context, calls int) bool {
	for h.answered() < calls {
		if !sleep.For(ctx, 5*time.Millisecond) {
			return false
		}
	}
	return true
}

func (h *history) answered() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.figures[operations] - h.figures[unknown]
}

var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 20}}

// caller makes one call after another.
type caller struct {
	load
	*history
	lab      *lab
	id, made int
	begin    time.Time
	random   *rand.Rand
}

func (c *caller) work(ctx context.Context) {
	for sleep.For(ctx, time.Duration(c.random.IntN(4))*time.Millisecond) {
		if _, sent := c.call(c.choose()); !sent {
			sleep.For(ctx, 20*time.Millisecond)
		}
	}
}

// call makes a call and records it, unless the call certainly had no effect.
func (c *caller) call(in input) (out output, sent bool) {
	call, begin := c.now(), time.Now()
	if in.lease != lasting || in.ttl != lasting {
		in.from = begin.UnixMilli()
	}
	out, lost, sent := c.do(in)
	if in.rollback {
		lost, sent = 0, sent && !out.unknown // its result does not matter: it was rolled back
	}
	c.noteEffect(in, out)
	if sent {
		end := time.Now()
		returned := int64(end.Sub(c.begin))
		if out.open {
			returned = never
		} else if in.from != 0 {
			out.to = end.UnixMilli()
		}
		c.record(in, out, call, returned, lost)
	}
	return out, sent
}

// noteEffect records what effect an operation on an embedded ledger may have.
func (c *caller) noteEffect(in input, out output) {
	if in.tx == "" && in.op != "once" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case in.rollback, out.status != "" && out.status != "ok", in.op == "once" && out.outcome != "acquired" && out.status == "ok":
		c.expectEffect(in, out, false)
	case out.status == "ok":
		c.expectEffect(in, out, true)
	}
}

func (c *caller) now() int64 { return int64(time.Since(c.begin)) }

// choose picks an operation on a current key.
func (c *caller) choose() (in input) {
	n := min(int(time.Since(c.begin)/epoch), c.answered()/callsAKey)
	if c.disturbed && c.random.IntN(12) == 0 {
		return c.chooseDeath()
	}
	if n > 3 && c.random.IntN(5) == 0 { // an earlier key
		n -= 1 + c.random.IntN(3)
	}
	in = c.place(c.targets[c.random.IntN(len(c.targets))], n)
	in.fingerprint = pick(c.random, "p", "p", "p", "p", "p", "p", "p", "q")
	switch in.target {
	case "store", "racy":
		in.op = pick(c.random, "put", "put", "put", "forget")
	case "sequence":
		in.op, in.entry = "next", c.random.IntN(entries)
	case "embedded":
		in = c.chooseEmbedded(in)
	default:
		in.op = pick(c.random, "claim", "claim", "claim", "claim", "complete", "extend", "release", "release", "forget")
		in = c.chooseClaim(in)
	}
	return in
}

// chooseEmbedded puts some operations into a user's transaction, and rolls some
// of these back.
func (c *caller) chooseEmbedded(in input) input {
	in.id = in.owner
	in.op = pick(c.random, "claim", "claim", "claim", "once", "once", "complete", "extend", "release", "release", "forget")
	if in.op == "once" && in.ttl != lasting { // once has the longest lease
		in.op = "claim"
	}
	in.rollback = c.random.IntN(3) == 0
	if in.op == "once" {
		in.result = "o" + in.owner
		return in
	}
	in = c.chooseClaim(in)
	in.tx = pick(c.random, "", "transaction", "transaction", "sync")
	if in.op == "forget" || in.tx == "" { // forget needs two calls
		in.tx, in.rollback = "", false
	} else {
		in.wait, in.patience = 0, 0
	}
	return in
}

// chooseDeath returns a claim whose holder never calls again.
func (c *caller) chooseDeath() input {
	in := c.place(pick(c.random, "ledger", "buckets", "embedded"), 2)
	in.key = pick(c.random, "", "x") + "dead" + in.owner
	in.op, in.id, in.fingerprint = "claim", in.owner, "p"
	return c.withJumps(in)
}

// withJumps sets how far the clock of a key's object jumps, as in
// testdata/clock.go.txt. Lasting leases and windows are longer than any jump.
func (c *caller) withJumps(in input) input {
	n, err := strconv.Atoi(in.key)
	hasClock := in.target == "ledger" || in.target == "embedded"
	if hasClock && (strings.HasPrefix(in.key, "x") || err == nil && n%2 == 1 && n%3 != 0) {
		in.jumps = 1000
	}
	return in
}

// Windows and leases in ms: some last longer than a history, others do not.
const (
	lasting     = int64(time.Hour / time.Millisecond)
	briefLease  = 60
	briefWindow = 120
)

// place returns the target's key of an epoch, for a new owner. One key in three
// has leases that end. Another one in three also has a window that ends.
func (c *caller) place(target string, epoch int) input {
	c.made++
	in := input{target: target, key: strconv.Itoa(epoch), owner: fmt.Sprintf("%d-%d", c.id, c.made), lease: lasting, ttl: lasting}
	if epoch%3 != 0 {
		in.lease = briefLease
	}
	if epoch%3 == 2 {
		in.ttl = briefWindow
	}
	return c.withJumps(in)
}

func anyOf[T any](choices ...T) T { return choices[rand.IntN(len(choices))] }

func pick[T any](r *rand.Rand, choices ...T) T { return choices[r.IntN(len(choices))] }

// chooseClaim picks a caller's claim to complete, release or repeat. If there
// is none, it makes a claim.
func (c *caller) chooseClaim(in input) input {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.known[in.target+"/"+in.key]
	if in.op == "forget" {
		return in
	}
	if len(known) == 0 || in.op == "claim" && c.random.IntN(2) == 0 {
		in.op = "claim"
		return c.chooseWait(in)
	}
	k := known[max(len(known)-1-c.random.IntN(4), 0)] // one of the latest claims
	if k.fence == 0 {
		in.op = "claim"
	}
	in.owner = k.owner
	switch in.op {
	case "claim":
		in.fingerprint = k.fingerprint
		return c.chooseWait(in)
	case "complete":
		in.result = fmt.Sprintf("r%d-%d", c.id, c.made)
		in.size = pick[int64](c.random, 0, 0, dedupe.MaxResultSize, dedupe.MaxResultSize, dedupe.MaxResultSize+1)
	}
	in.fence = k.fence
	return in
}

// chooseWait makes some claims wait, and makes some callers give up earlier.
func (c *caller) chooseWait(in input) input {
	if c.random.IntN(4) == 0 {
		in.wait = 5 + c.random.Int64N(80)
		if c.random.IntN(2) == 0 {
			in.patience = 5 + c.random.Int64N(in.wait)
		}
	}
	return in
}

// do makes the call. sent is false if it certainly had no effect. lost is the
// number of the provider's failed attempts.
func (c *caller) do(in input) (out output, lost int, sent bool) {
	q := url.Values{"op": {in.op}, "key": {in.key}, "owner": {in.owner}, "fingerprint": {in.fingerprint}, "result": {in.result}, "id": {in.id}, "tx": {in.tx}}
	if in.rollback {
		q.Set("rollback", "1")
	}
	for name, n := range map[string]int64{"entry": int64(in.entry), "fence": in.fence, "lease": in.lease, "ttl": in.ttl, "wait": in.wait, "patience": in.patience,
		"size": in.size} {
		q.Set(name, strconv.FormatInt(n, 10))
	}
	if c.disturbed {
		c.addFaults(q)
	}
	a, err := request.Post(client, c.lab.URL+"/"+in.target+"?"+q.Encode())
	if a.Status == 0 { // a connection ends with workerd, and all that it was about to do
		var op *net.OpError
		return output{unknown: true, open: os.IsTimeout(err)}, 0, !errors.As(err, &op) || op.Op != "dial"
	}
	lost, _ = strconv.Atoi(a.Header.Get("x-lost"))
	switch {
	case err == nil && a.Status == http.StatusBadGateway: // the dropped reply
		return output{unknown: true}, lost, true
	case err != nil || a.Status != http.StatusOK:
		return output{unknown: true, open: true}, lost, true
	}
	out, sent = c.read([]byte(a.Body))
	return out, lost, sent
}

// addFaults makes the provider lose a reply, so that it repeats a call, or
// makes the caller lose one.
func (c *caller) addFaults(q url.Values) {
	switch c.random.IntN(24) {
	case 0, 1:
		q.Set("fail", "1")
	case 2:
		q.Set("fail", "2")
	case 3:
		q.Set("drop", "1")
	case 4:
		q.Set("refuse", strconv.Itoa(1+c.random.IntN(3)))
	case 5: // the repeated call is refused; the first one may still have had an effect
		q.Set("fail", "1")
		q.Set("refuse", "2")
	}
}

func (c *caller) read(body []byte) (out output, sent bool) {
	var a struct {
		Status, Outcome, Result string
		Inserted, TakenOver     bool
		Fence, Number           int64
	}
	if json.Unmarshal(body, &a) != nil {
		return output{unknown: true, open: true}, true
	}
	if a.TakenOver {
		c.count(takenOver, 1)
	}
	switch a.Status {
	case "rolled back":
		c.count(rolledBack, 1)
		a.Status = "ok"
		fallthrough
	case "ok", "fenced", "mismatch", "gone", "too large":
		return output{status: a.Status, inserted: a.Inserted, outcome: a.Outcome, fence: a.Fence, result: a.Result, number: a.Number}, true
	case "overloaded":
		c.count(refused, 1)
		return out, false
	case "newer":
		c.count(tooNew, 1)
		return out, false
	case "nothing done":
		c.count(nothing, 1)
		return output{status: a.Status}, false
	case "unknown":
	default:
		c.mu.Lock()
		defer c.mu.Unlock()
		c.odd = append(c.odd, a.Status)
	}
	return output{unknown: true, open: true}, true
}

// record adds a call. The provider may have sent it more than once. A put,
// claim or next that is delivered twice may have two effects, if the record is
// removed in between. So the history gets additional operations with unknown
// outcomes.
func (c *caller) record(in input, out output, call, returned int64, lost int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.note(in, out, lost)
	add := func(out output) {
		c.ops = append(c.ops, porcupine.Operation{ClientId: c.id, Input: in, Call: call, Output: out, Return: returned})
	}
	add(out)
	if in.op == "put" || in.op == "claim" || in.op == "next" {
		for range attempts(in, out, lost) - 1 {
			add(output{unknown: true, open: out.open, to: out.to})
		}
	}
	if place := in.target + "/" + in.key; in.op == "claim" && (out.unknown || out.fence != 0) {
		c.known[place] = append(c.known[place], claimed{in.owner, in.fingerprint, out.fence})
	}
}

// attempts returns how often a call may have had an effect. A waiting claim is
// sent again after each wait, but ends with the first answer that it has
// acquired. So every other effective attempt was lost.
func attempts(in input, out output, lost int) int {
	switch {
	case in.op == "next" && in.ttl == lasting: // the second attempt finds the record
		return 1
	case !out.unknown:
		return lost + 1
	case in.wait > 0:
		return max(lost, 2) + 1
	}
	return 2
}

// note counts a call.
func (c *caller) note(in input, out output, lost int) {
	for name, is := range map[string]bool{
		operations: true, unknown: out.unknown, repeated: lost > 0, fenced: out.status == "fenced", mismatched: out.status == "mismatch",
		waited: in.wait > 0, gone: out.status == "gone", tooLarge: out.status == "too large",
	} {
		if is {
			c.figures[name]++
		}
	}
}
