//go:build !js

package main

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"flow.internal/capdo/internal/opcost"
	"flow.internal/capdo/internal/price"
)

// all are the tables, in the order of the page.
var all = []struct {
	name string
	make func() *Table
}{
	{"times", timesTable},
	{"object", objectTable},
	{"buckets", bucketsTable},
	{"shared", sharedTable},
	{"rest", restTable},
	{"memory", memoryTable},
	{"hot", hotTable},
	{"zipf", zipfTable},
	{"storm", stormTable},
	{"storm-per-key", stormPerKeyTable},
	{"cost", costTable},
}

// tables makes all tables, several at a time.
func tables() []*Table {
	list := make([]*Table, len(all))
	var wg sync.WaitGroup
	for i, f := range all {
		wg.Go(func() {
			list[i] = f.make()
			list[i].Name = f.name
		})
	}
	wg.Wait()
	return list
}

// timesTable has what the other tables calculate with.
func timesTable() *Table {
	t := &Table{Head: []string{
		"an operation occupies the thread for", "measured", "500 writes/s", "200 writes/s",
	}}
	fast, slow := guided(500), planned
	row := func(name string, of func(Service) float64) {
		t.add(name, fine(of(measured)), fine(of(fast)), fine(of(slow)))
	}
	row("claim of a new key", func(s Service) float64 { return s.Claim })
	row("claim of a key that is taken", func(s Service) float64 { return s.Repeat })
	row("complete", func(s Service) float64 { return s.Complete })
	row("alarm", func(s Service) float64 { return s.Sweep })
	row("… for each record that it removes, in addition", func(s Service) float64 { return s.Record })
	row("waking an object, in addition", func(s Service) float64 { return s.Open })
	return t
}

// keyed is the load of new keys, each completed 50 ms later. Their TTL is short,
// so that soon as many expire as are claimed; how many do in a second does not
// depend on the TTL.
func keyed(claims, seconds float64) Load {
	return Load{Claims: claims, Work: 0.05, TTL: seconds / 4, Warm: seconds / 2, For: seconds}
}

// objectTable has one bucket under more and more load.
func objectTable() *Table {
	t := &Table{Head: []string{
		"new keys a second", "requests a second", "busy", "wait p50", "wait p99", "refused",
		"wait p99 at 500 writes/s", "at 200 writes/s",
	}}
	for _, claims := range []float64{10, 25, 50, 75, 100, 150, 200, 300} {
		run := func(s Service) *Result {
			return Run(Setup{Service: s, Load: keyed(claims, 200), Layout: Layout{Buckets: 1}, Platform: cloudflare, Seed: 1})
		}
		r := run(measured)
		t.add(number(claims), number(2*claims), percent(r.Busiest), ms(r.Wait.at(0.5)),
			ms(r.Wait.at(0.99)),
			percent(r.refused()), waitOr(run(guided(500))), waitOr(run(guided(200))))
	}
	return t
}

// bucketsTable has loads spread over buckets.
func bucketsTable() *Table {
	t := &Table{Head: []string{
		"claims a second", "buckets", "busiest bucket", "busy on average", "wait p50",
		"wait p99", "refused", "keys per alarm",
	}}
	for _, c := range []struct {
		claims, seconds float64
		buckets         []int
	}{
		{100, 200, []int{1, 4, 16}},
		{1000, 60, []int{16, 32, 64}},
		{10_000, 10, []int{128, 256, 512}},
		{100_000, 2, []int{1024, 4096, 16_384}},
	} {
		for _, n := range c.buckets {
			r := Run(Setup{Service: planned, Load: keyed(c.claims, c.seconds), Layout: Layout{Buckets: n}, Platform: cloudflare, Seed: 2})
			t.add(number(c.claims), number(float64(n)), percent(r.Busiest), percent(r.Mean),
				ms(r.Wait.at(0.5)), ms(r.Wait.at(0.99)),
				percent(r.refused()), fmt.Sprintf("%.1f", r.perAlarm()))
		}
	}
	return t
}

// sharedTable has buckets that share the threads of isolates.
func sharedTable() *Table {
	t := &Table{Head: []string{
		"64 buckets in … isolates", "busiest isolate", "wait p50", "wait p99", "refused",
	}}
	for _, n := range []int{64, 32, 16, 8} {
		r := Run(Setup{Service: planned, Load: keyed(1000, 100), Layout: Layout{Buckets: 64, Isolates: n}, Platform: cloudflare, Seed: 3})
		t.add(number(float64(n)), percent(r.Busiest), ms(r.Wait.at(0.5)), ms(r.Wait.at(0.99)), percent(r.refused()))
	}
	return t
}

// restTable has keys that are stored at a time.
func restTable() *Table {
	t := &Table{Head: []string{
		"keys stored", "mapping", "objects", "keys in the fullest", "GB in the fullest",
		"GB in all", "$ a month to store",
	}}
	r := rand.New(rand.NewPCG(4, 4))
	alone, inBucket := opcost.SizeOfKey(resultSize), opcost.SizeInBucket(resultSize)
	for _, keys := range []float64{1e6, 1e9} {
		t.add(number(keys), "PerKey", number(keys), "1", gb(alone/1e9), gb(keys*alone/1e9),
			dollars(storing(keys*alone/1e9)))
		for _, n := range []int{16, 256, 1024, 4096, 65_536} {
			most := fullest(keys, n, r)
			each := opcost.BucketSize + most*inBucket
			all := float64(n)*opcost.BucketSize + keys*inBucket
			fits := gb(each / 1e9)
			if each > objectSize {
				fits += " (too much)"
			}
			t.add(number(keys), buckets(n), number(float64(n)), number(most), fits, gb(all/1e9), dollars(storing(all/1e9)))
		}
	}
	return t
}

func storing(gb float64) float64 {
	return price.Paid(price.Usage{Stored: gb}).Total - price.Subscription
}

// memoryTable has objects of single keys in memory. It simulates a hundredth
// of the load.
func memoryTable() *Table {
	t := &Table{Head: []string{
		"claims a second, PerKey", "objects in memory", "MB, by workerd's process",
		"MB, of Go only", "isolates of 128 MB, at least",
	}}
	for _, claims := range []float64{100, 1000, 10_000, 100_000} {
		part := min(1, 1000/claims)
		load := Load{Claims: claims * part, Work: 0.05, Warm: 20, For: 40}
		r := Run(Setup{Service: planned, Load: load, Platform: cloudflare, Seed: 5})
		n := float64(r.Awake) / part
		t.add(number(claims), number(round(n)), number(round(n*objectMemory/1e6)),
			number(round(n*goMemory/1e6)),
			number(max(1, round(n*objectMemory/isolateSize))))
	}
	return t
}

// hotTable has one key that everybody claims, after it was completed; in a
// bucket it has neighbors.
func hotTable() *Table {
	t := &Table{Head: []string{
		"claims of the hot key a second", "mapping", "busy", "wait p99 of the hot key",
		"hot claims refused", "wait p99 of its neighbors", "neighbors refused",
	}}
	const others = 1000.0 // claims a second
	run := func(hot float64, layout Layout, more func(*Load), name string) {
		l := keyed(others, 40)
		l.Hot, l.Retries, l.Pause = hot, 3, 1
		if more != nil {
			more(&l)
		}
		r := Run(Setup{Service: measured, Load: l, Layout: layout, Platform: cloudflare, Seed: 6})
		wait, refused := "–", "–"
		if r.Neighbors.n > 0 {
			wait, refused = ms(r.Neighbors.at(0.99)), percent(float64(r.NextLost)/float64(r.Neighbors.n+r.NextLost))
		}
		t.add(number(hot), name, percent(r.Busiest), ms(r.HotWait.at(0.99)), percent(float64(r.HotLost)/float64(r.HotAsked)), wait, refused)
	}
	for _, hot := range []float64{100, 500, 900, 1500, 5000} {
		run(hot, Layout{}, nil, "PerKey")
		run(hot, Layout{Buckets: 64}, nil, buckets(64))
	}
	cache := func(l *Load) { l.Frontends, l.Cache = 50, 1 }
	run(5000, Layout{}, cache, "PerKey, answers cached for 1 s in 50 isolates")
	run(5000, Layout{Buckets: 64}, cache, "Buckets(64), the same")
	return t
}

// zipfTable has keys of which few are popular.
func zipfTable() *Table {
	t := &Table{Head: []string{
		"exponent", "mapping", "share of the most popular key",
		"requests a second of the busiest object", "busy", "wait p99", "refused",
	}}
	for _, s := range []float64{0.8, 1, 1.2} {
		z := newZipf(100_000, s)
		for _, n := range []int{0, 64, 256, 1024} {
			l := Load{Claims: 10_000, Zipf: z, Work: 0.05, Warm: 5, For: 15}
			r := Run(Setup{Service: measured, Load: l, Layout: Layout{Buckets: n}, Platform: cloudflare, Seed: 7})
			t.add(fmt.Sprint(s), buckets(n), percent(z.share(0)), number(round(r.HotRate)), percent(r.Busiest), ms(r.Wait.at(0.99)), percent(r.refused()))
		}
	}
	return t
}

// stormTable has a million records that expire, while others make 500 claims a
// second.
func stormTable() *Table {
	t := &Table{Head: []string{
		"buckets", "TTL spread over", "alarms", "most alarms in a second", "emptied after",
		"late by", "wait p99 meanwhile", "longest wait", "refused", "$",
	}}
	const records = 1_000_000
	for _, c := range []struct {
		buckets int
		spread  float64
		fails   float64
	}{
		{16, 0, 0}, {64, 0, 0}, {256, 0, 0}, {1024, 0, 0}, {4096, 0, 0},
		{64, 60, 0}, {1024, 600, 0},
		{1024, 0, 0.1},
	} {
		p := cloudflare
		p.AlarmFails = c.fails
		l := Load{Claims: 500, Work: 0.05, Warm: 5, For: max(30, c.spread), Storm: records, Spread: c.spread}
		r := Run(Setup{Service: planned, Load: l, Layout: Layout{Buckets: c.buckets}, Platform: p, Seed: 8})
		name := number(float64(c.buckets))
		if c.fails > 0 {
			name += fmt.Sprintf(", %.0f%% of alarms fail", c.fails*100)
		}
		t.add(name, span(c.spread), number(float64(r.Alarms)), number(float64(r.MostRings)),
			span(r.Emptied), span(r.Emptied-c.spread),
			ms(r.During.at(0.99)), ms(r.During.at(1)), percent(r.refused()), fmt.Sprintf("%.2f", stormCost(r)))
	}
	return t
}

// stormCost is what the alarms of a storm cost beyond what is included: a
// request each, and the rows, of which the alarm's own is one each.
func stormCost(r *Result) float64 {
	one, ten := opcost.Of(opcost.RemoveOne), opcost.Of("alarm that removes ten records")
	record := float64(ten.InBucket-one.InBucket) / 9
	alarm := float64(one.InBucket) - record
	rows := record*float64(r.Removed) + alarm*float64(r.Alarms)
	bill := func(alarms, rows float64) float64 { return alarms/1e6*0.15 + rows/1e6 }
	return bill(float64(r.Alarms), rows)
}

// stormPerKeyTable has a million objects of one key each that are all due.
func stormPerKeyTable() *Table {
	t := &Table{Head: []string{
		"isolates that share 1,000,000 objects", "TTL spread over", "alarms",
		"most alarms in a second", "emptied after", "late by",
		"objects in memory of an isolate", "MB of them",
	}}
	for _, c := range []struct {
		isolates int
		spread   float64
	}{{100, 0}, {1000, 0}, {10_000, 0}, {1000, 600}} {
		l := Load{Warm: 1, For: max(10, c.spread), Storm: 1_000_000, Spread: c.spread}
		r := Run(Setup{Service: planned, Load: l, Layout: Layout{Isolates: c.isolates}, Platform: cloudflare, Seed: 9})
		t.add(number(float64(c.isolates)), span(c.spread), number(float64(r.Alarms)),
			number(float64(r.MostRings)), span(r.Emptied), span(r.Emptied-c.spread),
			number(float64(r.MostAwake)), number(round(float64(r.MostAwake)*objectMemory/1e6)))
	}
	return t
}

// costTable has months of steady load.
func costTable() *Table {
	t := &Table{Head: []string{
		"claims a second", "mapping", "claims a month", "keys stored", "rows written",
		"GB stored", "$ a month", "$ per million claims", "most of it",
	}}
	for _, c := range []struct {
		claims  float64
		buckets int
	}{{10, 0}, {10, 16}, {100, 0}, {100, 16}, {1000, 0}, {1000, 64}, {10_000, 0}, {10_000, 512}, {100_000, 0}, {100_000, 4096}} {
		w := month(c.claims, c.buckets)
		e := w.Estimate()
		bill := price.Paid(e.Usage)
		most := bill.Lines[0]
		for _, l := range bill.Lines {
			if l.Dollars > most.Dollars {
				most = l
			}
		}
		t.add(number(c.claims), buckets(c.buckets), short(w.Claims), short(e.Live),
			short(e.RowsWritten), gb(e.Stored), dollars(bill.Total),
			fmt.Sprintf("%.2f", bill.Total/w.Claims*1e6), fmt.Sprintf("%s, %s", most.Name, percent(most.Dollars/bill.Total)))
	}
	return t
}

// month is one of steady load, with the defaults of capdo cost.
func month(claims float64, buckets int) opcost.Workload {
	return opcost.Workload{
		Claims: claims * 86_400 * price.Days, Duplicates: 0.05, TTL: 24 * time.Hour, Buckets: buckets, Result: resultSize,
		Work: 50 * time.Millisecond, Lease: 30 * time.Second, Active: 10 * time.Millisecond,
		CPUNew: 10 * time.Millisecond, CPUDuplicate: 2 * time.Millisecond,
	}
}
