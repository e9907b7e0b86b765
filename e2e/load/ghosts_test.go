//go:build !js

package load

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/ledgerapi"
)

// If a client leaves before its request has begun, nothing reports that, not
// even in JavaScript: its wait continues. It still ends after MaxRequestWait.
func TestClientsThatLeaveEarlyAreNotWaitedForLong(t *testing.T) {
	const clients = 50
	l := start(t)
	l.hold("greedy", "k")
	l.calls.Go(func() { l.post("/spin", url.Values{"ms": {"1500"}}, nil) })
	time.Sleep(300 * time.Millisecond) // the isolate is busy
	begin := time.Now()
	for range clients {
		conn, err := net.Dial("tcp", strings.TrimPrefix(l.server.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		body := tenantsClaim("k", dedupe.MaxWait)
		fmt.Fprint(conn, "POST /v1/claims HTTP/1.1\r\nHost: localhost\r\n")
		for name, value := range l.header("greedy", nil) {
			fmt.Fprintf(conn, "%s: %s\r\n", name, value)
		}
		fmt.Fprintf(conn, "Content-Length: %d\r\n\r\n%s", len(body), body)
		conn.Close()
	}
	await(l, "/counts", nil, func(c counts) bool { return c.Waiting > 0 })
	ghosts := ask[counts](l, "/counts", nil)
	await(l, "/counts", nil, func(c counts) bool { return c.Waiting == 0 })
	took := time.Since(begin)
	t.Logf("waits of %d of %d departed clients continued, until %v after they left", ghosts.Waiting, clients, took.Round(time.Millisecond))
	if took > ledgerapi.MaxRequestWait+15*time.Second { // they asked for 60 s
		t.Errorf("their waits continued until %v", took)
	}
}
