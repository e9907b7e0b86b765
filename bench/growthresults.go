//go:build !js

package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Growth is what a run has measured, as results/growth.json has it.
type Growth struct {
	Date     string
	Versions []string
	Quick    bool
	Rounds   int
	Runs     map[string]Run // by the name of the axis
	Points   []Point
	Storage  []Storage
}

// Run is when an axis was measured, and the machine's load.
type Run struct {
	Date          string
	Before, After float64
}

// replace puts what another run has measured in the place of the same axes.
func (g *Growth) replace(with *Growth) {
	kept := slices.DeleteFunc(g.Points, func(p Point) bool { _, again := with.Runs[p.Axis]; return again })
	g.Points = append(kept, with.Points...)
	maps.Copy(g.Runs, with.Runs)
}

// Point is one operation where an axis has a value.
type Point struct {
	Axis, Op, X string
	Row
	Constructed float64 // objects that were constructed, for each request
}

// Storage is what a new key takes: of workerd's memory while its object is
// awake, and on disk when all objects have been evicted.
type Storage struct {
	Mapping string
	Keys    int
	Memory  int64 // bytes a key
	Disk    int64 // bytes a key
	Files   int
}

// storageKeys is how many keys storage makes.
const storageKeys = 500

// storage measures what keys take, in processes of their own.
func (p *plan) storage(
	ctx context.Context, b *builder, modules map[string]string,
) (list []Storage, err error) {
	for _, m := range []struct {
		title   string
		buckets int
	}{{"PerKey()", 0}, {"Buckets(16)", 16}} {
		s, err := b.start(ctx, growthPeer, modules, false)
		if err != nil {
			return nil, err
		}
		defer s.stop()
		row, err := s.store(&point{buckets: m.buckets, scope: "storage", keys: storageKeys})
		if err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", m.title, err, s.Log())
		}
		row.Mapping = m.title
		list = append(list, row)
	}
	return list, nil
}

func (s *server) store(p *point) (row Storage, err error) {
	first := *p // after it V8 has compiled, and the program has started
	first.scope, first.keys = "first", 64
	if err := first.claimAll(s); err != nil {
		return row, err
	}
	time.Sleep(idle)
	size, files, err := use(s.disk)
	if err != nil {
		return row, err
	}
	resident, err := residentOf(s.PID())
	if err != nil {
		return row, err
	}
	if err := p.claimAll(s); err != nil {
		return row, err
	}
	after, err := residentOf(s.PID())
	if err != nil {
		return row, err
	}
	time.Sleep(idle)
	sizeAfter, filesAfter, err := use(s.disk)
	n := int64(p.keys)
	return Storage{Keys: p.keys, Memory: (after - resident) / n, Disk: (sizeAfter - size) / n,
		Files: filesAfter - files}, err
}

// use is how many bytes and files a folder has.
func use(dir string) (size int64, files int, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
			files++
		}
		return err
	})
	return size, files, err
}

// at returns the points of an operation of an axis.
func (g *Growth) at(axis, op string) (points []*Point) {
	for i := range g.Points {
		if p := &g.Points[i]; p.Axis == axis && p.Op == op {
			points = append(points, p)
		}
	}
	return points
}

// ratio is a point's CPU to that of the first value of its axis.
func (g *Growth) ratio(p *Point) float64 {
	base := g.at(p.Axis, p.Op)[0].CPU
	if base == 0 {
		return 0
	}
	return p.CPU / base
}

// ops are the operations of an axis, in the order of its points.
func (g *Growth) ops(axis string) (ops []string) {
	seen := map[string]bool{}
	for _, p := range g.Points {
		if p.Axis == axis && !seen[p.Op] {
			seen[p.Op] = true
			ops = append(ops, p.Op)
		}
	}
	return ops
}

// printTable prints the points of a run that measured only some.
func (g *Growth) printTable(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "axis\top\tx\tCPU µs\tlow\thigh\tratio\tper s\tp50 µs\tp99 µs\tconstructed\trequests\t")
	for i := range g.Points {
		p := &g.Points[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%.0f\t%.0f\t%.0f\t%.2f\t%.0f\t%.0f\t%.0f\t%.2f\t%d\t\n", p.Axis, p.Op,
			p.X, p.CPU, p.Low, p.High, g.ratio(p), p.PerSecond, p.P50, p.P99, p.Constructed, p.Requests)
	}
	t.Flush()
}

//go:embed growth.txt
var growthText string

// sections are the parts of growth.txt: what is written by hand, by the name of
// the axis that it is about.
func sections(text string) map[string]string {
	parts := map[string]string{}
	for _, part := range strings.Split("\n"+text, "\n## ")[1:] {
		name, body, _ := strings.Cut(part, "\n")
		parts[name] = strings.TrimSpace(body)
	}
	return parts
}

// markdown is GROWTH.md.
func (g *Growth) markdown(axes []*axis) []byte {
	var b bytes.Buffer
	how := "`make bench-growth`"
	if g.Quick {
		how += " with `-quick`, which leaves out what takes long"
	}
	written := sections(growthText)
	fmt.Fprintf(&b, `<!-- Written by go run ./bench -growth, with the text of growth.txt. DO NOT EDIT. -->
# How cost grows

%s

%s

`, paragraph(`From %s on %s, in %d rounds: %s. Where the machine's load was above 1, other
programs shared the processors: then latencies and rates are those of that
moment, and only ratios of CPU say something.`,
		how, g.Date, g.Rounds, strings.Join(g.Versions, ", ")), written["how"])
	for _, a := range axes {
		if len(g.ops(a.name)) == 0 {
			continue
		}
		run := g.Runs[a.name]
		fmt.Fprintf(&b, "## %s\n\n![%s](results/growth-%s.svg)\n\n", a.title, a.title, a.name)
		fmt.Fprintf(&b, "Measured on %s. The machine's load was %.1f before and %.1f after.\n\n",
			run.Date, run.Before, run.After)
		for _, op := range g.ops(a.name) {
			g.table(&b, a, g.at(a.name, op))
		}
		fmt.Fprintf(&b, "%s\n\n", written[a.name])
	}
	g.storageTable(&b, written["storage"])
	return bytes.TrimRight(b.Bytes(), "\n")
}

func (g *Growth) table(b *bytes.Buffer, a *axis, points []*Point) {
	fmt.Fprintf(b, "%s, %s:\n\n", strings.ToUpper(points[0].Work[:1])+points[0].Work[1:],
		callersOf(points))
	fmt.Fprintf(b, "| %s | CPU µs | ratio | lowest to highest round | p50 ms | p99 ms | a second | objects constructed a request |\n|---:|---:|---:|---:|---:|---:|---:|---:|\n", a.label)
	for _, p := range points {
		fmt.Fprintf(b, "| %s | %.0f | **%.2f** | %.0f–%.0f | %.1f | %.1f | %.0f | %.2f |\n", p.X, p.CPU,
			g.ratio(p), p.Low, p.High, p.P50/1000, p.P99/1000, p.PerSecond, p.Constructed)
	}
	fmt.Fprintln(b)
}

func callersOf(points []*Point) string {
	first, last := points[0].Callers, points[len(points)-1].Callers
	if first != last {
		return fmt.Sprintf("%d to %d callers", first, last)
	}
	return callersText(first)
}

func (g *Growth) storageTable(b *bytes.Buffer, text string) {
	if len(g.Storage) == 0 {
		return
	}
	fmt.Fprint(b, "## What a new key takes\n\n| mapping | workerd's memory, awake | disk, after eviction | new files |\n|---|---:|---:|---:|\n")
	for _, s := range g.Storage {
		fmt.Fprintf(b, "| %s | %.1f KiB | %.1f KiB | %d for %d keys |\n", s.Mapping,
			float64(s.Memory)/1024, float64(s.Disk)/1024, s.Files, s.Keys)
	}
	fmt.Fprintf(b, "\n%s\n", text)
}

func (g *Growth) csv(axis string) []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write([]string{"operation", "x", "callers", "requests", "cpu_us", "cpu_us_low", "cpu_us_high",
		"cpu_ratio", "per_second", "p50_us", "p99_us", "constructed"})
	for i := range g.Points {
		p := &g.Points[i]
		if p.Axis != axis {
			continue
		}
		record := []string{p.Work, p.X, strconv.Itoa(p.Callers), strconv.Itoa(p.Requests)}
		for _, v := range []float64{p.CPU, p.Low, p.High, g.ratio(p), p.PerSecond, p.P50, p.P99,
			p.Constructed} {
			record = append(record, strconv.FormatFloat(v, 'f', 2, 64))
		}
		w.Write(record)
	}
	w.Flush()
	return b.Bytes()
}

// write writes GROWTH.md, and the axes' CSVs and charts.
func (g *Growth) write(dir string, axes []*axis) error {
	results := filepath.Join(dir, "results")
	if err := os.MkdirAll(results, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		return err
	}
	files := map[string][]byte{
		filepath.Join(dir, "GROWTH.md"):       append(g.markdown(axes), '\n'),
		filepath.Join(results, "growth.json"): append(b, '\n'),
	}
	for _, a := range axes {
		if len(g.ops(a.name)) == 0 {
			continue
		}
		name := filepath.Join(results, "growth-"+a.name)
		files[name+".csv"], files[name+".svg"] = g.csv(a.name), g.svg(a)
	}
	return writeFiles(files)
}

// readGrowth reads what write has written.
func readGrowth(dir string) (*Growth, error) {
	g := &Growth{}
	return g, readJSON(filepath.Join(dir, "results", "growth.json"), g)
}
