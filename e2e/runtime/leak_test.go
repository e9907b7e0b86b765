//go:build !js

package runtime

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"
)

// size is the number of things that the runtime holds.
type size struct {
	Heap, Sys, Goroutines                                                       int // Go's
	Contexts, Encoded, Calls, Timers, Refs, Memory, Timeouts, Sockets, InFlight int // JavaScript's
}

func (l *lab) size() (s size) {
	l.t.Helper()
	l.want("/gc", "collected")
	for _, path := range []string{"/?m=stats", "/stats"} {
		if a := l.get(path); json.Unmarshal([]byte(a.body), &s) != nil {
			l.t.Fatalf("GET %s: %d %q", path, a.status, a.body)
		}
	}
	return s
}

// settles waits until what look returns is fine, and fails the test if that
// takes longer than d.
func (l *lab) settles(d time.Duration, look func() size, fine func(size) bool) size {
	l.t.Helper()
	for end := time.Now().Add(d); ; time.Sleep(100 * time.Millisecond) {
		s := look()
		if fine(s) {
			return s
		}
		if time.Now().After(end) {
			l.t.Fatalf("after %v: %+v", d, s)
		}
	}
}

// leftLittle reports whether no object is left. The heap is measured before the
// contexts are counted, so objects may have left in between.
func leftLittle(s size) bool { return s.Contexts == 0 && s.Heap < 2<<20 }

// memory returns the size of the program's memory, without a garbage
// collection.
func (l *lab) memory() int {
	l.t.Helper()
	var s size
	if a := l.get("/stats"); json.Unmarshal([]byte(a.body), &s) != nil {
		l.t.Fatalf("GET /stats: %d %q", a.status, a.body)
	}
	return s.Memory
}

// A pending setTimeout prevents an object's eviction and costs money. So a Go
// timer may have one only while an invocation is open. Timers of a stateless
// request end with the request.
func TestIdleTimerLeavesNoTimeoutPending(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/direct?o=a&m=later&n=20000", "") // not a stateless request
	var s size
	a := l.get("/stats")
	if err := json.Unmarshal([]byte(a.body), &s); err != nil || s.Timers != 1 || s.Timeouts != 0 {
		t.Errorf("%s, %v", a.body, err)
	}
}

func TestPastCallsLeaveNothingInMemory(t *testing.T) {
	t.Parallel()
	l := start(t)
	use := func(n int) size {
		l.want(fmt.Sprintf("/?o=a&m=churn&n=%d", n), "")
		l.want(fmt.Sprintf("/?o=a&m=impatient&n=%d", n), "")
		return l.size()
	}
	before, after := use(10), use(300)
	t.Logf("before %+v", before)
	t.Logf("after  %+v", after)
	if after.Refs > before.Refs+20 || after.Encoded > before.Encoded {
		t.Error("tables did not return to their old sizes")
	}
}

// A promise may settle after the end of the invocation that began it, while
// workerd still has the request's context.
func TestLateOutcomeLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	l := start(t)
	use := func(n int) size {
		for range n / 50 {
			l.together(slices.Repeat([]string{"/?m=giveup&linger=1"}, 50)...)
		}
		time.Sleep(300 * time.Millisecond) // lets answers arrive that are not awaited
		return l.size()
	}
	before, after := use(500), use(2000)
	t.Logf("before %+v", before)
	t.Logf("after  %+v", after)
	if grown := after.Heap - before.Heap; grown > 100_000 {
		t.Errorf("Go's heap grew by %d bytes", grown)
	}
	if after.Encoded > 0 || after.InFlight > 0 {
		t.Error("tables did not return to their old sizes")
	}
}

func TestObjectsThatComeAndGoLeaveNothing(t *testing.T) {
	t.Parallel()
	l := start(t)
	alive := 0 // maximum of concurrent contexts: idle objects leave after 10 s
	populate := func(from, to int) {
		for ; from < to; from += 80 { // small enough to end soon even on a busy machine
			var paths []string
			for i := range 8 {
				paths = append(paths, fmt.Sprintf("/?m=manyPut&from=%d&to=%d", from+i*10, from+(i+1)*10))
			}
			for i, a := range l.together(paths...) {
				if a.body != "done" {
					t.Fatalf("%s: %d %q after %v", paths[i], a.status, a.body, a.took)
				}
			}
			alive = max(alive, l.tables().Contexts)
		}
	}
	empty := func() (s size) {
		l.want("/abortAll", "aborted") // an object has two open files
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
			if s = l.size(); s.Contexts <= 1 {
				break
			}
		}
		return s
	}
	populate(0, 80) // gives maps and pools their initial size
	before := empty()
	t.Logf("before       %+v", before)
	for wave := range 3 {
		populate(80+wave*1040, 80+(wave+1)*1040)
		l.want("/abortAll", "aborted")
	}
	if alive < 80 {
		t.Errorf("%d objects were alive at once", alive)
	}
	after := empty()
	t.Logf("after 3,120  %+v", after)
	if after.Contexts > 1 || after.Refs > before.Refs || after.Encoded > before.Encoded || after.Calls > before.Calls {
		t.Errorf("tables did not return to their old sizes")
	}
	if after.Goroutines > 40 { // at most 32 that wait for the next invocation, and the program's own
		t.Errorf("%d goroutines are left", after.Goroutines)
	}
	if grown := after.Heap - before.Heap; grown > 300_000 { // maps do not shrink
		t.Errorf("Go's heap grew by %d bytes", grown)
	}
}
