//go:build !js

package stress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"time"
)

// op is an operation, as in the Worker.
type op struct {
	Kind   string   `json:"kind"`
	Object string   `json:"object"`
	ID     string   `json:"id"`
	Path   []string `json:"path"`
	N      int      `json:"n"`
	Wait   int      `json:"wait"`
}

func (o *op) path() string {
	b, _ := json.Marshal(o)
	return "/do?op=" + url.QueryEscape(string(b))
}

func pick(r *rand.Rand) string { return actor(r.IntN(10)) }

func actor(n int) string { return fmt.Sprint("actor ", n) }

// draw makes a random operation. With cycles, the objects that it calls may
// call back. Without, each object calls only objects with larger numbers.
func draw(r *rand.Rand, id string, cycles bool) *op {
	o := &op{ID: id, Object: actor(r.IntN(6)), N: r.IntN(100), Wait: r.IntN(8)}
	if r.IntN(8) == 0 {
		o.Wait *= 20
	}
	for range 1 + r.IntN(4) {
		o.Path = append(o.Path, actor(6+r.IntN(4)))
	}
	if cycles && r.IntN(2) == 0 {
		o.Path[r.IntN(len(o.Path))] = o.Object
	}
	if !cycles {
		slices.Sort(o.Path)
		o.Path = slices.Compact(o.Path)
	}
	kinds := inObjects
	if r.IntN(3) == 0 {
		kinds, o.Object = anywhere, ""
	}
	o.Kind = kinds[r.IntN(len(kinds))]
	if o.Object != "" && !slices.Contains(anywhere, o.Kind) {
		o.Object = pick(r)
	}
	switch o.Kind {
	case "fan", "socket":
		o.N = 1 + o.N%12
	case "deadline":
		o.N = o.N % 10
	case "echo", "store":
		o.N = 1 << r.IntN(18)
	case "garbage":
		o.N *= 20
	}
	return o
}

var (
	anywhere  = []string{"fan", "cycle", "later", "wait", "wait", "below", "deadline", "echo", "socket", "garbage", "panic"}
	inObjects = append([]string{"sync", "sync", "sync", "async", "async", "section", "lock", "lock", "slow", "slow", "rollback", "parked", "store"}, anywhere...)
)

// additions returns the counters of the operation's additions, by id.
func (o *op) additions() map[string]place {
	switch o.Kind {
	case "sync", "async", "section", "lock":
		return map[string]place{o.ID: {o.Object, ""}}
	case "slow":
		return map[string]place{o.ID: {o.Object, "slow "}}
	case "deadline":
		return map[string]place{o.ID: {o.Path[0], "slow "}}
	case "later":
		return map[string]place{o.ID: {o.Path[0], ""}}
	case "cycle":
		return map[string]place{o.ID: {o.Path[len(o.Path)-1], ""}}
	case "fan":
		all := map[string]place{}
		for i := range o.N {
			all[fmt.Sprintf("%s.%d", o.ID, i)] = place{o.Path[i%len(o.Path)], ""}
		}
		return all
	}
	return nil
}

// name returns the name of an actor in this round.
func (l *lab) name(actor string) string { return fmt.Sprintf("%s of round %d", actor, l.round) }

func (l *lab) rename(o *op) {
	if o.Object != "" {
		o.Object = l.name(o.Object)
	}
	for i, object := range o.Path {
		o.Path[i] = l.name(object)
	}
}

// client runs one operation after another.
func (l *lab) client(number int, r *rand.Rand, end time.Time) {
	for n := 0; time.Now().Before(end) && !l.t.Failed(); n++ {
		o := draw(r, fmt.Sprintf("%d-%d", number, n), len(l.faults) == 0)
		l.rename(o)
		patience := time.Duration(0)
		if r.IntN(15) == 0 {
			patience = time.Duration(1+r.IntN(40)) * time.Millisecond
		}
		l.do(o, patience)
	}
}

// do runs an operation. It disconnects after patience, unless that is 0.
func (l *lab) do(o *op, patience time.Duration) {
	additions := o.additions()
	l.note(additions, func(s *sums, id string) { s.attempted[id] = true })
	if o.Kind == "rollback" || o.Kind == "parked" {
		l.note(map[string]place{o.ID: {o.Object, ""}}, func(s *sums, id string) { s.forbidden[id] = true })
	}
	l.count("operations")
	if patience > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if _, err := l.get(l.leaving, ctx, o.path()); errors.Is(err, context.DeadlineExceeded) {
			l.count("cancellations")
		}
		return
	}
	body, err := l.get(l.patient, context.Background(), o.path())
	if err != nil {
		l.judge(fmt.Sprintf("%+v", *o), err)
		return
	}
	var ids []string
	if err := json.Unmarshal([]byte(body), &ids); err != nil {
		l.t.Errorf("%+v: %v: %s", *o, err, body)
	}
	if o.Kind != "later" && o.Kind != "deadline" && len(ids) != len(additions) {
		l.t.Errorf("%+v has %d additions, but only %v are acknowledged", *o, len(additions), ids)
	}
	for _, id := range ids {
		if p, ok := additions[id]; ok {
			l.note(map[string]place{id: p}, func(s *sums, id string) { s.acknowledged[id] = true })
		} else {
			l.t.Errorf("%+v: %s is acknowledged", *o, id)
		}
	}
}

// note records a fact about additions.
func (l *lab) note(additions map[string]place, f func(s *sums, id string)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, p := range additions {
		s := l.objects[p]
		if s == nil {
			s = &sums{map[string]bool{}, map[string]bool{}, map[string]bool{}}
			l.objects[p] = s
		}
		f(s, id)
	}
}

// added is what an object knows of additions.
type added struct {
	N   int
	IDs []string
}

// added asks an object for its additions. If a call from before the last fault
// is still open in the object, then the object is reset, and the first questions
// can fail, too.
func (l *lab) added(p place) (a added, err error) {
	path := "/added?object=" + url.QueryEscape(p.object) + "&prefix=" + url.QueryEscape(p.prefix)
	var body string
	for range 5 {
		if body, err = l.get(l.patient, context.Background(), path); err == nil {
			return a, json.Unmarshal([]byte(body), &a)
		}
		if !l.isExplained(err) {
			break
		}
	}
	return a, err
}

// checkSums compares the objects' counts with the known additions.
func (l *lab) checkSums() {
	for p, s := range l.objects {
		a, err := l.added(p)
		if err != nil {
			l.t.Errorf("%v: %v", p, err)
			continue
		}
		l.figures["additions"] += len(a.IDs)
		if a.N != len(a.IDs) {
			l.t.Errorf("%v has counted %d of %d additions", p, a.N, len(a.IDs))
		}
		for _, id := range a.IDs {
			if !s.attempted[id] || s.forbidden[id] {
				l.t.Errorf("%v has %s, which was rolled back or never sent", p, id)
			}
			delete(s.acknowledged, id)
		}
		for id := range s.acknowledged {
			l.t.Errorf("%v has lost %s, which it had acknowledged", p, id)
		}
	}
}

// tables are the sizes of the runtime's tables.
type tables struct {
	Contexts, Open, Idle, Encoded, Timers, InFlight, Calls, Sockets, Refs int // JavaScript's
	Goroutines                                                            int // Go's
}

// checkTables waits until the runtime holds nothing. An idle object leaves
// after 10 s, or 40 s after workerd has reset it.
func (l *lab) checkTables() {
	var s tables
	var err error
	for end := time.Now().Add(l.within + 20*time.Second); time.Now().Before(end) && !l.t.Failed(); time.Sleep(200 * time.Millisecond) {
		var heap, body string
		l.get(l.patient, context.Background(), "/gc") // a WebSocket whose answer was lost stays open until V8 collects its other end
		if heap, err = l.get(l.patient, context.Background(), "/heap"); err != nil {
			continue
		}
		if body, err = l.get(l.patient, context.Background(), "/stats"); err != nil {
			continue
		}
		s = tables{}
		json.Unmarshal([]byte(heap), &s)
		json.Unmarshal([]byte(body), &s)
		rest := s
		rest.Goroutines = 0
		rest.Timers = 0                                                // the Go runtime has one timer of its own
		if rest == (tables{}) && s.Timers <= 1 && s.Goroutines <= 45 { // 32 wait for the next invocation
			return
		}
	}
	l.t.Errorf("these are left: %+v, %v", s, err)
}
