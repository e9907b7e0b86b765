//go:build !js

package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
)

// growthPeer serves the operations of a ledger whose cost is measured as it
// grows.
var growthPeer = &peer{Name: "growth", Title: "growth", Main: "growth.mjs", Go: "growth",
	Capdo: true}

// mapping are the parameters that say where the point's keys are.
func (p *point) mapping() string {
	return fmt.Sprintf("?buckets=%d&scope=%s-%d", p.buckets, p.scope, p.buckets)
}

func (s *server) ask(path, want string) error {
	b, err := s.send("GET", path, nil)
	if err == nil && string(b) != want {
		err = fmt.Errorf("%s: the answer is %.100q, not %q", path, b, want)
	}
	return err
}

// work is what a point measures.
func (p *point) work() *work {
	return &work{Name: p.op, limit: p.requests, prepare: p.prepare,
		caller: each(func(s *server, _, serial int) error { return p.do(s, serial) })}
}

func (p *point) do(s *server, serial int) error {
	switch p.op {
	case "taken":
		n := serial % p.keys
		if p.filled {
			n = scattered(serial, p.keys)
		}
		return s.ask("/claim"+p.mapping()+"&key="+p.key(n), "taken "+strconv.Itoa(p.size))
	case "new":
		if p.fresh {
			return s.ask(fmt.Sprintf("/claim%s-%d&key=k", p.mapping(), serial), "acquired")
		}
		return s.ask("/claim"+p.mapping()+"&key="+p.newKey(serial), "acquired")
	}
	return s.ask(fmt.Sprintf("/work%s&key=%s&size=%d",
		p.mapping(), p.newKey(serial), p.size), "done")
}

// key is one that exists.
func (p *point) key(n int) string {
	if p.filled {
		return "fill-" + strconv.Itoa(n)
	}
	return "k" + strconv.Itoa(n)
}

// newKey is one that does not exist. In the order of keys it is anywhere
// between those that do.
func (p *point) newKey(serial int) string {
	return p.key(scattered(serial, p.keys)) + "-" + strconv.Itoa(serial)
}

// scattered visits the numbers below n in an order without pattern.
func scattered(serial, n int) int { return int(uint64(serial) * 0x9e3779b97f4a7c15 >> 20 % uint64(n)) }

// idle is after how long without an event workerd has evicted an object.
const idle = 12 * time.Second

// prepare makes the point's keys, once.
func (p *point) prepare(s *server) error {
	what := fmt.Sprint(p.mapping(), p.keys)
	if s.prepared[what] {
		return nil
	}
	s.prepared[what] = true
	if p.asleep {
		defer time.Sleep(idle)
	}
	switch {
	case p.filled:
		return p.fill(s)
	case p.size > 0 || p.keys == 1:
		return s.ask(fmt.Sprintf("/work%s&key=k0&size=%d", p.mapping(), p.size), "done")
	}
	return p.claimAll(s)
}

// claimAll claims all keys, 500 a second at most: an object holds files open
// until it has been idle for 10 s.
func (p *point) claimAll(s *server) error {
	const chunk = 250
	for from := 0; from < p.keys; from += chunk {
		begin := time.Now()
		path := fmt.Sprintf("/many%s&key=k&from=%d&to=%d",
			p.mapping(), from, min(from+chunk, p.keys))
		if err := s.ask(path, "done"); err != nil {
			return err
		}
		if p.buckets == 0 && p.keys > 1000 {
			time.Sleep(time.Until(begin.Add(chunk * time.Second / 500)))
		}
	}
	return nil
}

// fill writes the bucket's keys from inside of its object, each a copy of one
// that was claimed and completed.
func (p *point) fill(s *server) error {
	if err := s.ask("/work"+p.mapping()+"&key=copied&size=0", "done"); err != nil {
		return err
	}
	scope := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s-%d", p.scope, p.buckets))
	object := url.QueryEscape("capdo.ledger.v1:" + scope + ":0/1")
	const chunk = 50_000
	for from := 0; from < p.keys; from += chunk {
		path := fmt.Sprintf("/fill?object=%s&key=copied&from=%d&to=%d", object, from,
			min(from+chunk, p.keys))
		if err := s.ask(path, "filled"); err != nil {
			return err
		}
	}
	return nil
}

// wake has the point's objects constructed, unless they are to be asleep.
func (p *point) wake(s *server) error {
	if p.asleep || p.filled || p.keys == 1 {
		return nil
	}
	return p.claimAll(s)
}

func (s *server) constructed() (int, error) {
	b, err := s.send("GET", "/constructed", nil)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(b))
}

// choosePoints keeps the points whose axis/operation/x begins with one of those
// that are named.
func choosePoints(axes []*axis, only string) (chosen []*axis, err error) {
	for _, a := range axes {
		var points []*point
		for _, p := range a.points {
			for name := range strings.SplitSeq(only, ";") {
				if strings.HasPrefix(p.id(a), name) {
					points = append(points, p)
					break
				}
			}
		}
		if a.points = points; len(points) > 0 {
			chosen = append(chosen, a)
		}
	}
	if len(chosen) == 0 {
		err = fmt.Errorf("nothing is named %s\nhint: such as keys/new/1,000,000; "+
			"separate several by ;", only)
	}
	return chosen, err
}

// growthRun is what the flags ask for.
type growthRun struct {
	only          string
	quick, report bool
	replace       bool // the axes that are named
	pprof, out    string
}

func (p *plan) runGrowth(ctx context.Context, run growthRun) error {
	axes := growthAxes(run.quick)
	if run.report {
		g, err := readGrowth(run.out)
		if err != nil {
			return err
		}
		return g.write(run.out, axes)
	}
	axes, err := choosePoints(axes, run.only)
	if err != nil {
		return err
	}
	if run.pprof != "" {
		points := axes[len(axes)-1].points
		point := points[len(points)-1]
		w := point.work()
		w.limit = 0
		return p.profileOf(ctx, growthPeer, w, point.callers, run.pprof)
	}
	save := func(g *Growth) error { g.Quick = run.quick; return g.write(run.out, axes) }
	switch {
	case run.replace:
		save = func(g *Growth) error {
			all, err := readGrowth(run.out)
			if err != nil {
				return err
			}
			all.replace(g)
			return all.write(run.out, growthAxes(false))
		}
	case run.only != "":
		save = func(g *Growth) error { g.printTable(os.Stdout); return nil }
	}
	return p.growth(ctx, axes, run.only == "", save)
}

// growth measures the axes, and what keys take if it is to. It saves what it has
// after each: a run that is interrupted has not been for nothing.
func (p *plan) growth(
	ctx context.Context, axes []*axis, storage bool, save func(*Growth) error,
) error {
	b, err := newBuilder()
	if err != nil {
		return err
	}
	defer b.remove()
	steps := 1
	for _, a := range axes {
		steps += len(a.points) * (2 + p.rounds)
	}
	bar := progressbar.NewOptions(steps, progressbar.OptionSetWriter(p.progress),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true),
		progressbar.OptionSetDescription("building"))
	defer bar.Close()
	g := &Growth{Date: time.Now().UTC().Format(time.DateOnly), Versions: versions(b),
		Rounds: p.rounds, Runs: map[string]Run{}}
	modules, err := b.modules(ctx, growthPeer)
	if err != nil {
		return err
	}
	bar.Add(1)
	for _, a := range axes {
		before := machineLoad()
		if err := p.growthOf(ctx, b, modules, a, g, bar); err != nil {
			return err
		}
		g.Runs[a.name] = Run{g.Date, before, machineLoad()}
		if a == axes[len(axes)-1] && storage {
			bar.Describe("storage")
			if g.Storage, err = p.storage(ctx, b, modules); err != nil {
				return err
			}
		}
		if err := save(g); err != nil {
			return err
		}
	}
	return nil
}

// growthOf measures one axis, its points in turns.
func (p *plan) growthOf(
	ctx context.Context, b *builder, modules map[string]string, a *axis, g *Growth, bar *progressbar.ProgressBar,
) error {
	s, err := b.start(ctx, growthPeer, modules, false)
	if err != nil {
		return err
	}
	defer s.stop()
	var rows []*Point
	for _, point := range a.points {
		bar.Describe("preparing " + point.id(a))
		if err := point.prepare(s); err != nil {
			return fmt.Errorf("%s: %w\n%s", point.id(a), err, s.Log())
		}
		bar.Add(1)
		rows = append(rows, &Point{Axis: a.name, Op: point.op, X: point.x,
			Row: Row{Work: point.title, Peer: growthPeer.Name, Callers: point.callers}})
	}
	for round := range p.rounds + 1 { // in the first one V8 compiles: it does not count
		for i, point := range a.points {
			bar.Describe(point.id(a))
			row := rows[i]
			if round == 0 {
				row = &Point{}
			}
			if err := row.measure(ctx, s, point); err != nil {
				return err
			}
			bar.Add(1)
		}
	}
	for _, row := range rows {
		row.summarize()
		row.Constructed /= float64(row.Requests)
		g.Points = append(g.Points, *row)
	}
	return nil
}

// measure adds a round. Objects that were asleep are evicted again before
// anything else is measured.
func (r *Point) measure(ctx context.Context, s *server, p *point) error {
	if p.asleep {
		defer time.Sleep(idle)
	}
	if err := p.wake(s); err != nil {
		return err
	}
	before, err := s.constructed()
	if err != nil {
		return err
	}
	m, err := measure(ctx, s, p.work(), p.callers, 2*time.Minute)
	if err != nil {
		return err
	}
	after, err := s.constructed()
	r.Constructed += float64(after - before)
	r.measurements = append(r.measurements, m)
	return err
}
