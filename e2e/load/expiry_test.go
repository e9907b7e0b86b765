//go:build !js

package load

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// doomed fills a bucket with keys that expire at the same time, while its alarm
// is blocked. It returns after all have expired.
func doomed(l *lab, g target, n int) {
	l.Helper()
	ask[any](l, "/hold", nil)
	o := order{op: "claim", prefix: "doomed", to: n, until: time.Now().Add(time.Duration(n) * 300 * time.Microsecond)}
	got, _ := l.drive("claims", g, o)
	l.want("claims of keys that will expire", got, tally{Acquired: n, Attempt: 1})
	full := ask[inside](l, "/inspect", g.bucket(0))
	if full.Due != n {
		l.Fatalf("%d records are about to expire, want %d", full.Due, n)
	}
	time.Sleep(time.Until(time.UnixMilli(int64(full.Last) + 1))) // they are valid until then
}

// expiring lets a bucket's alarms remove many records while callers use the
// bucket.
func expiring(l *lab, f *figures) {
	n := size(5050, 10_050) // a size for which the last alarm has room
	g := target{binding: "LEDGER", buckets: 1}
	const living = 100
	got, _ := l.drive("claims", g, order{op: "claim", prefix: "alive", to: living})
	l.want("claims of live keys", got, tally{Acquired: living, Attempt: 1})
	doomed(l, g, n)

	idle := newProbes(l, g, "idle", living)
	for range 25 {
		idle.round()
	}
	sweep := newProbes(l, g, "sweep", living)
	begin := time.Now()
	ask[any](l, "/ring", nil)
	left := inside{Due: n}
	for left.Due > 0 && time.Since(begin) < 30*time.Second {
		sweep.round()
		left = ask[inside](l, "/inspect", g.bucket(0))
	}
	name := fmt.Sprintf("%d records expire: ", n)
	f.row(name+"removed", "after %v, by %d alarms", time.Since(begin).Round(time.Millisecond), len(left.Alarms))
	f.row(name+"an alarm that removed 200 took", "%v", sweepTime(left.Alarms))
	f.row(name+"calls before", "%v", idle)
	f.row(name+"calls meanwhile", "%v", sweep)
	l.sweptBy(left, n, rounds(n, sweepLimit))
	if want := living + idle.claimed + sweep.claimed; left.Rows != want || left.Alarm == nil {
		l.Errorf("%d records are left, with an alarm: %v; want %d", left.Rows, left.Alarm != nil, want)
	}
}

// sweepTime is the median of what alarms took that removed as much as one may.
func sweepTime(alarms []alarm) time.Duration {
	var took []int
	for _, a := range alarms {
		if a.Removed == sweepLimit {
			took = append(took, a.MS)
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return time.Duration(took[len(took)/2]) * time.Millisecond
}

func rounds(n, limit int) int { return (n + limit - 1) / limit }

// sweptBy fails the test unless at most that many alarms removed that many
// records, and each alarm stayed within its limits.
func (l *lab) sweptBy(i inside, n, alarms int) {
	l.Helper()
	total := 0
	for _, a := range i.Alarms {
		total += a.Removed
		if a.Removed > sweepLimit*a.turns() || a.Told > tellLimit*a.turns() {
			l.Errorf("an alarm of %d ms removed %d records and reported %d holders", a.MS, a.Removed, a.Told)
		}
	}
	if total != n || len(i.Alarms) > alarms {
		l.Errorf("%d records were removed by %d alarms; want %d by at most %d", total, len(i.Alarms), n, alarms)
	}
}

// dying lets a bucket's alarms report many holders, and then remove their
// records.
func dying(l *lab, f *figures) {
	n := size(1510, 10_010)
	g := target{binding: "TELLING", buckets: 1}
	doomed(l, g, n)
	begin := time.Now()
	ask[any](l, "/ring", nil)
	left := await(l, "/inspect", g.bucket(0), func(i inside) bool { return i.Rows <= 0 && i.Watched == 0 })
	f.row(fmt.Sprintf("%d holders died: reported and removed", n), "after %v, by %d alarms", time.Since(begin).Round(time.Millisecond), len(left.Alarms))
	l.sweptBy(left, n, rounds(n, tellLimit)+1) // an alarm removes what the previous one reported
	if reported := ask[struct{ Keys, Most int }](l, "/reported", nil); reported.Keys != n || reported.Most != 1 {
		l.Errorf("reported %d holders, one of them %d times; want %d, once each", reported.Keys, reported.Most, n)
	}
	f.row(fmt.Sprintf("%d holders died: size of the database afterwards", n), "%d KiB", left.Bytes/1024)
}

// probes are single calls on a bucket's live keys: claims of new keys and of
// held keys.
type probes struct {
	l       *lab
	g       target
	prefix  string
	living  int
	mu      sync.Mutex
	claimed int
	took    []time.Duration
}

func newProbes(l *lab, g target, prefix string, living int) *probes {
	return &probes{l: l, g: g, prefix: prefix, living: living}
}

// round makes eight calls, four at a time.
func (p *probes) round() {
	var wg sync.WaitGroup
	for range 4 {
		n := p.claimed
		p.claimed++
		wg.Go(func() {
			p.call("a new key", order{op: "claim", prefix: p.prefix, from: n}, tally{Acquired: 1, Attempt: 1})
			p.call("a held key", order{op: "claim", prefix: "alive", from: n % p.living}, tally{InProgress: 1, Attempt: 1})
		})
	}
	wg.Wait()
}

func (p *probes) call(what string, o order, want tally) {
	o.to = o.from + 1
	var got tally
	begin := time.Now()
	err := p.l.post("/run", p.g.values(o), &got)
	took := time.Since(begin)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.took = append(p.took, took); err != nil {
		p.l.Error(err)
		return
	}
	p.l.want(what, got, want)
}

func (p *probes) String() string {
	slices.Sort(p.took)
	at := func(part float64) time.Duration {
		return p.took[int(part*float64(len(p.took)-1))].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("%d, p50 %v, p99 %v, max %v", len(p.took), at(0.5), at(0.99), at(1))
}
