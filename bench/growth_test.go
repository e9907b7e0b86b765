//go:build !js

package main

import (
	"strings"
	"testing"
)

func TestCount(t *testing.T) {
	for n, want := range map[int]string{1: "1", 100: "100", 1000: "1,000", 10_000: "10,000", 1_000_000: "1,000,000"} {
		if got := count(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

func TestScatteredVisitsMostNumbers(t *testing.T) {
	const n = 1000
	seen := map[int]bool{}
	for i := range n {
		seen[scattered(i, n)] = true
	}
	if len(seen) < n/2 {
		t.Errorf("%d of %d", len(seen), n)
	}
	for i := range seen {
		if i < 0 || i >= n {
			t.Errorf("%d is not below %d", i, n)
		}
	}
}

// Each point is named once, has requests for all its callers, and where it is
// compared with others of its operation it differs by its value alone.
func TestGrowthAxes(t *testing.T) {
	ids := map[string]bool{}
	for _, a := range growthAxes(false) {
		for _, p := range a.points {
			if ids[p.id(a)] {
				t.Errorf("%s is there twice", p.id(a))
			}
			ids[p.id(a)] = true
			if p.requests < p.callers || p.callers > maxCallers || p.keys < 1 {
				t.Errorf("%s: %+v", p.id(a), p)
			}
		}
		if sections(growthText)[a.name] == "" {
			t.Errorf("growth.txt says nothing of %s", a.name)
		}
	}
}

func TestChoosePoints(t *testing.T) {
	axes, err := choosePoints(growthAxes(false), "keys/new;callers/taken/1")
	if err != nil || len(axes) != 2 || len(axes[0].points) != 4 || len(axes[1].points) != 2 {
		t.Errorf("%+v, %v", axes, err)
	}
	if _, err := choosePoints(growthAxes(false), "nothing"); err == nil {
		t.Error("no error")
	}
}

func TestSections(t *testing.T) {
	got := sections("## a\none\n\ntwo\n## b\nthree\n")
	if got["a"] != "one\n\ntwo" || got["b"] != "three" || len(got) != 2 {
		t.Errorf("%q", got)
	}
}

// A curve that bends is drawn so, and its table has the ratios.
func TestGrowthReport(t *testing.T) {
	a := &axis{name: "keys", title: "Keys in a bucket", label: "keys"}
	g := &Growth{Rounds: 1, Storage: []Storage{{Mapping: "PerKey()", Keys: 2, Memory: 2048, Disk: 1024, Files: 4}}}
	for i, cpu := range []float64{100, 200} {
		x := []string{"1,000", "10,000"}[i]
		g.Points = append(g.Points, Point{Axis: "keys", Op: "new", X: x, Constructed: 0.5,
			Row: Row{Work: "claim of a new key", Callers: 16, CPU: cpu, Requests: 10}})
	}
	g.Runs = map[string]Run{"keys": {Date: "2026-01-01", Before: 0.5, After: 1.5}}
	page := string(g.markdown([]*axis{a}))
	for _, want := range []string{"| 10,000 | 200 | **2.00** |", "results/growth-keys.svg",
		"Claim of a new key, 16 callers", "| PerKey() | 2.0 KiB | 1.0 KiB | 4 for 2 keys |", "load was 0.5 before and 1.5 after"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q:\n%s", want, page)
		}
	}
	l := g.lines(a)
	if high, low := l.y(2, 2), l.y(1, 2); high != lineTop || low != lineTop+lineHeight/2 {
		t.Errorf("y of the largest is %v, of half of it %v", high, low)
	}
	if svg := string(l.svg()); strings.Count(svg, "<circle") != 2 || !strings.Contains(svg, ">10,000<") {
		t.Error(svg)
	}
	a.bars, a.points = true, []*point{{x: "1,000"}}
	if svg := string(g.svg(a)); !strings.Contains(svg, "1,000 = 1") || strings.Count(svg, "<rect") != 5 {
		t.Error(svg)
	}
	if csv := string(g.csv("keys")); !strings.Contains(csv, "claim of a new key,\"10,000\",16,10,200.00") {
		t.Error(csv)
	}
}

func TestReplaceKeepsOtherAxes(t *testing.T) {
	g := &Growth{Runs: map[string]Run{"a": {Date: "1"}, "b": {Date: "1"}}, Points: []Point{{Axis: "a"}, {Axis: "b"}}}
	g.replace(&Growth{Runs: map[string]Run{"b": {Date: "2"}}, Points: []Point{{Axis: "b", X: "new"}}})
	if len(g.Points) != 2 || g.Points[1].X != "new" || g.Runs["a"].Date != "1" || g.Runs["b"].Date != "2" {
		t.Errorf("%+v", g)
	}
}

// TestGrowth has each operation done a few times, with few keys.
func TestGrowth(t *testing.T) {
	_, s := serve(t, growthPeer)
	seen := map[string]bool{}
	for _, a := range growthAxes(true) {
		for _, p := range a.points {
			p.keys, p.requests, p.callers, p.asleep = min(p.keys, 40), 20, 4, false
			if what := a.name + p.op; seen[what] && p.x != "64 KiB" {
				continue
			} else {
				seen[what] = true
			}
			row := &Point{}
			if err := p.prepare(s); err != nil {
				t.Fatalf("%s: %v", p.id(a), err)
			}
			if err := row.measure(t.Context(), s, p); err != nil {
				t.Fatalf("%s: %v", p.id(a), err)
			}
			if row.summarize(); row.Requests != 20 {
				t.Errorf("%s: %+v", p.id(a), row)
			}
		}
	}
}
