//go:build !js

package main

import (
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"flow.internal/capdo/internal/price"
)

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.Abs(got-want) > within*math.Abs(want) {
		t.Errorf("%s: %.4g, want %.4g within %g%%", what, got, want, within*100)
	}
}

// queue is an object that everybody asks for the same key.
func queue(load, takes float64, varies bool) *Result {
	return Run(Setup{
		Service:  Service{Repeat: takes, Varies: varies},
		Load:     Load{Claims: load / takes, Zipf: newZipf(1, 1), Warm: 200 * takes / (1 - load), For: 400_000 * takes / load},
		Layout:   Layout{Buckets: 1},
		Platform: unlimited,
		Seed:     7,
	})
}

// The waiting times of M/D/1 and M/M/1 are known.
func TestQueues(t *testing.T) {
	const takes = 2e-3
	for _, load := range []float64{0.3, 0.5, 0.8} {
		fixed, random := queue(load, takes, false), queue(load, takes, true)
		near(t, "M/D/1, mean wait", fixed.Wait.mean(), load*takes/2/(1-load), 0.03)
		near(t, "M/M/1, mean wait", random.Wait.mean(), load*takes/(1-load), 0.04)
		near(t, "M/M/1, p99", random.Wait.at(0.99), takes/(1-load)*math.Log(load/0.01), 0.05)
		near(t, "M/D/1, busy", fixed.Busiest, load, 0.01)
		near(t, "M/M/1, busy", random.Busiest, load, 0.02)
		if load < 0.99 && random.Wait.at(1-load-0.01) != 0 {
			t.Errorf("at %g, too many have to wait", load)
		}
	}
}

// Two objects in one isolate are one queue.
func TestIsolateIsOneThread(t *testing.T) {
	const takes = 1e-3
	s := Setup{
		Service: Service{Claim: takes}, Load: Load{Claims: 400, Warm: 1, For: 200},
		Layout: Layout{Buckets: 8, Isolates: 1}, Platform: unlimited, Seed: 3,
	}
	// Completions take no time here: they are half of those that wait, and find
	// what their claims find.
	r := Run(s)
	near(t, "busy", r.Busiest, 0.4, 0.02)
	s.Isolates = 0
	apart := Run(s)
	near(t, "busy on average, apart", apart.Mean, 0.4/8, 0.02)
	if apart.Wait.mean() > r.Wait.mean()/4 {
		t.Errorf("apart they wait for %g, together for %g", apart.Wait.mean(), r.Wait.mean())
	}
}

// The largest of n Poisson numbers: between bounds that are missed once in a
// thousand times.
func largest(mean float64, n int) (low, high float64) {
	term, sum := math.Exp(-mean/2), 0.0 // halved, lest it be 0
	scale := math.Exp(-mean / 2)
	for k := 0; ; k++ {
		if k > 0 {
			term *= mean / float64(k)
		}
		sum += term * scale
		below := math.Pow(sum, float64(n))
		if below < 0.0005 {
			low = float64(k)
		}
		if below > 0.9995 {
			return low, float64(k)
		}
	}
}

func TestFullestBucket(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, c := range []struct{ keys, buckets int }{
		{1000, 1000}, {65_536, 65_536}, {20_000, 200}, {1_000_000, 1024}, {1_000_000, 65_536},
	} {
		low, high := largest(float64(c.keys)/float64(c.buckets), c.buckets)
		if got := hashed(c.keys, c.buckets); got < low || got > high {
			t.Errorf("%d keys in %d buckets: the fullest has %g, want %g to %g", c.keys, c.buckets, got, low, high)
		}
	}
	near(t, "drawn in place of hashed", drawn(1e6, 1024, r), hashed(1_000_000, 1024), 0.03)
	near(t, "drawn, of 10^9 in 1024", drawn(1e9, 1024, r), 1e9/1024+3.2*math.Sqrt(1e9/1024), 0.001)
}

// The names of dodedupe's TestLedgerNamesArePinned.
func TestBucketHashIsThatOfDodedupe(t *testing.T) {
	for _, c := range []struct {
		key     string
		buckets uint32
		want    uint32
	}{{"order-1041", 8, 2}, {"\x00", 65_536, 2707}} {
		if got := bucketHash([]byte(c.key)) % c.buckets; got != c.want {
			t.Errorf("%q: bucket %d of %d, want %d", c.key, got, c.buckets, c.want)
		}
	}
	if got := bucketOf(1041, 8); got != 2 {
		t.Errorf("key 1041: bucket %d, want 2", got)
	}
}

func TestZipf(t *testing.T) {
	z, r := newZipf(1000, 1.1), rand.New(rand.NewPCG(1, 1))
	counts := make([]float64, 1000)
	const n = 400_000
	for range n {
		counts[z.draw(r)]++
	}
	near(t, "the first to the second", z.share(0)/z.share(1), math.Pow(2, 1.1), 1e-9)
	for _, k := range []int{0, 1, 9} {
		near(t, "share", counts[k]/n, z.share(k), 0.03)
	}
}

// A storm takes as many alarms as records need, and other requests go on
// between them.
func TestStorm(t *testing.T) {
	s := Setup{
		Service:  Service{Claim: 1e-3, Sweep: 2e-3, Record: 0.1e-3},
		Load:     Load{Claims: 100, Warm: 1, For: 1, Storm: 5050},
		Layout:   Layout{Buckets: 1},
		Platform: unlimited, Seed: 2,
	}
	s.AlarmDelay = 0.01
	r := Run(s)
	if r.Removed != 5050 || r.Alarms != 26 {
		t.Errorf("%d records were removed by %d alarms", r.Removed, r.Alarms)
	}
	// 26 alarms of 2 ms, 10 ms between them, 5,050 records; and a tenth of claims.
	near(t, "emptied", r.Emptied, (26*0.002+26*0.01+0.505)*1.05, 0.06)
	if most := r.During.at(1); most > 0.025 {
		t.Errorf("a request waits for %g s, more than an alarm of 22 ms takes", most)
	}
	s.Spread, s.For = 60, 70
	if spread := Run(s); spread.Removed != 5050 || spread.Alarms < 1500 || spread.Emptied < 59 {
		t.Errorf("spread over 60 s: %d records, %d alarms, %g s", spread.Removed, spread.Alarms, spread.Emptied)
	}
}

// An alarm that fails comes again, and what the platform has given up is set
// again by the next operation.
func TestAlarmsThatFail(t *testing.T) {
	s := Setup{
		Service: Service{Claim: 1e-3, Sweep: 1e-3}, Load: Load{Claims: 1, Warm: 1, For: 1, Storm: 1000},
		Layout: Layout{Buckets: 1}, Platform: unlimited, Seed: 4,
	}
	s.AlarmFails = 0.5
	r := Run(s)
	if r.Removed != 1000 || r.Failed == 0 || r.Alarms != 5+r.Failed {
		t.Errorf("%d removed; %d alarms, of which %d failed", r.Removed, r.Alarms, r.Failed)
	}
	s.AlarmFails, s.Claims, s.Seed = 0.9, 0.005, 3 // operations are rarer than an alarm's repetitions
	if r := Run(s); r.GivenUp == 0 || r.Removed != 1000 {
		t.Errorf("%d removed, %d alarms given up", r.Removed, r.GivenUp)
	}
}

// Each new key is removed once: in the long run, as many as are claimed.
func TestRecordsExpire(t *testing.T) {
	s := Setup{
		Service: Service{Claim: 1e-4, Complete: 1e-4, Sweep: 1e-4, Record: 1e-5},
		Load:    Load{Claims: 500, Duplicates: 0.2, TTL: 2, Warm: 5, For: 50},
		Layout:  Layout{Buckets: 16}, Platform: cloudflare, Seed: 6,
	}
	s.AlarmDelay = 0 // else an alarm finds more than one
	r := Run(s)
	near(t, "claims", float64(r.Asked), 25_000, 0.02)
	near(t, "new keys", float64(r.NewKeys), 20_000, 0.03)
	near(t, "requests", float64(r.Requests), 45_000, 0.03)
	near(t, "alarms", float64(r.Alarms), 20_000, 0.05)
}

func TestOverload(t *testing.T) {
	s := Setup{
		Service: Service{Repeat: 0.2e-3}, Load: Load{Hot: 2000, Warm: 20, For: 60},
		Layout: Layout{Buckets: 1}, Platform: cloudflare, Seed: 8,
	}
	r := Run(s)
	near(t, "beyond the rate", float64(r.HotLost)/float64(r.HotAsked), 0.5, 0.02)
	s.Repeat, s.Rate = 1e-3, math.Inf(1)
	r = Run(s)
	near(t, "beyond the thread", float64(r.HotLost)/float64(r.HotAsked), 0.5, 0.02)
	if most := r.Wait.at(1); most > 10.1 || most < 9.9 {
		t.Errorf("the longest wait is %g s, want 10 s", most)
	}
	s.Load.Frontends, s.Cache, s.Work = 10, 1, 0.1
	if r := Run(s); r.Requests > 60*10*2 || r.HotLost > 0 {
		t.Errorf("with caches: %d requests, %d lost", r.Requests, r.HotLost)
	}
}

// Objects leave the memory 10 s after their last request.
func TestMemory(t *testing.T) {
	r := Run(Setup{
		Service: Service{Claim: 1e-4}, Load: Load{Claims: 100, Work: 2, Warm: 20, For: 30},
		Layout: Layout{Isolates: 4}, Platform: cloudflare, Seed: 1,
	})
	near(t, "objects in memory", float64(r.Awake), 100*12, 0.1)
	near(t, "in one isolate", float64(r.MostAwake), 100*12/4, 0.15)
}

func TestRunsAreDeterministic(t *testing.T) {
	s := Setup{
		Service: measured, Load: Load{Claims: 1000, Duplicates: 0.1, TTL: 1, Work: 0.1, Warm: 1, For: 2, Spread: 1},
		Layout: Layout{Buckets: 16}, Platform: cloudflare, Seed: 1,
	}
	if a, b := Run(s), Run(s); *a != *b {
		t.Error("two runs with one seed differ")
	}
}

func TestUpdate(t *testing.T) {
	tab := &Table{Name: "x", Head: []string{"a", "b"}, Rows: [][]string{{"1", "2"}}}
	const head, want = "before <!-- scale: x -->\n", "| a | b |\n|---|---:|\n| 1 | 2 |\n"
	got, err := update([]byte(head+"| old |\n\nafter"), []*Table{tab})
	if err != nil || string(got) != head+want+"\nafter" {
		t.Errorf("%q, %v", got, err)
	}
	for _, page := range []string{"", "| a |", head + "<!-- scale: y -->\n"} {
		if _, err := update([]byte(page), []*Table{tab}); err == nil {
			t.Errorf("%q is taken", page)
		}
	}
}

func TestFormats(t *testing.T) {
	for got, want := range map[string]string{
		number(1234567): "1,234,567", number(999): "999", ms(0.0004): "< 1 ms", ms(0.0248): "25 ms", ms(2.449): "2.4 s",
		percent(0): "0", percent(0.0004): "< 0.1%", percent(0.005): "0.5%", percent(1.2): "100%",
		span(60): "60 s", span(600): "10 min", short(26e9): "26 billion", gb(0.0004): "< 0.001", gb(4.47): "4.5",
		dollars(1234): "1,200", dollars(1.5): "1.50", fine(0.00125): "1.2 ms",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestTablesAreThoseOfTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/scale.md")
	if err != nil {
		t.Fatal(err)
	}
	made := tables()
	if _, err := update(page, made); err != nil {
		t.Fatal(err)
	}
	for _, tab := range made {
		if _, got, _, _ := find(page, tab.Name); string(got) != tab.Markdown() {
			t.Errorf("docs/scale.md, %s: go run ./bench/scale -update changes\n%s\nto\n%s", tab.Name, got, tab.Markdown())
		}
	}
}

// docs/scale.md says from when on Buckets is cheaper.
func TestCheaperMapping(t *testing.T) {
	bill := func(days, buckets int) float64 {
		w := month(1000, buckets)
		w.TTL = time.Duration(days) * 24 * time.Hour
		return price.Paid(w.Estimate().Usage).Total
	}
	if perKey, many := bill(21, 0), bill(21, 64); perKey >= many {
		t.Errorf("for three weeks PerKey costs %.0f, Buckets %.0f", perKey, many)
	}
	if perKey, many := bill(35, 0), bill(35, 64); perKey <= many {
		t.Errorf("for five weeks PerKey costs %.0f, Buckets %.0f", perKey, many)
	}
}
