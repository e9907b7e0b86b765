//go:build !js

package proof

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// death is a holder whose lease ran out.
type death struct {
	target, key string
	fence       int64
}

// reports is the server that the Worker reports to. It says what OnExpired does
// then: for the first few times of a holder's it fails.
type reports struct {
	address string

	mu     sync.Mutex
	times  map[death]int // how often it was told
	fails  map[death]int // how often it fails
	heard  map[death]bool
	failed int
	calm   bool // it does not fail any more
	works  works
}

func newReports(t testing.TB) *reports {
	r := &reports{times: map[death]int{}, fails: map[death]int{}, heard: map[death]bool{}}
	r.works.keys = map[string][]*work{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /work", r.works.serve)
	mux.HandleFunc("POST /expired", func(w http.ResponseWriter, req *http.Request) { io.WriteString(w, r.expired(req.URL.Query())) })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	r.address = strings.TrimPrefix(server.URL, "http://")
	return r
}

func (r *reports) expired(q url.Values) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	fence, _ := strconv.ParseInt(q.Get("fence"), 10, 64)
	d := death{q.Get("target"), q.Get("key"), fence}
	if _, ok := r.fails[d]; !ok {
		r.fails[d] = anyOf(0, 0, 1, 1, 2)
	}
	r.times[d]++
	if r.calm || r.times[d] > r.fails[d] {
		r.heard[d] = true
		return "ok"
	}
	r.failed++
	what := anyOf("an error", "an error", "panic", "panic", "goexit", "hang")
	switch {
	case what == "hang":
		r.mu.Unlock()
		time.Sleep(300 * time.Millisecond)
		r.mu.Lock()
	case rand.IntN(30) == 0:
		return "crash"
	}
	return what
}

// unheard are those of the holders that nobody was told of.
func (r *reports) unheard(all []death) (list []death) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range all {
		if !r.heard[d] {
			list = append(list, d)
		}
	}
	return list
}

// deaths are holders whose leases certainly ran out: nothing that may have
// ended a lease was done to their keys.
func (h *history) deaths() (list []death) {
	for _, o := range h.ops {
		in, out := o.Input.(input), o.Output.(output)
		if in.op == "claim" && strings.HasPrefix(strings.TrimPrefix(in.key, "x"), "dead") && out.fence != 0 {
			target := in.target
			if target == "buckets" {
				target = "ledger" // of the same class
			}
			list = append(list, death{target, in.key, out.fence})
		}
	}
	return list
}

// settleFor is for how long a lab may take, once nothing is done to it any
// more, to tell of the dead and to remove what is over. A holder is told of
// again after ever longer times, each at most as long as the time since the
// lease ended.
const settleFor = 45 * time.Second

// settle fails the test unless every dead holder is told of in the end, every
// record is removed whose time is over, and there are the effects of what was
// committed, and no others.
func (h *history) settle(t testing.TB, l *lab) {
	t.Helper()
	l.reports.mu.Lock()
	l.reports.calm = true
	h.figures[failedCallbacks] += l.reports.failed
	l.reports.mu.Unlock()
	deaths := h.deaths()
	h.figures[toldOf] += len(deaths)
	unheard, left := deaths, []string(nil)
	for begin := time.Now(); time.Since(begin) < settleFor; time.Sleep(100 * time.Millisecond) {
		if unheard = l.reports.unheard(unheard); len(unheard) > 0 {
			continue
		}
		if left = h.left(t, l); len(left) == 0 {
			break
		}
	}
	if len(unheard) > 0 {
		t.Errorf("of %d holders that died nobody was told", len(unheard))
		for _, d := range unheard[:min(5, len(unheard))] {
			p := placesOf(d.target, d.key)[0]
			s, err := l.inspect(p.binding, p.name)
			t.Logf("%+v: told %d times; %d: %+v, %v", d, l.reports.times[d], time.Now().UnixMilli(), s, err)
		}
	}
	if len(left) > 0 {
		t.Errorf("%d records are not removed: %s", len(left), strings.Join(left[:min(5, len(left))], ", "))
	}
	h.checkEffects(t, l)
}

// stored is what an object has stored.
type stored struct {
	Keys, Names, Effects []string
	Alarm                int64 // Unix time in ms; 0 if none is set
}

func (l *lab) inspect(binding, name string) (s stored, err error) {
	resp, err := client.Post(l.URL+"/inspect?"+url.Values{"binding": {binding}, "name": {name}}.Encode(), "", nil)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("inspect %s %s: %s", binding, name, resp.Status)
	}
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// place is an object, and the key there, empty if it keeps only one.
type place struct{ binding, name, key string }

// brief are the places of keys whose windows are over.
func (h *history) brief() (list []place) {
	seen := map[place]bool{}
	for _, o := range h.ops {
		in := o.Input.(input)
		if in.ttl == lasting || in.target == "sequence" || in.target == "racy" {
			continue
		}
		for _, p := range placesOf(in.target, in.key) {
			if !seen[p] {
				seen[p] = true
				list = append(list, p)
			}
		}
	}
	return list
}

func placesOf(target, key string) (list []place) {
	end := base64.RawURLEncoding.EncodeToString([]byte(key))
	switch target {
	case "store":
		return []place{{"DEDUPE", "capdo.dedupe.v1::" + end, ""}}
	case "ledger":
		return []place{{"LEDGER", "capdo.ledger.v1::" + end, ""}}
	case "embedded":
		return []place{{"ACCOUNT", "account-" + key, key}}
	}
	for n := range 4 {
		list = append(list, place{"LEDGER", "capdo.ledger.v1::" + strconv.Itoa(n) + "/4", key})
	}
	return list
}

// left are the places where something is stored that should be gone. Fences may
// stay.
func (h *history) left(t testing.TB, l *lab) (list []string) {
	found := map[place]stored{}
	for _, p := range h.brief() {
		object := place{p.binding, p.name, ""}
		s, ok := found[object]
		if !ok {
			var err error
			if s, err = l.inspect(p.binding, p.name); err != nil {
				t.Logf("%v", err)
				return []string{err.Error()}
			}
			found[object] = s
		}
		is := func(name string) bool { return name != "_capdo_fence" && name != "_capdo_name" }
		if p.key == "" && slices.ContainsFunc(s.Names, is) || slices.Contains(s.Keys, p.key) {
			list = append(list, fmt.Sprintf("%s %s %q: %+v", p.binding, p.name, p.key, s))
		}
	}
	return list
}

// expectEffect notes whether an operation's effect has to be there, if that is
// known.
func (h *history) expectEffect(in input, out output, there bool) {
	h.effects["account-"+in.key] = append(h.effects["account-"+in.key], effect{in, out, there})
}

// effect is whether there has to be one of an operation.
type effect struct {
	input
	output
	there bool
}

func (h *history) checkEffects(t testing.TB, l *lab) {
	t.Helper()
	for name, effects := range h.effects {
		s, err := l.inspect("ACCOUNT", name)
		if err != nil {
			t.Error(err)
			return
		}
		for _, e := range effects {
			if slices.Contains(s.Effects, e.id) != e.there {
				t.Errorf("%s: the effect is there: %v, want %v, of %+v -> %+v", name, !e.there, e.there, e.input, e.output)
			}
		}
	}
}
