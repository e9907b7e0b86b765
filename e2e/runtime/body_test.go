//go:build !js

package runtime

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestBodies: a body with a small stated length is read before Go is called. If
// the stated length is wrong, the handler must still read the real body, also
// if it passes the body on to an object.
func TestBodies(t *testing.T) {
	t.Parallel()
	l := start(t)
	for _, n := range []int{0, 1, 100, 16 << 10, 16<<10 + 1, 1 << 20} {
		body := strings.Repeat("x", n)
		for _, path := range []string{"/body", "/passed"} {
			for name, r := range map[string]io.Reader{"of known length": strings.NewReader(body), "chunked": io.MultiReader(strings.NewReader(body))} {
				resp, err := client.Post(l.URL+path, "text/plain", r)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if want := fmt.Sprintf("%d x, then EOF", n); string(b) != want || err != nil {
					t.Errorf("%s, %d bytes %s: %q %v, want %q", path, n, name, b, err, want)
				}
			}
		}
	}
	for kind, want := range map[string]string{
		"longer":  "100000 x, then EOF",      // longer than content-length
		"shorter": "1 x, then EOF",           // shorter than content-length
		"script":  "3 x, then EOF",           // a stream made in JavaScript
		"fails":   "0 x, then no more of it", // before the first byte
		"empty":   "0 x, then EOF",           // although content-length is not 0
		"minus":   "3 x, then EOF",           // content-length: -1
	} {
		l.want("/forged?kind="+kind, want)
	}
	l.want("/forged?kind=longer&path=/passed", "100000 x, then EOF")
	l.want("/forged?kind=shorter&path=/passed", "1 x, then EOF")
}

// TestBodyThatBreaksOff: if a client disconnects in the middle of a small body,
// nothing is left of the request.
func TestBodyThatBreaksOff(t *testing.T) {
	t.Parallel()
	l := start(t)
	for range 5 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(l.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nxxx")
		time.Sleep(20 * time.Millisecond) // lets it arrive, although nothing depends on that
		conn.Close()
	}
	l.eventually("/open", "0 0", 10*time.Second)
	resp, err := http.Post(l.URL+"/body", "text/plain", strings.NewReader("xx"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); string(b) != "2 x, then EOF" {
		t.Errorf("afterwards: %q", b)
	}
}
