//go:build !js

package proof

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/internal/sleep"
)

// work is one run of a key's work, as the server that does it sees it.
type work struct {
	id         string
	fence      int64
	takenOver  bool
	begin, end time.Time
	returned   string        // its result; "" if its holder ended it or crashed
	overtaken  chan struct{} // closed when another run of the key begins before this one ends
	by         time.Time     // the time of that
}

// works is the server that does the work of Do.
type works struct {
	mu   sync.Mutex
	keys map[string][]*work
	bad  []string
	most time.Duration // maximum duration of work; if 0 it succeeds at once
}

// endsWithin is how long an overtaken holder may take to end its work. It ends
// it when its lease has ended by its own clock, but it needs CPU time for that.
const endsWithin = 5 * time.Second

func (w *works) serve(rw http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	io.Copy(io.Discard, r.Body)
	now, most := w.start(q.Get("key"), q)
	returned := anyOf("0", "nothing", "nothing", "fails", "panic",
		strconv.Itoa(dedupe.MaxResultSize), strconv.Itoa(dedupe.MaxResultSize+1))
	if most == 0 {
		returned = "0"
	}
	select {
	case <-r.Context().Done():
		returned = ""
	case <-now.overtaken:
		select {
		case <-r.Context().Done():
			returned = ""
		case <-time.After(endsWithin):
			w.wrong("%s: %s was overtaken but continued", q.Get("key"), now.id)
		}
	case <-time.After(rand.N(most + 1)):
	}
	w.mu.Lock()
	now.end, now.returned = time.Now(), returned
	w.mu.Unlock()
	io.WriteString(rw, returned)
}

func (w *works) wrong(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bad = append(w.bad, fmt.Sprintf(format, args...))
}

func (w *works) start(key string, q url.Values) (now *work, most time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fence, _ := strconv.ParseInt(q.Get("fence"), 10, 64)
	now = &work{id: q.Get("id"), fence: fence, takenOver: q.Get("takenover") == "true", begin: time.Now(), overtaken: make(chan struct{})}
	for _, before := range w.keys[key] {
		if before.fence == fence {
			w.bad = append(w.bad, fmt.Sprintf("%s: %s and %s have the same fence", key, before.id, now.id))
		}
		if before.end.IsZero() && before.by.IsZero() {
			before.by = now.begin
			close(before.overtaken)
		}
	}
	w.keys[key] = append(w.keys[key], now)
	return now, w.most
}

// reply is the answer to a caller of Do.
type reply struct {
	key, id   string
	begin, at time.Time
	status    string // "" if unknown
	outcome   string
	result    string
}

const doLease = 900 * time.Millisecond

// Work runs while callers leave at any point, calls are lost or refused, and
// results are too large. Midway workerd is killed and the program crashes;
// otherwise holders are healthy.
func TestWorkOfDoRunsAloneAndOnce(t *testing.T) {
	l := newLab(t)
	l.reports.works.most = 2 * doLease
	d := &doing{lab: l, begin: time.Now()}
	ctx, cancel := context.WithTimeout(t.Context(), *loadFor*2/3)
	defer cancel()
	var wg sync.WaitGroup
	for n := range 10 {
		wg.Go(func() { d.call(ctx, n) })
	}
	wg.Go(func() { d.watch(ctx) })
	wg.Go(func() {
		if sleep.For(ctx, *loadFor/4) {
			d.troubled()
			client.Post(l.URL+"/crash", "", nil)
		}
		if sleep.For(ctx, *loadFor/20) {
			d.troubled()
			l.Restart()
			d.troubled()
		}
	})
	wg.Wait()
	d.check(t)
}

// doing is a load of calls to Do.
type doing struct {
	lab   *lab
	begin time.Time

	mu      sync.Mutex
	all     []reply
	trouble []time.Time // times when holders may not have been healthy
}

func (d *doing) troubled() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trouble = append(d.trouble, time.Now())
}

// watch records when the machine or workerd is so slow that an extension may
// come too late.
func (d *doing) watch(ctx context.Context) {
	for sleep.For(ctx, 20*time.Millisecond) {
		begin := time.Now()
		if resp, err := client.Get(d.lab.URL + "/ping"); err == nil {
			resp.Body.Close()
		}
		if time.Since(begin) > doLease/6 {
			d.troubled()
		}
	}
}

func (d *doing) call(ctx context.Context, n int) {
	for made := 0; sleep.For(ctx, 10*time.Millisecond); made++ {
		key := anyOf("d", "d", "x") + strconv.Itoa(int(time.Since(d.begin)/(700*time.Millisecond))-rand.IntN(3))
		d.do(ctx, key, fmt.Sprintf("%d-%d", n, made), true)
	}
}

// do calls Do, or makes it fail in one of many ways.
func (d *doing) do(ctx context.Context, key, id string, disturbed bool) reply {
	q := url.Values{"key": {key}, "id": {id}, "lease": {strconv.FormatInt(doLease.Milliseconds(), 10)}, "wait": {strconv.Itoa(rand.IntN(2) * 500)}}
	if disturbed {
		nth := strconv.Itoa(1 + rand.IntN(5))
		switch rand.IntN(6) {
		case 0:
			q.Set("fail", nth)
		case 1:
			q.Set("refuse", nth)
		case 2, 3:
			q.Set("end", nth)
			q.Set("after", strconv.FormatBool(rand.IntN(2) == 0))
		case 4:
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, rand.N(2*doLease))
			defer cancel()
		}
	}
	made := reply{key: key, id: id, begin: time.Now()}
	made.status, made.outcome, made.result = d.ask(ctx, q)
	made.at = time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, made)
	return made
}

func (d *doing) ask(ctx context.Context, q url.Values) (status, outcome, result string) {
	r, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, d.lab.URL+"/do?"+q.Encode(), nil)
	if _, ends := ctx.Deadline(); ends && err == nil {
		r = r.WithContext(ctx)
	}
	if err != nil {
		return "", "", ""
	}
	resp, err := client.Do(r)
	if err != nil {
		return "", "", ""
	}
	defer resp.Body.Close()
	var a struct{ Status, Outcome, Result string }
	if resp.StatusCode != http.StatusOK || json.NewDecoder(resp.Body).Decode(&a) != nil {
		return "", "", ""
	}
	return a.Status, a.Outcome, a.Result
}

// healthy reports whether a holder had no trouble during that time.
func (d *doing) healthy(from, to time.Time) bool {
	return !slices.ContainsFunc(d.trouble, func(at time.Time) bool { return at.After(from.Add(-doLease)) && at.Before(to.Add(doLease/3)) })
}

func (d *doing) check(t *testing.T) {
	t.Helper()
	w := &d.lab.reports.works
	w.mu.Lock()
	w.most = 0
	w.mu.Unlock()
	keys := map[string]bool{}
	for _, a := range d.all {
		keys[a.key] = true
	}
	var wg sync.WaitGroup
	for key := range keys {
		wg.Go(func() { d.finish(t, key) })
	}
	wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, bad := range w.bad {
		t.Error(bad)
	}
	runs, overtaken := 0, 0
	for key, list := range w.keys {
		runs += len(list)
		overtaken += d.checkRuns(t, key, list)
		d.checkAnswers(t, key, list)
	}
	statuses := map[string]int{}
	for _, a := range d.all {
		statuses[a.status+" "+a.outcome]++
	}
	t.Logf("%d calls of %d keys, %d runs, %d overtaken, %d moments of trouble; answers %v", len(d.all), len(keys), runs, overtaken, len(d.trouble), statuses)
	if runs < len(keys)+5 {
		t.Error("almost no work ran more than once: the load is too weak")
	}
}

// finish calls Do until the key's work is done. It must succeed in the end.
func (d *doing) finish(t *testing.T, key string) {
	t.Helper()
	for n, begin := 0, time.Now(); time.Since(begin) < 30*time.Second; n++ {
		switch a := d.do(context.Background(), key, key+" finish "+strconv.Itoa(n), false); {
		case a.status == "ok" && a.outcome == "", a.status == "too large":
			return
		case a.outcome == "in progress":
			time.Sleep(doLease / 5)
		}
	}
	t.Errorf("%s: the work was never done", key)
}

// checkRuns fails the test if a healthy holder was overtaken, if a holder was
// not told that it has taken over, or if work ran that was already done.
func (d *doing) checkRuns(t *testing.T, key string, list []*work) (overtaken int) {
	t.Helper()
	for i, r := range list {
		if !r.by.IsZero() {
			overtaken++
			if key[0] != 'x' && d.healthy(r.begin, r.by) { // the clock of an x key jumps, which ends leases

				t.Errorf("%s: %s was overtaken after %v without any trouble", key, r.id, r.by.Sub(r.begin))
			}
		}
		mayHaveActed := func(before *work) bool { return before.returned != "nothing" }
		if n := slices.IndexFunc(list[:i], mayHaveActed); n >= 0 && !r.takenOver {
			t.Errorf("%s: %s was not told that %+v may have had an effect", key, r.id, *list[n])
		}
	}
	return overtaken
}

// checkAnswers fails the test if callers got different results, if work ran
// after a caller got the result, or if a caller's work ran although the caller
// was told that it did not.
func (d *doing) checkAnswers(t *testing.T, key string, list []*work) {
	t.Helper()
	var first *reply
	for _, a := range d.all {
		ran := slices.ContainsFunc(list, func(w *work) bool { return w.id == a.id })
		switch {
		case a.key != key:
		case ran && (a.outcome == "in progress" || a.status == "overloaded"):
			t.Errorf("%s: the work of %s ran, but its caller was told %q", key, a.id, a.status+a.outcome)
		case a.outcome == "" && a.status == "ok" || a.status == "too large":
			if first == nil {
				first = &a
			}
			if a.status != first.status || a.status == "ok" && a.result != first.result {
				t.Errorf("%s: %+v, and %+v", key, *first, a)
			}
			for _, w := range list {
				if w.begin.After(a.at) {
					t.Errorf("%s: the work of %s ran after it was done: %+v", key, w.id, a)
				}
			}
		}
	}
}
