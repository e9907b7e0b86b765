//go:build !js

// Bench compares capdo with other ways to write the same Worker: two in
// JavaScript, and a simple port in Go. One driver puts the same load on each, in
// rounds in which they take turns, and checks every answer. It writes RESULTS.md,
// and the figures and their charts to the folder results.
//
//	go run ./bench [-quick] [-only hello,taken] [-peers js-rpc,nethttp]
//
// With -growth it measures instead how cost grows with objects, keys, sizes and
// callers, and writes GROWTH.md.
//
//	go run ./bench -growth [-quick] [-only keys/new]
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
)

// plan defines what is measured, and how long.
type plan struct {
	rounds   int
	callers  []int
	duration time.Duration // of one measurement
	warm     time.Duration // of each kind of work, before the rounds
	cold     int           // number of cold starts
	works    []*work
	peers    []*peer
	progress io.Writer
}

func main() {
	quick := flag.Bool("quick", false, "measure for less than two minutes: the figures vary more")
	only := flag.String("only", "",
		"names of the kinds of work to measure (default all); the output is only a table")
	names := flag.String("peers", "", "names of the peers to measure (default all)")
	callers := flag.String("callers", "1,16,64", "numbers of callers")
	rounds := flag.Int("rounds", 0, "number of rounds (default 3, or 2 with -quick)")
	pprof := flag.String("pprof", "",
		"instead record the CPU use of one kind of work in one peer, to this file, "+
			"for go tool pprof")
	count := flag.Bool("crossings", false,
		"instead count how often a request crosses between JavaScript and Go")
	allocs := flag.Int("allocations", 0,
		"instead count Go's heap allocations per claim, over this number of claims of each kind")
	again := flag.Bool("report", false,
		"instead write the page and the charts again, from results/results.json")
	grow := flag.Bool("growth", false, "instead measure how cost grows, and write GROWTH.md; "+
		"-only has names such as keys/new/1,000, separated by ;")
	replace := flag.Bool("replace", false,
		"with -growth: put what -only names, whole axes, in the place of what GROWTH.md has")
	out := flag.String("o", "bench", "folder of RESULTS.md, GROWTH.md and results")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	p := plan{rounds: 3, duration: 440 * time.Millisecond, warm: 2 * time.Second, cold: 7,
		progress: os.Stderr}
	if *quick {
		*callers = "1,16"
		p.rounds, p.duration, p.warm, p.cold = 2, 150*time.Millisecond, 200*time.Millisecond, 3
	}
	if *rounds > 0 {
		p.rounds = *rounds
	}
	if *grow {
		exit(p.runGrowth(ctx, growthRun{*only, *quick, *again, *replace, *pprof, *out}))
	}
	err := p.choose(*only, *names, *callers)
	var r *Results
	switch {
	case err != nil:
	case *again:
		r, err = readResults(*out)
	case *allocs > 0:
		err = printAllocations(ctx, os.Stdout, *allocs)
	case *count:
		err = p.printCrossings(ctx, os.Stdout)
	case *pprof != "":
		err = p.profileOf(ctx, p.peers[0], p.works[0], p.callers[0], *pprof)
	default:
		r, err = p.run(ctx)
	}
	switch {
	case err != nil || r == nil:
	case *only != "" || *names != "":
		r.printTable(os.Stdout, p.works, p.peers, p.callers)
	default:
		r.Quick = r.Quick || *quick
		err = r.write(*out)
	}
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error: "+err.Error())
		os.Exit(1)
	}
	os.Exit(0)
}

// choose selects the named kinds of work, peers and numbers of callers.
func (p *plan) choose(only, names, callers string) error {
	for _, w := range works {
		if only == "" || slices.Contains(strings.Split(only, ","), w.Name) {
			p.works = append(p.works, w)
		}
	}
	for _, s := range append(peers[:len(peers):len(peers)], objectPeer) {
		if names == "" || slices.Contains(strings.Split(names, ","), s.Name) {
			p.peers = append(p.peers, s)
		}
	}
	if len(p.works) == 0 || len(p.peers) == 0 {
		return fmt.Errorf("there is no such work, or no such peer"+
			"\nhint: works are %s; peers are %s",
			list(works, func(w *work) string { return w.Name }),
			list(append(peers, objectPeer), func(p *peer) string { return p.Name }))
	}
	for _, text := range strings.Split(callers, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxCallers {
			return fmt.Errorf("%q is not a number of callers from 1 to %d", text, maxCallers)
		}
		p.callers = append(p.callers, n)
	}
	return nil
}

func list[T any](all []T, name func(T) string) string {
	var names []string
	for _, v := range all {
		names = append(names, name(v))
	}
	return strings.Join(names, ", ")
}

// run measures everything.
func (p *plan) run(ctx context.Context) (*Results, error) {
	b, err := newBuilder()
	if err != nil {
		return nil, err
	}
	defer b.remove()
	bar := progressbar.NewOptions(p.steps(), progressbar.OptionSetWriter(p.progress),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(200*time.Millisecond),
		progressbar.OptionSetDescription("building"))
	defer bar.Close()
	r := &Results{Date: time.Now().UTC().Format(time.DateOnly), Versions: versions(b),
		Rounds: p.rounds, LoadBefore: machineLoad()}
	defer func() { r.LoadAfter = machineLoad() }()
	built := map[string]map[string]string{}
	for _, s := range append([]*peer{emptyPeer}, p.peers...) {
		if built[s.Name], err = b.modules(ctx, s); err != nil {
			return nil, err
		}
		bar.Add(1)
	}
	if r.Sizes, err = b.sizes(ctx); err != nil {
		return nil, err
	}
	if err := p.coldStarts(ctx, b, built, r, bar); err != nil {
		return nil, err
	}
	return r, p.requests(ctx, b, built, r, bar)
}

// steps returns the number of steps of the progress bar.
func (p *plan) steps() int {
	return 1 + len(p.peers) + p.cold*(1+len(p.peers)) +
		len(p.peers)*len(p.works)*(1+p.rounds*len(p.callers))
}

// requests measures requests under load.
func (p *plan) requests(
	ctx context.Context, b *builder, built map[string]map[string]string, r *Results, bar *progressbar.ProgressBar,
) error {
	var servers []*server
	for _, peer := range p.peers {
		s, err := b.start(ctx, peer, built[peer.Name], false)
		if err != nil {
			return err
		}
		defer s.stop()
		servers = append(servers, s)
	}
	if err := p.warmUp(ctx, servers, bar); err != nil {
		return err
	}
	if err := p.measureAll(ctx, servers, r, bar); err != nil {
		return err
	}
	for i := range r.Requests {
		r.Requests[i].summarize()
	}
	for _, s := range servers {
		m, err := s.memory()
		if err != nil {
			return err
		}
		r.Memory = append(r.Memory, m)
	}
	return nil
}

// warmUp prepares each kind of work, and makes V8 compile the code that serves
// it.
func (p *plan) warmUp(ctx context.Context, servers []*server, bar *progressbar.ProgressBar) error {
	bar.Describe("warming up")
	for _, s := range servers {
		for _, w := range p.works {
			bar.Add(1)
			if !w.isFor(s.peer) {
				continue
			}
			if err := w.ready(s); err != nil {
				return fmt.Errorf("%s: %w\n%s", s.Name, err, s.Log())
			}
			// work with a limit of requests is soon done, so it is repeated
			for start, n := time.Now(), 0; n < 4 && time.Since(start) < p.warm; n++ {
				if _, err := measure(ctx, s, w, min(slices.Max(p.callers), 16), p.warm); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// measureAll measures in rounds. For each kind of work in a round, the peers
// take turns. In each round another peer begins.
func (p *plan) measureAll(
	ctx context.Context, servers []*server, r *Results, bar *progressbar.ProgressBar,
) error {
	for round := range p.rounds {
		bar.Describe(fmt.Sprintf("round %d of %d", round+1, p.rounds))
		for _, w := range p.works {
			for _, callers := range p.callers {
				for i := range servers {
					bar.Add(1)
					if err := r.measure(ctx,
						servers[(i+round)%len(servers)], w, callers, p.duration); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

func (r *Results) measure(
	ctx context.Context, s *server, w *work, callers int, d time.Duration,
) error {
	if !w.isFor(s.peer) {
		return nil
	}
	m, err := measure(ctx, s, w, callers, d)
	if err != nil {
		return err
	}
	row := r.row(w.Name, s.Name, callers)
	if row == nil {
		r.Requests = append(r.Requests, Row{Work: w.Name, Peer: s.Name, Callers: callers})
		row = &r.Requests[len(r.Requests)-1]
	}
	row.measurements = append(row.measurements, m)
	return nil
}
