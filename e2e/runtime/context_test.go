//go:build !js

package runtime

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// Only requests and objects that are called from outside are open here. In a
// test program that runs in workerd, the test itself is open too.
func TestTimersOutliveTheRequestThatArmedThem(t *testing.T) {
	t.Parallel()
	l := start(t)
	for i, a := range l.together("/?m=sleep&n=300", "/?m=sleep&n=600", "/?o=a&m=sleep&n=450", "/?o=b&m=sleep&n=900") {
		if a.body != "slept" || a.took > 15*time.Second {
			t.Errorf("request %d: %d %q after %v", i, a.status, a.body, a.took)
		}
	}
}

func TestTimerOutlivesEveryContext(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.want("/?m=waituntil&n=300&to=w", "answered")
	time.Sleep(600 * time.Millisecond)
	l.want("/?o=w&m=get&k=k", "later")
}

func TestTaskGoesOnWhenTheCallerGoesAway(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.abandon("/?m=waituntil&n=600&to=w&hold=1")
	l.eventually("/?o=w&m=get&k=k", "later", 5*time.Second)
}

func TestCanceledRequestReleasesItsLock(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.abandon("/?m=hold")
	l.want("/?m=wasCanceled", "the caller has disconnected")
	l.want("/?o=afterwards&m=get&k=k", "held")
}

func TestAbandonedRequestWaitsForNoAnswer(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.abandon("/?m=awaits")
	begin := time.Now()
	l.want("/?m=wasCanceled", "the caller has disconnected")
	if took := time.Since(begin); took > 20*time.Second { // the answer would take a minute, and the context would end after 28 s
		t.Errorf("that took %v", took)
	}
}

func TestLockOfAnAbandonedRequestIsReleased(t *testing.T) {
	t.Parallel()
	l := start(t)
	l.abandon("/?m=stubborn")
	begin := time.Now()
	waiting := l.get("/?o=waiter&m=wasCanceled")
	if waiting.body != "I/O context is closed: its invocation has ended" || time.Since(begin) > 35*time.Second {
		t.Errorf("%d %q after %v", waiting.status, waiting.body, waiting.took)
	}
}

// abandon makes a request and resets its connection. (workerd treats an orderly
// close as a half-closed connection, and continues.)
func (l *lab) abandon(path string) {
	l.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(l.URL, "http://"))
	if err != nil {
		l.t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: lab\r\n\r\n", path)
	time.Sleep(200 * time.Millisecond) // the request must arrive before it is cancelled
	conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}
