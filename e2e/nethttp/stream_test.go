//go:build !js

package nethttp

import (
	"bufio"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/e2e/nethttp/cases"
)

// The test requests each event after the previous one has arrived, so a delayed
// event stops the test. Then the client disconnects, and the handler learns it.
func TestEventsArriveAsTheyAreFlushed(t *testing.T) {
	url := serve(t)
	for _, way := range ways {
		t.Run(way, func(t *testing.T) {
			id := "events " + way
			conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			conn.Write(wire(cases.Case{}, http.Header{"X-Case": {"events on demand"}, "X-Way": {way}, "X-Id": {id}}))
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || resp.StatusCode != 200 {
				t.Fatal(resp, err)
			}
			body := bufio.NewReader(resp.Body)
			for i := range 3 {
				exchange(t, url, cases.Case{}, http.Header{"X-Next": {id}, "X-Way": {where(way)}})
				line, err := body.ReadString('\n')
				if want := "data: " + string(rune('0'+i)) + "\n"; line != want || err != nil {
					t.Fatalf("%q, %v", line, err)
				}
				body.ReadString('\n')
			}
			conn.Close()
			notes := "" // workerd notices a disconnected client when it writes to it
			for i := 0; i < 100 && notes == ""; i++ {
				exchange(t, url, cases.Case{}, http.Header{"X-Next": {id}, "X-Way": {where(way)}})
				time.Sleep(20 * time.Millisecond)
				notes = takeNotes(t, url, way, id, 0)
			}
			if notes != "context canceled\n" {
				t.Errorf("the handler ended with %q", notes)
			}
		})
	}
}
