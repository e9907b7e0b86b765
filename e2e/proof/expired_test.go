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

// reports is the server to which the Worker reports dead holders. It decides
// what OnExpired does then: the first few notices of a holder fail.
type reports struct {
	address string

	mu     sync.Mutex
	times  map[death]int // number of notices
	fails  map[death]int // number of notices that fail
	heard  map[death]bool
	failed int
	calm   bool // notices do not fail any more
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

// unheard returns those holders that were not reported.
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

// deaths returns the holders whose leases certainly ran out: no operation on
// their keys may have ended a lease.
func (h *history) deaths() (list []death) {
	for _, o := range h.ops {
		in, out := o.Input.(input), o.Output.(output)
		if in.op == "claim" && strings.HasPrefix(strings.TrimPrefix(in.key, "x"), "dead") && out.fence != 0 {
			target := in.target
			if target == "buckets" {
				target = "ledger" // the same class
			}
			list = append(list, death{target, in.key, out.fence})
		}
	}
	return list
}

// settleFor is how long a lab may take, after the last fault, to report the
// dead holders and to remove expired records, in addition to the pause before a
// holder's next notice. These pauses grow, up to the time since its lease ended.
const settleFor = 45 * time.Second

// settle fails the test unless every dead holder is reported in the end, every
// expired record is removed, and exactly the committed effects exist. The
// history has taken the given time.
func (h *history) settle(t testing.TB, l *lab, took time.Duration) {
	t.Helper()
	l.reports.mu.Lock()
	l.reports.calm = true
	h.figures[failedCallbacks] += l.reports.failed
	l.reports.mu.Unlock()
	deaths := h.deaths()
	h.figures[toldOf] += len(deaths)
	unheard, left := deaths, []string(nil)
	for begin := time.Now(); time.Since(begin) < settleFor+took; time.Sleep(100 * time.Millisecond) {
		if unheard = l.reports.unheard(unheard); len(unheard) > 0 {
			continue
		}
		if left = h.left(t, l); len(left) == 0 {
			break
		}
	}
	if len(unheard) > 0 {
		t.Errorf("%d dead holders were never reported", len(unheard))
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

// stored is the content of an object's storage.
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

// place is an object and a key in it. The key is empty if the object has only
// one.
type place struct{ binding, name, key string }

// brief returns the places of keys whose windows have ended.
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

// left returns the places that still have data which should be gone. Fences may
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

// expectEffect records whether an operation's effect must exist, if that is
// known.
func (h *history) expectEffect(in input, out output, there bool) {
	h.effects["account-"+in.key] = append(h.effects["account-"+in.key], effect{in, out, there})
}

// effect tells whether an operation's effect must exist.
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
				t.Errorf("%s: the effect exists: %v, want %v, for %+v -> %+v", name, !e.there, e.there, e.input, e.output)
			}
		}
	}
}
