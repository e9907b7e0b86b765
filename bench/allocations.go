//go:build !js

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// allocatingPeer counts Go's heap allocations; see its program.
var allocatingPeer = &peer{Name: "allocations", Title: "a Worker that claims", Main: "capdo.mjs",
	Go: "allocations", Capdo: true}

// allocation is a kind of request whose allocations are counted.
type allocation struct {
	title  string
	path   string // the key follows
	isNew  bool   // each request has a new key
	answer string
}

// A request of the first kind makes no claim. The others are compared with it.
var allocationKinds = []allocation{
	{"no claim", "/nothing/", false, "done"},
	{"claim of a taken key", "/claim/taken-", false, "in progress"},
	{"claim of a new key", "/claim/new-", true, "acquired"},
	{"put_if_absent of a taken key", "/put/taken-", false, "in progress"},
	{"put_if_absent of a new key", "/put/new-", true, "acquired"},
}

// The parts of a request.
const (
	inWorker      = "Worker"
	inObject      = "object"
	inConstructor = "constructor"
	inRuntime     = "runtime" // of both, before and after the handlers
)

// allocations are Go's heap allocations per request. The sites lack small ones
// that share a block of memory with others.
type allocations struct {
	All   float64
	Sites []allocationSite // the largest first
}

type allocationSite struct {
	Count float64
	Part  string
	Where string
}

// of returns the number of the known allocations in a part.
func (a *allocations) of(part string) (n float64) {
	for _, s := range a.Sites {
		if s.Part == part {
			n += s.Count
		}
	}
	return n
}

// startAllocating starts the peer that counts.
func (b *builder) startAllocating(ctx context.Context) (*server, error) {
	modules, err := b.modules(ctx, allocatingPeer)
	if err != nil {
		return nil, err
	}
	return b.start(ctx, allocatingPeer, modules, false)
}

// allocations counts the allocations of n requests, sent one after another.
func (s *server) allocations(kind allocation, n int) (allocations, error) {
	request := func(n int, anyAnswer bool) error {
		for i := range n {
			s.serial++
			key := strconv.Itoa(i % takenKeys)
			if kind.isNew {
				key = strconv.Itoa(s.serial)
			}
			b, err := s.send("GET", kind.path+key, nil)
			if err == nil && string(b) != kind.answer && !anyAnswer {
				err = fmt.Errorf("%s%s: %q", kind.path, key, b)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	if err := request(takenKeys, true); err != nil { // takes the keys
		return allocations{}, err
	}
	if err := request(takenKeys, false); err != nil {
		return allocations{}, err
	}
	before, err := s.allocatedAt()
	if err != nil {
		return allocations{}, err
	}
	all, err := s.allocated()
	if err != nil {
		return allocations{}, err
	}
	if err := request(n, false); err != nil {
		return allocations{}, err
	}
	more, err := s.allocated()
	if err != nil {
		return allocations{}, err
	}
	after, err := s.allocatedAt()
	if err != nil {
		return allocations{}, err
	}
	return allocations{float64(more-all) / float64(n), before.until(after, n)}, nil
}

// allocated returns how often the peer has allocated so far.
func (s *server) allocated() (int, error) {
	b, err := s.send("GET", "/count", nil)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(b))
}

// stacks are where the peer has allocated so far.
type stacks []struct {
	Count int
	Stack []string
}

func (s *server) allocatedAt() (at stacks, err error) {
	b, err := s.send("GET", "/sites", nil)
	if err == nil {
		err = json.Unmarshal(b, &at)
	}
	return at, err
}

// until returns where n requests between two counts have allocated.
func (at stacks) until(later stacks, n int) (sites []allocationSite) {
	counts := map[allocationSite]float64{}
	add := func(at stacks, sign int) {
		for _, s := range at {
			site := allocationSite{Part: partOf(s.Stack), Where: whereIn(s.Stack)}
			if !strings.Contains(site.Where, "main.sites ") {
				counts[site] += float64(sign*s.Count) / float64(n)
			}
		}
	}
	add(at, -1)
	add(later, 1)
	for site, count := range counts {
		if count > 0 {
			sites = append(sites, allocationSite{count, site.Part, site.Where})
		}
	}
	slices.SortFunc(sites, func(a, b allocationSite) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Where, b.Where))
	})
	return sites
}

func partOf(stack []string) string {
	for _, f := range stack {
		switch {
		case strings.HasPrefix(f, "flow.internal/capdo/durable.Register[...].func1 "),
			strings.HasPrefix(f, "flow.internal/capdo/durable.newState "):
			return inConstructor
		case strings.HasPrefix(f, "flow.internal/capdo/durable.Register[...].func"):
			return inObject
		case strings.HasPrefix(f, "flow.internal/capdo/durable.serveFetch "):
			return inWorker
		}
	}
	return inRuntime
}

// whereIn returns the innermost two functions of this module, and what they
// called to allocate.
func whereIn(stack []string) string {
	var where []string
	for i, f := range stack {
		f, own := strings.CutPrefix(f, "flow.internal/capdo/")
		own = own || strings.HasPrefix(f, "main.")
		if !own {
			continue
		}
		if len(where) == 0 && i > 0 {
			name, _, _ := strings.Cut(stack[i-1], " ")
			where = append(where, name)
		}
		if where = append(where, f); len(where) == 3 {
			break
		}
	}
	if len(where) == 0 {
		return stack[0]
	}
	return strings.Join(where, " < ")
}

// printAllocations prints the allocations of each kind of request.
func printAllocations(ctx context.Context, w io.Writer, n int) error {
	b, err := newBuilder()
	if err != nil {
		return err
	}
	defer b.remove()
	s, err := b.startAllocating(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	var none allocations
	for i, kind := range allocationKinds {
		a, err := s.allocations(kind, n)
		if err != nil {
			return err
		}
		if i == 0 {
			none = a
		}
		fmt.Fprintf(w, "%s: %.2f allocations per request, %.2f more than without a claim\n",
			kind.title, a.All, a.All-none.All)
		known := 0.0
		for _, part := range []string{inWorker, inObject, inConstructor, inRuntime} {
			known += a.of(part)
			fmt.Fprintf(w, "\t%.2f\t%s\n", a.of(part), part)
		}
		fmt.Fprintf(w, "\t%.2f\tsmall ones that share a block\n", a.All-known)
		for _, site := range a.Sites {
			if site.Count >= 0.05 { // the rest is of the Go runtime and of the count
				fmt.Fprintf(w, "\t\t%.2f\t%s\t%s\n", site.Count, site.Part, site.Where)
			}
		}
	}
	return nil
}
