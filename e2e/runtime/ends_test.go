//go:build !js

package runtime

import (
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/internal/workerd"
)

func TestCrashInATurnFailsItsOwnCall(t *testing.T) {
	t.Parallel()
	l := start(t)
	crash, bystander := l.begin("/direct?o=a&m=gatecrash"), l.begin("/direct?o=b&m=sleep&n=50000")
	l.want("/?m=open", "opened")
	l.wantFailures("exited with code 3", crash, bystander)
	l.want("/direct?o=a&m=ping", "pong")
}

// In a section no requested turn runs.
func TestCrashFailsACallInASection(t *testing.T) {
	t.Parallel()
	l := start(t)
	for _, section := range []string{"block", "txn"} {
		inside := l.begin("/direct?o=a&m=" + section + "&n=50000")
		waiting := l.send("/direct?o=a&m=ping") // blocked by the section
		time.Sleep(200 * time.Millisecond)
		l.wantError("/?m=exit", "exited with code 3")
		l.wantFailures("exited with code 3", inside, waiting)
		l.want("/direct?o=a&m=ping", "pong")
	}
	for _, n := range []string{"0", "120"} {
		l.wantError("/direct?o=a&m=blockexit&n="+n, "exited with code 3")
		l.want("/direct?o=a&m=ping", "pong")
	}
}

func TestConstructorThatFailsAfterACrash(t *testing.T) {
	t.Parallel()
	l := start(t)
	for _, event := range []string{"ping", "get&k=k"} {
		l.want("/direct?o=a&m=ping", "pong")
		l.wantError("/?m=exit", "exited with code 3")
		l.want("/?m=failnext&how=now", "")
		l.wantError("/direct?o=a&m="+event, "the constructor failed")
		l.want("/direct?o=a&m=ping", "pong")
	}
}

func TestLateConstructorFailureFailsWaiters(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/?m=failnext&how=later", "")
	calls := []<-chan answer{l.begin("/direct?o=a&m=ping")}
	for range 3 { // these wait for the constructor
		calls = append(calls, l.send("/direct?o=a&m=ping"))
	}
	time.Sleep(1 * seconds)
	l.want("/?m=open", "opened")
	l.wantFailures("the constructor failed", calls...)
	l.want("/direct?o=a&m=ping", "pong")
}

// An event waits for the constructor, and then for a critical section. When it
// may continue, Go has forgotten the object, which was idle for 10 s.
func TestObjectIsForgottenBeforeItsEvent(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/?m=failnext&how=never", "")
	event := l.begin("/direct?o=a&m=ping")
	l.want("/hold?o=a&n=14000", "undefined")
	l.want("/?m=open", "opened")
	for range 40 {
		time.Sleep(300 * time.Millisecond)
		l.want("/?m=ping", "pong")
	}
	if a := <-event; a.body != "pong" {
		t.Errorf("%d %q", a.status, a.body)
	}
}

// The constructor has ended, but the object does not know it yet when the
// program ends. The next event constructs it again; later ones must wait.
func TestObjectIsConstructedAgainBeforeItKnowsOfTheFirstTime(t *testing.T) {
	t.Parallel()
	l := start(t)
	for range 10 {
		l.want("/?m=failnext&how=never", "")
		first := l.begin("/direct?o=a&m=ping")
		l.want("/replaced?o=a", "the Go program exited with code 3")
		events := []<-chan answer{l.send("/direct?o=a&m=ping"), l.send("/direct?o=a&m=ping")}
		time.Sleep(100 * time.Millisecond)
		l.want("/?m=open", "opened")
		for _, event := range append(events, first) {
			if a := <-event; a.body != "pong" {
				t.Errorf("%d %q", a.status, a.body)
			}
		}
		l.wantError("/?m=exit", "exited with code 3")
	}
}

// This is like the CPU limit: no finally block runs.
func TestInterruptedProgramFailsOtherCalls(t *testing.T) {
	t.Parallel()
	l := start(t)
	object, request := l.begin("/direct?o=b&m=sleep&n=50000"), l.begin("/?m=sleep&n=50000")
	l.wantFailures("terminated in the middle of Go", l.begin("/terminate?o=a"))
	l.wantFailures("interrupted by the platform", object, request) // each checks once a second
	l.want("/direct?o=b&m=ping", "pong")
}

func TestCollectorEndsNothing(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.reset("/direct?o=a&m=waitrand")
	bystander := l.begin("/direct?o=b&m=sleep&n=1500")
	for range 5 {
		l.want("/gc", "collected")
		time.Sleep(50 * time.Millisecond)
	}
	l.wantWithin(20*seconds, bystander, "slept")
}

// A callback of package fs must not run inside Go, nested once for each
// goroutine.
func TestManyGoroutinesUseFiles(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/?m=manystats&n=20000", "done")
	l.want("/?m=ping", "pong")
}

func TestProgramThatEndsSaysWhyOnce(t *testing.T) {
	for _, c := range []struct{ query, text string }{
		{"m=crash&n=50000", "panic: uncaught"},
		{"m=exit", "capdo: the Go program exited with code 3"},
		{"m=oom", "fatal error: out of memory"},
		{"m=overflow", "Maximum call stack"},
	} {
		l := start(t)
		bystanders := []<-chan answer{l.begin("/direct?o=a&m=sleep&n=50000"), l.begin("/?m=sleep&n=50000")}
		if a := l.get("/direct?o=b&" + c.query); a.status != 500 {
			t.Errorf("%s: %d %q", c.query, a.status, a.body)
		}
		for _, b := range bystanders {
			l.within(20*seconds, b)
		}
		l.want("/?m=ping", "pong")
		l.wantLog(c.text)
		said := 0
		for _, line := range strings.Split(l.Log(), "\n") {
			if strings.Contains(line, c.text) && !strings.Contains(line, "uncaught exception") { // workerd also logs it for each object
				said++
			}
		}
		if said != 1 {
			t.Errorf("%s: said %d times:\n%.3000s", c.query, said, l.Log())
		}
	}
}

func TestLineBelongsToOneInvocation(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.together("/direct?o=v&m=lines&t=v", "/direct?o=w&m=lines&t=w", "/direct?o=x&m=lines&t=x", "/?o=y&m=lines&t=y", "/?o=z&m=lines&t=z")
	for _, of := range []string{"v", "w", "x", "y", "z"} {
		l.wantLog(strings.ReplaceAll("?0 ?1 ?2 ?3 ?4 end\nrest of ?\n", "?", of))
	}
}

// The earliest date that capdo check accepts.
func TestOldCompatibilityDate(t *testing.T) {
	t.Parallel()
	l := startWith(t, workerd.Config{Date: "2024-10-14"})
	l.want("/?o=a&m=ping", "pong")
	l.want("/?o=a&m=contend&n=3", "3")
}
