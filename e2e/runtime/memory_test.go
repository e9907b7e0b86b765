//go:build !js

package runtime

import (
	"fmt"
	"testing"
	"time"
)

// Idle objects hold nothing of a program that has ended, and nothing does of
// one that was interrupted.
func TestMemoryOfDeadProgramsIsFreed(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"/?m=exit", "/?m=gopanic", "/terminate?o=t"} {
		l := start(t)
		var before int
		for i := range 6 {
			l.want(fmt.Sprintf("/direct?o=idle%d&m=ping", i), "pong")
			l.want("/?m=hoard&n=60", "60")
			if a := l.get(end); a.status != 500 {
				t.Errorf("%s: %d %q", end, a.status, a.body)
			}
			l.want("/?m=ping", "pong")
			for range 6 {
				l.want("/gc", "collected")
				time.Sleep(30 * time.Millisecond)
			}
			if i == 1 {
				before = l.Resident()
			}
		}
		if grown := l.Resident() - before; grown > 120<<20 { // of the 240 MB of four programs
			t.Errorf("%s: grown by %d MB", end, grown>>20)
		}
	}
}

func TestIdleObjectsLeaveGo(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/?m=objectsize&n=200000", "")
	for i := range 300 { // 60 MB
		l.want(fmt.Sprintf("/direct?o=o%d&m=ping", i), "pong")
		time.Sleep(30 * time.Millisecond)
	}
	peak := l.size()
	s := l.settles(20*seconds, l.size, leftLittle)
	if peak.Memory > 100<<20 {
		t.Errorf("at the peak %+v, then %+v", peak, s)
	}
	l.want("/direct?o=o1&m=ping", "pong")
}

// Go's heap does not make V8 collect garbage. Memory of idle objects is
// released soon, whether V8 collects or not. So the 400 MB never exist at the
// same time.
func TestManyLargeIdleObjectsFit(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/?m=objectsize&n=1000000", "")
	most := 0
	for i := range 400 {
		l.want(fmt.Sprintf("/direct?o=large%d&m=ping", i), "pong")
		most = max(most, l.memory())
		time.Sleep(60 * time.Millisecond)
	}
	begin := time.Now()
	s := l.settles(20*seconds, l.size, leftLittle)
	t.Logf("400 objects of 1 MB: %d MB of wasm memory at most; %v after the last event %d KB of Go's heap in use", most>>20, time.Since(begin).Round(time.Second), s.Heap>>10)
	if most > 120<<20 {
		t.Errorf("%d MB at most, then %+v", most>>20, s)
	}
}

// 10,000 objects are alive at once, each with as much of its own as an object of
// a ledger has. wasm memory never shrinks, so it is the most that they ever
// took, garbage included.
func TestManyLiveObjectsAreSmall(t *testing.T) {
	t.Parallel()
	const own = 640
	l := startWithoutIdling(t, true)
	l.want(fmt.Sprintf("/?m=objectsize&n=%d", own), "")
	many := l.wake("lab", 10_000)
	memory := l.memory()
	t.Logf("%d objects of %d bytes are alive: %.1f MiB of wasm memory, %d bytes of Go's heap each",
		many.Contexts, own, float64(memory)/(1<<20), many.Heap/many.Contexts)
	if many.Contexts < 10_000 || memory > 32<<20 {
		t.Errorf("%+v", many)
	}
	ledgers := startWithoutIdling(t, false).wake("ledger", 500)
	t.Logf("%d objects of a ledger are alive: %d bytes of Go's heap each", ledgers.Contexts,
		ledgers.Heap/ledgers.Contexts)
	if ledgers.Heap/ledgers.Contexts > many.Heap/many.Contexts {
		t.Errorf("%+v", ledgers)
	}
}

// wake has n objects constructed, and returns how much more is held afterwards.
func (l *lab) wake(of string, n int) (more size) {
	l.t.Helper()
	l.want("/?m=wake&from=0&to=100&of="+of, "awake") // maps have a size after that
	before := l.size()
	for from := 100; from < n+100; from += 250 {
		l.want(fmt.Sprintf("/?m=wake&from=%d&to=%d&of=%s", from, from+250, of), "awake")
	}
	more = l.size()
	more.Heap -= before.Heap
	more.Contexts -= before.Contexts
	return more
}

// The platform ends an isolate at 128 MB, and wasm memory never shrinks.
func TestGarbageDoesNotGrowMemoryToTheLimit(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/?m=hoard&n=45", "45")
	l.want("/?m=litter&n=1500", "done")
	if s := l.size(); s.Memory > 110<<20 {
		t.Errorf("%d MB", s.Memory>>20)
	}
}

func TestProgramBeyondTheMemoryLimitGoesOn(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/?m=hoard&n=120", "120")
	begin := time.Now()
	l.want("/?m=litter&n=500", "done")
	if took := time.Since(begin); took > 20*seconds {
		t.Errorf("500 MB of garbage took %v", took)
	}
}

func TestRefusedResponseLeavesNothing(t *testing.T) {
	t.Parallel()
	l := start(t)
	for _, path := range []string{"/objectFetch?o=a&status=304", "/objectFetch?o=a&status=99", "/?status=304", "/?status=99"} {
		if a := l.get(path); a.status == 200 {
			t.Errorf("%s: %d %q", path, a.status, a.body)
		}
	}
	l.settles(5*seconds, l.size, func(s size) bool { return s.Calls == 0 && s.Encoded == 0 && s.InFlight == 0 })
}

func TestRefusedRequestEndsItsSender(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/?m=getbody&n=20", "0")
	l.want("/?o=a&m=getbody&n=20", "0")
}

// A garbage collection would close it too.
func TestSocketThatNobodyWaitsForIsClosed(t *testing.T) {
	t.Parallel()
	l := start(t)
	for _, from := range []string{"/?", "/?o=b&"} {
		l.want(from+"m=dropsocket&to=a&n=20", "done")
		l.settles(25*seconds, l.tables, func(s size) bool { return s.Sockets == 0 && s.Encoded == 0 })
	}
}
