//go:build !js

package runtime

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

const seconds = time.Second

// send makes a request. It need not reach its handler.
func (l *lab) send(path string) <-chan answer {
	c := make(chan answer, 1)
	go func() { c <- l.get(path) }()
	return c
}

// begin makes a request, and returns when its handler runs.
func (l *lab) begin(path string) <-chan answer {
	l.t.Helper()
	before, c := l.calls(), l.send(path)
	for end := time.Now().Add(20 * seconds); len(c) == 0 && l.calls() <= before; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatalf("GET %s has not started", path)
		}
	}
	return c
}

// tables returns the sizes of JavaScript's tables, without a garbage
// collection.
func (l *lab) tables() (s size) {
	l.t.Helper()
	if a := l.get("/stats"); json.Unmarshal([]byte(a.body), &s) != nil {
		l.t.Fatalf("%d %q", a.status, a.body)
	}
	return s
}

// calls returns the number of open calls into Go.
func (l *lab) calls() int { return l.tables().Calls }

// within returns the answer to a started request, and fails the test if that
// takes longer.
func (l *lab) within(d time.Duration, c <-chan answer) answer {
	l.t.Helper()
	select {
	case a := <-c:
		return a
	case <-time.After(d):
		l.t.Errorf("no answer within %v", d)
		return answer{}
	}
}

// wantWithin fails the test unless a started request gets that body in time.
func (l *lab) wantWithin(d time.Duration, c <-chan answer, body string) {
	l.t.Helper()
	if a := l.within(d, c); a.body != body {
		l.t.Errorf("%d %q, want %q", a.status, a.body, body)
	}
}

// wantFailures fails the test unless each of the started requests gets an error
// that contains text, in time.
func (l *lab) wantFailures(text string, calls ...<-chan answer) {
	l.t.Helper()
	for _, c := range calls {
		if a := l.within(20*seconds, c); !strings.Contains(a.body, text) {
			l.t.Errorf("%d %q, want an error with %q", a.status, a.body, text)
		}
	}
}

// reset resets all objects during a request.
func (l *lab) reset(path string) {
	l.t.Helper()
	c := l.begin(path)
	l.want("/abortAll", "aborted")
	l.within(20*seconds, c)
}

// In a requested turn one goroutine makes a transaction and another one
// requests a turn.
func TestWakeUpInATurnIsNotLost(t *testing.T) {
	t.Parallel()
	twice(t, func(t *testing.T, l *lab) {
		l.want("/?m=ping", "pong")
		before, tx, after := l.begin("/direct?o=a&m=gateget"), l.begin("/direct?o=a&m=gatetx"), l.begin("/direct?o=a&m=gateget")
		l.want("/?m=open", "opened")
		l.wantWithin(20*seconds, before, "got")
		l.wantWithin(20*seconds, tx, "done")
		l.wantWithin(20*seconds, after, "got")
	})
}

func TestObjectsThatShareALockGoOn(t *testing.T) {
	t.Parallel()
	twice(t, func(t *testing.T, l *lab) {
		var paths []string
		for i := range 20 {
			path := fmt.Sprintf("/direct?o=o%d&m=contend&n=10", i)
			paths = append(paths, path, path)
		}
		for i, a := range l.together(paths...) {
			if a.status != 200 {
				t.Errorf("%s: %d %q after %v", paths[i], a.status, a.body, a.took)
			}
		}
		for i := range 20 {
			l.want(fmt.Sprintf("/direct?o=o%d&m=contend&n=0", i), "20")
		}
	})
}

// workerd delays timeouts that were set before the section, and its clock does
// not pass them.
func TestTimersFireInASection(t *testing.T) {
	t.Parallel()
	twice(t, func(t *testing.T, l *lab) {
		for _, section := range []string{"block", "txn"} {
			sleep := l.begin("/direct?o=a&m=sleep&n=400") // its timeout is due before that of the section
			l.wantWithin(20*seconds, l.begin("/direct?o=a&m="+section+"&n=2500"), "done")
			l.wantWithin(20*seconds, sleep, "slept")
		}
	})
}

func TestTimersOutliveAContextThatIsReset(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.reset("/direct?o=a&m=gatewait")
	keeper := l.begin("/?m=sleep&n=500")
	l.wantWithin(20*seconds, l.begin("/direct?o=b&m=sleep&n=1000"), "slept")
	l.wantWithin(20*seconds, keeper, "slept")
}

func TestIdleObjectIsWokenByItsNextEvent(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/direct?o=a&m=bg&n=50", "")
	l.want("/?m=sleep&n=150", "slept")
	l.eventually("/direct?o=a&m=get&k=bg", "written", 20*seconds)
}

// Local workerd never ends a request after its answer. The platform does, after
// 30 s.
func TestTasksContextEnds(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/?m=task", "answered")
	cause := l.get("/?m=cause&patient")
	if !strings.Contains(cause.body, "the time is up") || cause.took > 30*seconds {
		t.Errorf("%q after %v", cause.body, cause.took)
	}
	locked := l.begin("/?m=lock")
	if cause := l.get("/?m=cause"); !strings.Contains(cause.body, "I/O context is closed") || cause.took > 10*seconds {
		t.Errorf("%q after %v", cause.body, cause.took)
	}
	l.wantWithin(20*seconds, locked, "locked")
}

func TestClosedContextTakesNoTime(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.abandon("/?m=sleep&n=34000")
	time.Sleep(30 * seconds)
	before := l.cpu()
	time.Sleep(3 * seconds)
	if used := l.cpu() - before; used > 1*seconds {
		t.Errorf("%v of CPU time in 3 s", used)
	}
	l.wantWithin(20*seconds, l.begin("/direct?o=b&m=sleep&n=500"), "slept")
}

// cpu returns the CPU time of workerd.
func (l *lab) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", l.PID()))
	if err != nil {
		l.t.Fatal(err)
	}
	var ticks int
	for _, field := range strings.Fields(string(b))[13:15] {
		n, _ := strconv.Atoi(field)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// Package syscall/js calls back without a context.
func TestCallbacksOfSyscallJSWork(t *testing.T) {
	t.Parallel()
	l := start(t)
	callBack := func(path string, ms int) <-chan answer {
		return l.begin(fmt.Sprintf("%sm=callback&n=%d", path, ms))
	}
	deadlocked := callBack("/?", 8000) // only a callback is pending
	l.wantWithin(20*seconds, callBack("/?", 1), "called back")
	l.wantWithin(20*seconds, callBack("/direct?o=a&", 1), "called back")
	l.want("/?o=a&m=get&k=got", "called back")
	l.wantWithin(20*seconds, deadlocked, "called back")
}

// A fetch for any request that has Go's stack would sometimes fail. So it
// always fails here, with an error that says what to do.
func TestFetchOfSyscallJSIsRefusedByName(t *testing.T) {
	t.Parallel()
	l := start(t)
	a := l.get("/?m=transport")
	if !strings.Contains(a.body, "net/http: fetch() failed") || !strings.Contains(a.body, "hint: import durable/durablehttp") {
		t.Errorf("%d %q", a.status, a.body)
	}
}

// Go programs in a Worker have no sockets. Dialing fails at once with an error
// that says so.
func TestDialFails(t *testing.T) {
	t.Parallel()
	l := start(t)
	for _, to := range []string{"example.com:5432", "127.0.0.1:5432", "localhost:5432"} {
		if a := l.get("/?m=dial&k=" + to); !strings.HasPrefix(a.body, "dial tcp") {
			t.Errorf("%s: %d %q", to, a.status, a.body)
		} else {
			t.Log(a.body)
		}
	}
}

func TestReadDeadlineFiresInAnObjectWithoutEvents(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/socketEnd?o=a", "4000 idle for a second")
}

// docs/objects.md describes this.
func TestRequestThatWaitsForALaterOneNeedsATimer(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/?m=ping", "pong")
	forever := l.begin("/?m=gatewait")
	if a := l.within(20*seconds, forever); !strings.Contains(a.body, "deadlock") || a.took < 4*seconds {
		t.Errorf("%d %q after %v", a.status, a.body, a.took)
	}
	patient := l.begin("/?m=patient&n=50000")
	time.Sleep(7 * seconds)
	l.want("/?m=open", "opened")
	l.wantWithin(20*seconds, patient, "waited")
	l.want("/?m=patient&n=10", "nothing yet")
}

func TestTimeNeverGoesBack(t *testing.T) {
	t.Parallel()
	l := start(t)
	for range 2 {
		sleep := l.begin("/direct?o=a&m=sleep&n=500")
		spin := l.begin("/direct?o=b&m=spin&n=600")
		for _, a := range append(l.together("/direct?o=a&m=now", "/direct?o=b&m=now", "/?m=now"), l.get("/direct?o=a&m=now")) {
			if d, err := strconv.Atoi(a.body); err != nil || d < 0 {
				t.Errorf("%d %q", a.status, a.body)
			}
		}
		l.wantWithin(20*seconds, sleep, "slept")
		l.wantWithin(20*seconds, spin, "spun")
	}
}
