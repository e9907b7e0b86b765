package runtime

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func TestGoroutineWokenByAnotherObjectsEventUsesItsOwnStorage(t *testing.T) {
	l := start(t)
	done := make(chan answer)
	go func() { done <- l.get("/?o=receiver&m=receive") }()
	time.Sleep(100 * time.Millisecond) // let it wait; if it has not begun, the test is easier, not wrong
	l.want("/?o=sender&m=send&v=hello", "")
	if a := <-done; a.body != "hello" {
		t.Errorf("receiver: %d %q", a.status, a.body)
	}
	l.want("/?o=receiver&m=get&k=got", "hello")
	l.want("/?o=sender&m=get&k=sent", "hello")
}

func TestTimersOutliveTheRequestThatArmedThem(t *testing.T) {
	l := start(t)
	for i, a := range l.together("/?m=sleep&n=300", "/?m=sleep&n=600", "/?o=a&m=sleep&n=450", "/?o=b&m=sleep&n=900") {
		if a.body != "slept" || a.took > 3*time.Second {
			t.Errorf("request %d: %d %q after %v", i, a.status, a.body, a.took)
		}
	}
}

func TestShortSleepDoesNotWaitForALongOneThatBeganBefore(t *testing.T) {
	l := start(t)
	long := make(chan answer)
	go func() { long <- l.get("/?o=long&m=sleep&n=3000") }()
	time.Sleep(100 * time.Millisecond) // let it begin
	for _, where := range []string{"", "o=a&", "o=long&"} {
		if a := l.get("/?" + where + "m=sleep&n=100"); a.body != "slept" || a.took > 1500*time.Millisecond {
			t.Errorf("%q: %d %q after %v", where, a.status, a.body, a.took)
		}
	}
	if a := <-long; a.body != "slept" {
		t.Errorf("the long one: %d %q", a.status, a.body)
	}
}

func TestTimerIsServedAfterItsContextWentAwayAndNobodyWasThere(t *testing.T) {
	l := start(t)
	l.want("/?m=waituntil&n=300&to=w", "answered")
	time.Sleep(600 * time.Millisecond)
	l.want("/?o=w&m=get&k=k", "later")
}

func TestTaskGoesOnWhenTheCallerGoesAway(t *testing.T) {
	l := start(t)
	l.abandon("/?m=waituntil&n=600&to=w&hold=1")
	l.eventually("/?o=w&m=get&k=k", "later", 5*time.Second)
}

func TestLockHeldAcrossASubrequestIsWaitedForByOtherRequests(t *testing.T) {
	l := start(t)
	for i, a := range l.together("/?m=lock&n=200", "/?m=lock&n=200", "/?m=lock&n=200", "/?m=lock&n=200") {
		if a.body != "slept" {
			t.Errorf("request %d: %d %q after %v", i, a.status, a.body, a.took)
		}
	}
}

// A stateless request that only waits for another request's goroutine has no I/O of its own: it must not be ended as hung while
// the other lives.
func TestStatelessRequestMayWaitLongForAnothersGoroutine(t *testing.T) {
	l := start(t)
	for i, a := range l.together("/?m=lock&n=7000", "/?m=lock&n=100") {
		if a.body != "slept" {
			t.Errorf("request %d: %d %q after %v", i, a.status, a.body, a.took)
		}
	}
}

func TestSwarmOf200GoroutinesOver50ObjectsAnd50Requests(t *testing.T) {
	l := start(t)
	var paths []string
	for i := range 50 {
		paths = append(paths, "/?m=swarm&rounds=20", fmt.Sprintf("/?m=swarm&rounds=20&o=swarm%d", i))
	}
	begin := time.Now()
	for i, a := range l.together(paths...) {
		if a.body != "done" {
			t.Errorf("%s: %d %q after %v", paths[i], a.status, a.body, a.took)
		}
	}
	t.Logf("200 goroutines, 4,000 rounds in %v", time.Since(begin).Round(time.Millisecond))
}

func TestCancelledRequestEndsItsContextAndReleasesItsLock(t *testing.T) {
	l := start(t)
	l.abandon("/?m=hold")
	l.want("/?m=wasCanceled", "the caller has disconnected")
	l.want("/?o=afterwards&m=get&k=k", "held")
}

func TestLockOfAnAbandonedRequestThatIgnoresItIsReleasedBeforeWorkerdGivesUp(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.abandon("/?m=stubborn")
	begin := time.Now()
	waiting := l.get("/?o=waiter&m=wasCanceled")
	if waiting.body != "I/O context is closed: the invocation it belonged to has ended" || time.Since(begin) > 35*time.Second {
		t.Errorf("%d %q after %v", waiting.status, waiting.body, waiting.took)
	}
}

// abandon makes a request and resets its connection. (workerd takes an orderly close for a half-closed connection, and goes on.)
func (l *lab) abandon(path string) {
	l.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(l.URL, "http://"))
	if err != nil {
		l.t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: lab\r\n\r\n", path)
	time.Sleep(200 * time.Millisecond) // the request must be there before it is cancelled
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

func TestContextDeadlineEndsACallToAnObject(t *testing.T) {
	l := start(t)
	a := l.wantError("/?m=timeout&n=200", "deadline exceeded")
	if a.took > 5*time.Second {
		t.Errorf("took %v", a.took)
	}
}

func TestMissingBindingIsNamedWithThoseThatExist(t *testing.T) {
	l := start(t)
	a := l.wantError("/?m=badbind", `"NOPE"`)
	if !strings.Contains(a.body, "LAB") || len(a.kinds) != 1 || a.kinds[0] != "binding" {
		t.Errorf("error %q is of kind %v", a.body, a.kinds)
	}
}
