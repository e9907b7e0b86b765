//go:build !js

package stress

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// usage is what workerd and the program use after a round, in bytes.
type usage struct {
	Heap     int // of Go, what is alive
	Memory   int // of wasm, which never shrinks
	resident int // of the process
	tables
}

func (u usage) String() string {
	return fmt.Sprintf("Go's heap %d KiB, wasm %d KiB, resident %d MiB, %d contexts, %d references, %d goroutines",
		u.Heap>>10, u.Memory>>10, u.resident>>20, u.Contexts, u.Refs, u.Goroutines)
}

// usage waits until it is told: a program may have just ended.
func (l *lab) usage() (u usage) {
	l.t.Helper()
	var err error
	for end := time.Now().Add(l.within); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		for range 3 { // a program that has ended is garbage of V8's
			l.get(l.patient, context.Background(), "/gc")
		}
		var heap, stats string
		if heap, err = l.get(l.patient, context.Background(), "/heap"); err != nil {
			continue
		}
		if stats, err = l.get(l.patient, context.Background(), "/stats"); err != nil {
			continue
		}
		json.Unmarshal([]byte(heap), &u)
		json.Unmarshal([]byte(stats), &u)
		u.resident = l.resident()
		l.t.Logf("round %d: %v", l.round, u)
		return u
	}
	l.t.Errorf("round %d: %v", l.round, err)
	return u
}

// resident is the memory of workerd's process, in bytes.
func (l *lab) resident() int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", l.PID()))
	if err != nil {
		l.t.Error(err)
	}
	var all, resident int
	fmt.Sscan(string(b), &all, &resident)
	return resident * os.Getpagesize()
}

// What may be used in addition after any number of rounds: what was alive at
// the end of one round differs from that of another.
const (
	moreHeap     = 256 << 10
	moreMemory   = 12 << 20
	moreResident = 96 << 20
)

// checkGrowth compares the last round with the first ones, in which caches and
// pools come to their size. The less of the last two counts: something large
// may have been alive at the end of one.
func (l *lab) checkGrowth(used []usage) {
	l.t.Helper()
	if len(used) < 3 {
		return
	}
	warm := max(len(used)/4, min(4, len(used)-2))
	var first usage
	for _, u := range used[:warm] {
		first.Heap, first.Memory, first.resident = max(first.Heap, u.Heap), max(first.Memory, u.Memory), max(first.resident, u.resident)
	}
	a, b := used[len(used)-2], used[len(used)-1]
	for _, c := range []struct {
		what              string
		first, last, more int
	}{
		{"Go's heap", first.Heap, min(a.Heap, b.Heap), moreHeap},
		{"wasm memory", first.Memory, min(a.Memory, b.Memory), moreMemory},
		{"the process", first.resident, min(a.resident, b.resident), moreResident},
	} {
		if c.last > c.first+c.more {
			l.t.Errorf("%s has grown from %d KiB to %d KiB in %d rounds", c.what, c.first>>10, c.last>>10, len(used))
		}
	}
}
