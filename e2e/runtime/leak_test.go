package runtime

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// size is what the runtime holds.
type size struct {
	Heap, Sys, Goroutines                          int // Go's
	Contexts, Parcels, Calls, Timers, Refs, Memory int // JavaScript's
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

func TestTenThousandObjectsComeAndGoAndLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	l := start(t)
	populate := func(from, to int) {
		var paths []string
		for i := range 8 {
			step := (to - from) / 8
			paths = append(paths, fmt.Sprintf("/?m=manyPut&from=%d&to=%d", from+i*step, from+(i+1)*step))
		}
		for i, a := range l.together(paths...) {
			if a.body != "done" {
				t.Fatalf("%s: %d %q after %v", paths[i], a.status, a.body, a.took)
			}
		}
	}
	drop := func() size {
		l.want("/abortAll", "aborted")
		var s size
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if s = l.size(); s.Contexts <= 1 {
				break
			}
		}
		return s
	}
	populate(0, 80) // maps and pools have their first size after this
	before := drop()
	t.Logf("before               %+v", before)
	var after size
	for wave := range 10 { // an object holds two files open
		populate(wave*1000, (wave+1)*1000)
		full := l.size()
		if full.Contexts < 1000 {
			t.Errorf("only %d contexts were alive", full.Contexts)
		}
		after = drop()
		if wave == 0 || wave == 9 {
			t.Logf("with 1,000 of them   %+v", full)
			t.Logf("after %2d,000         %+v", wave+1, after)
		}
	}
	if after.Contexts > 1 || after.Refs > before.Refs || after.Parcels > before.Parcels || after.Calls > before.Calls {
		t.Errorf("tables did not return to where they were")
	}
	if after.Goroutines > 40 { // those that wait for the next invocation, 32 at most, and the program's own
		t.Errorf("%d goroutines are left", after.Goroutines)
	}
	if grown := after.Heap - before.Heap; grown > 200_000 {
		t.Errorf("Go's heap has grown by %d bytes", grown)
	}
}
