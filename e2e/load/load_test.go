//go:build !js

package load

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe"
)

var large = flag.Bool("large", false, "run with the larger sizes")

// size returns one of two sizes.
func size(usual, withLarge int) int {
	if *large {
		return withLarge
	}
	return usual
}

const (
	waiters    = 400
	waitLimit  = dodedupe.MaxWaiters / 2 // for a single scope
	sweepLimit = 200
	tellLimit  = 50
)

func TestLedgerUnderLoad(t *testing.T) {
	f := newFigures()
	defer func() {
		t.Logf("figures; calls are made within the Worker, but latencies are HTTP's on loopback\n%s", f)
	}()
	for _, phase := range []struct {
		name string
		run  func(*lab, *figures)
	}{
		{"keys with objects of their own", func(l *lab, f *figures) { live(l, f, target{binding: "LEDGER"}, size(500, 5000)) }},
		{"keys in four buckets", func(l *lab, f *figures) { live(l, f, target{binding: "LEDGER", buckets: 4}, size(3000, 20_000)) }},
		{"one key that all callers wait for", hotKey},
		{"callers that wait for many keys", manyKeys},
		{"records that expire at the same time", expiring},
		{"holders that die at the same time", dying},
		{"more waiting callers than an object accepts", crowd},
		{"more calls than an object answers at once", burst},
	} {
		t.Run(phase.name, func(t *testing.T) { phase.run(start(t), f) })
	}
}

// live claims many keys, claims them again, completes them, and claims them
// again.
func live(l *lab, f *figures, g target, n int) {
	name := fmt.Sprintf("%d keys, per key", n)
	if g.buckets > 0 {
		name = fmt.Sprintf("%d keys, %d buckets", n, g.buckets)
	}
	l.one(g, order{op: "claim", prefix: "first"})
	resident, memory, stored := l.resident(), l.memory(), l.stored()
	o := order{op: "claim", prefix: "k", to: n}
	cpu := l.cpu()
	got, took := l.drive("claims", g, o)
	l.want("claims of new keys", got, tally{Acquired: n, Attempt: 1})
	f.row(name+": claims", "%s", l.rate(n, took, cpu))
	cpu = l.cpu()
	got, took = l.drive("duplicates", g, o)
	l.want("claims of held keys", got, tally{InProgress: n, Attempt: 1})
	f.row(name+": duplicates, in progress", "%s", l.rate(n, took, cpu))
	o.op = "complete"
	cpu = l.cpu()
	got, took = l.drive("completions", g, o)
	l.want("completions", got, tally{Done: n})
	f.row(name+": completions", "%s", l.rate(n, took, cpu))
	o.op = "claim"
	cpu = l.cpu()
	got, took = l.drive("replays", g, o)
	l.want("claims of completed keys", got, tally{Replay: n, Attempt: 1})
	f.row(name+": replays", "%s", l.rate(n, took, cpu))
	f.row(name+": workerd's memory", "%d MiB, then %d MiB", resident/1024, l.resident()/1024)
	f.row(name+": Go's memory", "%d KiB, then %d KiB", memory, l.memory())
	f.row(name+": on disk", "%d KiB, then %d KiB", stored, l.stored())
	rows := 0
	for n := range g.buckets {
		i := ask[inside](l, "/inspect", g.bucket(n))
		rows += i.Rows
		f.row(name+fmt.Sprintf(": bucket %d", n), "%d records, %d KiB", i.Rows, i.Bytes/1024)
	}
	if g.buckets > 0 && rows != n+1 {
		l.Errorf("the buckets have %d records, want %d", rows, n+1)
	}
}

// hotKey lets all callers wait for one key, in a bucket and in an object of its
// own. The key's holder completes, releases or dies.
func hotKey(l *lab, f *figures) {
	for _, g := range []target{{binding: "LEDGER", buckets: 1}, {binding: "LEDGER"}} {
		name := fmt.Sprintf("%d wait for one key, per key: ", waiters)
		if g.buckets > 0 {
			name = fmt.Sprintf("%d wait for one key in a bucket: ", waiters)
		}
		for _, c := range []struct {
			what string
			ends func(*lab, target) time.Duration
		}{{"completed", completed}, {"released four times", released}, {"died after 1 s", died}} {
			took := c.ends(l, g)
			if l.Failed() {
				return // callers that are not woken take long
			}
			f.row(name+c.what+", to the last answer", "%v", took.Round(time.Millisecond))
		}
	}
}

func completed(l *lab, g target) time.Duration {
	o := order{op: "work", prefix: "completed", keys: 1, to: waiters, wait: dedupe.MaxWait}
	wait := l.park(g, o)
	impatient := l.together(g, order{op: "claim", prefix: o.prefix, keys: 1, to: 50, wait: 20 * time.Millisecond})
	l.want("callers who gave up waiting", impatient(), tally{InProgress: 50, Attempt: 1})
	begin := time.Now()
	l.one(g, order{op: "complete", prefix: o.prefix})
	l.want("the holder completed", wait(), tally{Replay: waiters, Attempt: 1})
	return time.Since(begin)
}

// released makes the holder release the key, and then three waiters, before one
// completes it.
func released(l *lab, g target) time.Duration {
	o := order{op: "work", prefix: "released", keys: 1, to: waiters, wait: dedupe.MaxWait, releases: 4}
	wait := l.park(g, o)
	before := ask[counts](l, "/counts", nil)
	begin := time.Now()
	l.one(g, order{op: "release", prefix: o.prefix})
	l.want("four holders released", wait(), tally{Acquired: o.releases, Replay: waiters - o.releases, Attempt: o.releases + 1, Done: o.releases})
	took := time.Since(begin)
	if n := ask[counts](l, "/counts", nil).Waits - before.Waits; n > waiters*o.releases { // each release wakes all waiters
		l.Errorf("%d waits after %d releases", n, o.releases)
	}
	return took
}

// died lets the holder's lease end. The next caller then takes over the key.
func died(l *lab, g target) time.Duration {
	o := order{op: "work", prefix: "died", keys: 1, to: waiters, wait: dedupe.MaxWait}
	l.one(g, order{op: "claim", prefix: o.prefix, lease: time.Second})
	begin := time.Now()
	l.want("the holder died", l.together(g, o)(), tally{Acquired: 1, TakenOver: 1, Replay: waiters - 1, Attempt: 2, Done: 1})
	return time.Since(begin)
}

// park makes one caller hold each key of an order, and the order's callers
// wait.
func (l *lab) park(g target, o order) (wait func() tally) {
	l.Helper()
	held := order{op: "claim", prefix: o.prefix, to: o.keys}
	if got, _ := l.drive("holders", g, held); got.Acquired != o.keys {
		l.Fatalf("holders: %v", got)
	}
	wait = l.together(g, o)
	parked := min(o.to, waitLimit)
	await(l, "/counts", nil, func(c counts) bool { return c.Waiting == parked })
	return wait
}

// manyKeys spreads the waiters over objects.
func manyKeys(l *lab, f *figures) {
	g, o := target{binding: "LEDGER"}, order{op: "work", prefix: "k", keys: 50, to: waiters, wait: dedupe.MaxWait}
	wait := l.park(g, o)
	begin := time.Now()
	l.drive("completions", g, order{op: "complete", prefix: o.prefix, to: o.keys})
	l.want("the holders completed", wait(), tally{Replay: waiters, Attempt: 1})
	f.row(fmt.Sprintf("%d wait for %d keys: completed, to the last answer", waiters, o.keys), "%v", time.Since(begin).Round(time.Millisecond))
}
