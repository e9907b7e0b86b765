//go:build !js

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// crossings maps each kind of crossing between JavaScript and Go to its number
// per request. "worker > invoke" enters Go for the Worker. "worker < take" is a
// call from Go.
type crossings map[string]float64

// into returns how often Go is entered for the Worker or for objects.
func (c crossings) into(where string) (n float64) {
	for what, times := range c {
		if strings.HasPrefix(what, where+" > ") {
			n += times
		}
	}
	return n
}

// counting starts a version of a peer that counts its crossings.
func (b *builder) counting(ctx context.Context, p *peer) (*server, error) {
	c := *p
	c.Main = "counting.mjs"
	modules, err := b.modules(ctx, &c)
	if err != nil {
		return nil, err
	}
	return b.start(ctx, &c, modules, false)
}

// crossings counts the crossings of n requests, sent one after another. The
// objects exist already.
func (s *server) crossings(ctx context.Context, w *work, n int) (crossings, error) {
	do, done, err := w.caller(ctx, s, 0)
	if err != nil {
		return nil, err
	}
	defer done()
	var counts crossings
	for _, repeat := range []int{takenKeys, n} {
		if _, err := s.send("GET", "/crossings", nil); err != nil {
			return nil, err
		}
		for range repeat {
			s.serial++
			if err := do(s.serial); err != nil {
				return nil, err
			}
		}
		b, err := s.send("GET", "/crossings", nil)
		if err != nil {
			return nil, err
		}
		counts = nil
		if err := json.Unmarshal(b, &counts); err != nil {
			return nil, err
		}
	}
	for what := range counts {
		counts[what] /= float64(n)
	}
	return counts, nil
}

// printCrossings prints a table of the crossings of the selected kinds of work.
func (p *plan) printCrossings(ctx context.Context, w io.Writer) error {
	b, err := newBuilder()
	if err != nil {
		return err
	}
	defer b.remove()
	for _, peer := range p.peers {
		if !peer.Capdo {
			continue
		}
		s, err := b.counting(ctx, peer)
		if err != nil {
			return err
		}
		err = p.printCrossingsOf(ctx, w, s)
		s.stop()
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *plan) printCrossingsOf(ctx context.Context, w io.Writer, s *server) error {
	for _, work := range p.works {
		if !work.isFor(s.peer) {
			continue
		}
		if err := work.ready(s); err != nil {
			return err
		}
		c, err := s.crossings(ctx, work, 100)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s, %s: into Go %.2f in the Worker, %.2f in objects\n", s.Title, work.Title,
			c.into("worker"), c.into("object"))
		for _, what := range slices.Sorted(maps.Keys(c)) {
			fmt.Fprintf(w, "\t%.2f\t%s\n", c[what], what)
		}
	}
	return nil
}
