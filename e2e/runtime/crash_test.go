package runtime

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPanicInAHandlerIsTheCallersErrorAndTheObjectGoesOn(t *testing.T) {
	l := start(t)
	l.want("/?o=a&m=put&k=k&v=kept", "")
	if a := l.wantError("/?o=a&m=panic", "panic: boom"); !slices.Contains(a.kinds, "remote") {
		t.Errorf("kinds %v", a.kinds)
	}
	l.want("/?o=a&m=get&k=k", "kept")
	if !strings.Contains(l.Log(), "scenarios.go:") {
		t.Error("the log has no stack of the panic")
	}
	if a := l.get("/?m=panic"); a.status != 500 {
		t.Errorf("stateless: %d %q", a.status, a.body)
	}
	l.want("/?m=ping", "pong")
}

func TestGoexitOfAHandlerIsTheCallersErrorAndRollsATransactionBack(t *testing.T) {
	l := start(t)
	l.wantError("/?o=a&m=goexit", "runtime.Goexit")
	l.wantError("/?o=a&m=transaction&end=goexit", "runtime.Goexit")
	l.want("/?o=a&m=get&k=inside", "")
	l.want("/?o=a&m=transaction", "err=<nil> inside=written inner=<nil> ")
}

func TestPanicInATaskIsLoggedAndTheProgramGoesOn(t *testing.T) {
	l := start(t)
	open := make(chan answer)
	go func() { open <- l.get("/?o=b&m=sleep&n=500") }()
	time.Sleep(100 * time.Millisecond)
	l.want("/?m=taskpanic", "answered")
	l.want("/?o=a&m=taskpanic", "answered")
	if a := <-open; a.body != "slept" {
		t.Errorf("a bystander: %d %q", a.status, a.body)
	}
	if !strings.Contains(l.Log(), "panic: task boom") {
		t.Error("the log does not have the panic")
	}
}

func TestConstructorThatPanicsOrFailsFailsTheCallAndIsTriedAgain(t *testing.T) {
	for how, text := range map[string]string{"panic": "constructor boom", "error": "constructor refuses", "late": "constructor refuses late"} {
		t.Run(how, func(t *testing.T) {
			l := start(t)
			l.want("/?m=badctor&how="+how, "")
			l.wantError("/?o=a&m=ping", text)
			l.wantError("/?o=a&m=ping", text)
			l.want("/?m=badctor", "")
			l.want("/?o=a&m=ping", "pong")
		})
	}
}

func TestConstructorThatWaitsHoldsCallsBack(t *testing.T) {
	l := start(t)
	l.want("/?m=slowctor", "")
	for _, a := range l.together("/?o=a&m=get&k=constructed", "/?o=a&m=get&k=constructed") {
		if a.body != "yes" {
			t.Errorf("%d %q", a.status, a.body)
		}
	}
}

func TestConstructorThatWaitsForALockIsWokenByItsHolder(t *testing.T) {
	l := start(t)
	l.want("/?m=slowctor&on=lock", "")
	holding := make(chan answer)
	go func() { holding <- l.get("/?m=locksleep&n=500") }()
	time.Sleep(100 * time.Millisecond)
	l.want("/?o=a&m=get&k=constructed", "yes")
	if a := <-holding; a.body != "slept" {
		t.Errorf("%d %q", a.status, a.body)
	}
}

func TestAlarmRings(t *testing.T) {
	l := start(t)
	l.want("/?o=a&m=setalarm&n=100", "")
	l.want("/?o=a&m=getalarm", "set")
	l.eventually("/?o=a&m=get&k=alarm", "rang", 5*time.Second)
	l.want("/?o=a&m=getalarm", "none")
}

func TestAlarmThatPanicsIsDeliveredAgain(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/?m=badalarm", "")
	l.want("/?o=a&m=setalarm&n=1", "")
	l.eventually("/?o=a&m=get&k=alarm", "retry true count 1", 15*time.Second)
}

// eventually waits until a request gives that body; each try is one request.
func (l *lab) eventually(path, body string, within time.Duration) {
	l.t.Helper()
	var a answer
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if a = l.get(path); a.body == body {
			return
		}
	}
	l.t.Errorf("GET %s: %d %q for %v, want %q", path, a.status, a.body, within, body)
}

func TestCrashInAUsersGoroutineFailsAllOpenCallsAtOnceAndTheNextOneWorks(t *testing.T) {
	l := start(t)
	l.want("/?o=bystander&m=put&k=k&v=kept", "")
	var paths []string
	for i := range 50 {
		paths = append(paths, "/?m=sleep&n=20000", fmt.Sprintf("/?o=sleeper%d&m=sleep&n=20000", i))
	}
	open := make(chan []answer)
	go func() { open <- l.together(paths...) }()
	time.Sleep(time.Second) // they must be in flight when the crash comes
	l.wantError("/?o=crasher&m=crash&n=20000", "panic: uncaught")
	for i, a := range <-open {
		if a.status != 500 || a.took > 5*time.Second || !strings.Contains(a.body, "panic: uncaught") {
			t.Errorf("%s: %d %q after %v", paths[i], a.status, a.body, a.took)
		}
	}
	for _, path := range append(paths[:4:4], "/?o=bystander&m=ping", "/?o=crasher&m=ping") {
		l.want(strings.Replace(path, "n=20000", "n=1", 1), map[bool]string{true: "slept", false: "pong"}[strings.Contains(path, "sleep")])
	}
	l.want("/?o=bystander&m=get&k=k", "kept")
}

// The callers are not in Go: the open calls must be failed in the objects' own contexts.
func TestCrashFailsOpenCallsOfObjectsWhoseCallersAreNotInGo(t *testing.T) {
	l := start(t)
	open := make(chan []answer)
	go func() { open <- l.together("/direct?o=a&m=sleep&n=20000", "/direct?o=b&m=sleep&n=20000") }()
	time.Sleep(300 * time.Millisecond) // they must be in flight when the crash comes
	l.get("/?m=exit")
	for i, a := range <-open {
		if a.status != 500 || a.took > 5*time.Second || !strings.Contains(a.body, "exited with code 3") {
			t.Errorf("call %d: %d %q after %v", i, a.status, a.body, a.took)
		}
	}
	l.want("/direct?o=a&m=ping", "pong")
}

func TestEveryWayToEndTheProgramGivesAClearErrorAndAFreshProgram(t *testing.T) {
	for _, c := range []struct{ name, query, text string }{
		{"panic in a goroutine", "m=crash&n=20000", "panic: uncaught"},
		{"os.Exit", "m=exit", "exited with code 3"},
		{"stack overflow", "m=overflow", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := start(t)
			l.want("/?o=a&m=put&k=k&v=kept", "")
			for range 3 { // in a row
				if a := l.wantError("/?o=a&"+c.query, c.text); a.took > 10*time.Second {
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

func TestRunningOutOfMemoryGivesAnErrorAndAFreshProgram(t *testing.T) {
	l := start(t)
	l.want("/?o=a&m=put&k=k&v=kept", "")
	l.wantError("/?o=a&m=oom", "out of memory")
	l.want("/?o=a&m=get&k=k", "kept")
}

// What a crash leaves half done in memory must not be half done on disk, and nobody was told of it.
func TestWriteOfACallThatCrashedIsGone(t *testing.T) {
	l := start(t)
	l.wantError("/?o=a&m=putcrash", "exited with code 1")
	l.want("/?o=a&m=get&k=half", "")
}

func TestDeadlockOfARequestIsAnErrorWithinSeconds(t *testing.T) {
	t.Parallel()
	l := start(t)
	a := l.get("/?m=deadlock")
	if a.status != 500 || a.took > 15*time.Second {
		t.Errorf("%d %q after %v", a.status, a.body, a.took)
	}
	if !strings.Contains(l.Log(), "scenarios.go:") {
		t.Error("the log does not say where goroutines wait")
	}
	l.want("/?m=ping", "pong")
}

func TestStorageSurvivesSIGKILL(t *testing.T) {
	l := start(t)
	l.want("/?o=a&m=put&k=k&v=kept", "")
	l.want("/?o=a&m=setalarm&n=300", "")
	l.restart()
	l.want("/?o=a&m=get&k=k", "kept")
	l.eventually("/?o=a&m=get&k=alarm", "rang", 5*time.Second)
}
