//go:build !js

package runtime

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestPanicsAndOutputReachTheLog(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.wantError("/?o=a&m=panic", "panic: boom")
	l.wantError("/?m=panic", "panic: boom")
	l.want("/?m=taskpanic", "answered")
	l.want("/?o=a&m=print", "")
	for _, text := range []string{"panic: boom", "panic: task boom", "scenarios.go:", "printed in a transaction", "logged in a transaction"} {
		l.wantLog(text)
	}
}

func TestCrashFailsAllOpenCalls(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/?o=bystander&m=put&k=k&v=kept", "")
	var paths []string
	for i := range 50 {
		paths = append(paths, "/?m=sleep&n=50000", fmt.Sprintf("/?o=sleeper%d&m=sleep&n=50000", i))
	}
	open := make(chan []answer)
	go func() { open <- l.together(paths...) }()
	for end := time.Now().Add(20 * seconds); l.calls() < len(paths) && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond) // they must be in flight when the crash comes
	}
	l.wantError("/?o=crasher&m=crash&n=50000", "panic: uncaught")
	for i, a := range <-open {
		if a.status != 500 || a.took > 20*time.Second || !strings.Contains(a.body, "panic: uncaught") {
			t.Errorf("%s: %d %q after %v", paths[i], a.status, a.body, a.took)
		}
	}
	for _, path := range append(paths[:4:4], "/?o=bystander&m=ping", "/?o=crasher&m=ping") {
		l.want(strings.Replace(path, "n=50000", "n=1", 1), map[bool]string{true: "slept", false: "pong"}[strings.Contains(path, "sleep")])
	}
	l.want("/?o=bystander&m=get&k=k", "kept")
}

// The callers are not in Go, so the open calls must be failed in the contexts
// of their own objects.
func TestCrashFailsCallsFromJavaScript(t *testing.T) {
	t.Parallel()
	l := start(t)
	open := []<-chan answer{l.begin("/direct?o=a&m=sleep&n=50000"), l.begin("/direct?o=b&m=sleep&n=50000")}
	l.get("/?m=exit")
	for i, c := range open {
		if a := l.within(20*seconds, c); a.status != 500 || !strings.Contains(a.body, "exited with code 3") {
			t.Errorf("call %d: %d %q after %v", i, a.status, a.body, a.took)
		}
	}
	l.want("/direct?o=a&m=ping", "pong")
}

func TestEveryEndGivesAFreshProgram(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, query, text string }{
		{"panic in a goroutine", "m=crash&n=50000", "panic: uncaught"},
		{"os.Exit", "m=exit", "exited with code 3"},
		{"stack overflow", "m=overflow", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := start(t)
			l.want("/?o=a&m=put&k=k&v=kept", "")
			for range 3 { // in a row
				if a := l.wantError("/?o=a&"+c.query, c.text); a.took > 20*time.Second {
					t.Errorf("took %v", a.took)
				}
				if a := l.get("/?" + c.query); a.status != 500 || !strings.Contains(a.body, c.text) {
					t.Errorf("stateless: %d %q", a.status, a.body)
				}
				l.want("/?m=ping", "pong")
			}
			l.want("/?o=a&m=get&k=k", "kept")
		})
	}
}

// A trap in code that Go runs below itself unwinds only part of Go's stack. The
// rest must not continue.
func TestATrapBelowGoEndsTheProgram(t *testing.T) {
	t.Parallel()
	for _, m := range []string{"txoverflow", "jsoverflow"} {
		t.Run(m, func(t *testing.T) {
			l := start(t)
			l.want("/?o=a&m=put&k=k&v=kept", "")
			for range 3 {
				l.wantError("/?o=a&m="+m, "Maximum call stack")
				l.want("/?m=ping", "pong")
			}
			l.want("/?o=a&m=get&k=k", "kept")
			if n := strings.Count(l.AllLogs(), "capdo: Maximum call stack"); n != 3 {
				t.Errorf("%d programs ended, want 3", n)
			}
		})
	}
}

func TestOutOfMemoryGivesAFreshProgram(t *testing.T) {
	l := start(t)
	l.want("/?o=a&m=put&k=k&v=kept", "")
	l.wantError("/?o=a&m=oom", "out of memory")
	l.want("/?o=a&m=get&k=k", "kept")
}

// If a crash interrupts a call, its half-finished change in memory must not
// reach the disk. No caller was told about it.
func TestWriteOfACallThatCrashedIsGone(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.wantError("/?o=a&m=putcrash", "exited with code 1")
	l.want("/?o=a&m=get&k=half", "")
}

func TestDeadlockIsAnError(t *testing.T) {
	t.Parallel()
	l := start(t)
	a := l.get("/?m=deadlock")
	if a.status != 500 || a.took > 120*time.Second {
		t.Errorf("%d %q after %v", a.status, a.body, a.took)
	}
	l.wantLog("scenarios.go:") // shows where goroutines wait
	l.want("/?m=ping", "pong")
}
