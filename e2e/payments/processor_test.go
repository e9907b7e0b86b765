//go:build !js

package payments

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"
)

// processor is a payment processor outside of the Worker. It charges each time
// it is told to, unless it supports idempotency keys or fences.
type processor struct {
	keys    bool // charges a reference once
	fences  bool // refuses a fence smaller than the largest seen
	late    bool // may charge after its caller has given up
	trouble bool // fails at random
	script  map[string][]string

	mu       sync.Mutex
	charges  map[string][]charge // by reference
	largest  map[string]int64    // largest fence, by reference
	requests map[string]int      // requests to charge, by reference
	asked    int
	troubles map[string]int
	charged  func() // called once, after the next charge
	n        int
}

type charge struct {
	receipt string
	cents   int64
}

// open serves the processor and returns its URL.
func (p *processor) open(t *testing.T) string {
	p.charges, p.largest, p.requests, p.troubles = map[string][]charge{}, map[string]int64{}, map[string]int{}, map[string]int{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /payments/{reference}", p.pay)
	mux.HandleFunc("GET /payments/{reference}", p.find)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// next returns what goes wrong with a request to charge, at most three times
// for a reference.
func (p *processor) next(reference string) (what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests[reference]++
	if list := p.script[reference]; len(list) > 0 {
		what, p.script[reference] = list[0], list[1:]
	}
	if p.trouble && p.requests[reference] <= 3 {
		all := []string{"", "busy", "breaks before", "breaks after", "slow", "late"}
		if !p.late {
			all = all[:5]
		}
		what = all[rand.IntN(len(all))]
		p.troubles[what]++
	}
	return what
}

func (p *processor) pay(w http.ResponseWriter, r *http.Request) {
	reference := r.PathValue("reference")
	cents, err := strconv.ParseInt(r.URL.Query().Get("cents"), 10, 64)
	fence, fenceErr := strconv.ParseInt(r.Header.Get("Fence"), 10, 64)
	if err != nil || fenceErr != nil || r.Header.Get("Idempotency-Key") != strconv.Quote(reference) {
		http.Error(w, "cents, fence and key are required", http.StatusBadRequest)
		return
	}
	what := p.next(reference)
	switch what {
	case "busy":
		http.Error(w, "busy, nothing was done", http.StatusServiceUnavailable)
		return
	case "breaks before":
		panic(http.ErrAbortHandler)
	case "late":
		time.Sleep(bankPatience + time.Duration(rand.IntN(3000))*time.Millisecond)
	}
	receipt := p.charge(reference, fence, cents)
	switch {
	case what == "breaks after":
		panic(http.ErrAbortHandler)
	case what == "slow":
		time.Sleep(bankPatience + 300*time.Millisecond)
	case what == "killed" || what == "left":
		time.Sleep(bankPatience / 2)
	case receipt == "":
		http.Error(w, "another was here", http.StatusConflict)
		return
	}
	fmt.Fprintln(w, receipt)
}

// charge charges if it may, and returns the receipt.
func (p *processor) charge(reference string, fence, cents int64) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fences && fence < p.largest[reference] {
		return ""
	}
	p.largest[reference] = max(p.largest[reference], fence)
	if list := p.charges[reference]; p.keys && len(list) > 0 {
		return list[0].receipt
	}
	p.n++
	c := charge{fmt.Sprint("receipt ", p.n), cents}
	p.charges[reference] = append(p.charges[reference], c)
	if p.charged != nil {
		p.charged()
		p.charged = nil
	}
	return c.receipt
}

// find answers what was charged. From then on smaller fences are refused.
func (p *processor) find(w http.ResponseWriter, r *http.Request) {
	reference := r.PathValue("reference")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if p.trouble && rand.IntN(5) == 0 {
		panic(http.ErrAbortHandler)
	}
	if fence, _ := strconv.ParseInt(r.Header.Get("Fence"), 10, 64); p.fences {
		p.largest[reference] = max(p.largest[reference], fence)
	}
	if list := p.charges[reference]; len(list) > 0 {
		fmt.Fprintf(w, `{"cents":%d,"receipt":%q}`, list[0].cents, list[0].receipt)
		return
	}
	http.Error(w, "nothing was charged", http.StatusNotFound)
}

func (p *processor) onCharge(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.charged = f
}

func (p *processor) receipt(reference string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.charges[reference]) == 0 {
		return ""
	}
	return p.charges[reference][0].receipt
}

func (p *processor) count(reference string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.charges[reference])
}

func (p *processor) posts(reference string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[reference]
}
