//go:build !js

package runtime

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// Each object holds its lock while it calls the next one, so no call of a cycle
// ends.
func TestCyclesOfCallsAreSaid(t *testing.T) {
	t.Parallel()
	l := start(t)
	end := time.Now().Add(30 * seconds)
	const id = `Lab\([0-9a-f]{8}…\)`
	tests := []struct{ name, query, want string }{
		{"two objects", "m=ring&path=a,b,a", id + `\.run → ` + id + `\.run → ` + id + `\.run`},
		{"an object that calls itself", "m=ring&path=c,c", id + `\.run → ` + id + `\.run`},
		{"three objects, by fetch", "m=ring&path=d,e,f,d&by=fetch", id + `\.run → ` + id + `\.fetch → ` + id + `\.fetch → ` + id + `\.fetch`},
		{"events that are blocked", "m=ring&path=g,h,g&in=block", id + `\.run → ` + id + `\.run → ` + id + `\.run, held back by`},
	}
	// These are not cycles: a slow chain of calls, and two objects that call
	// each other for different reasons, one after another.
	for i, path := range []string{"p,q,r", "s,t", "t,s"} {
		l.send("/?o=" + path[:1] + "&m=ring&end=gatewait&path=" + path)
		for open := 4 + 3*i; l.calls() < open; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s has not started", path)
			}
		}
	}
	for _, tt := range tests {
		first, _, _ := strings.Cut(strings.TrimPrefix(tt.query, "m=ring&path="), ",")
		l.send("/?o=" + first + "&" + tt.query)
	}
	end = time.Now().Add(30 * seconds)
	for _, tt := range tests {
		line := regexp.MustCompile(`(?m)capdo: a cycle of calls has gone on for \d+ s: ` + tt.want)
		for ; !line.MatchString(l.Log()); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%s: the log does not contain %s", tt.name, line)
				break
			}
		}
	}
	time.Sleep(6 * seconds) // time for another check
	if n := strings.Count(l.Log(), "a cycle of calls"); n != len(tests) {
		t.Errorf("%d of %d cycles were logged", n, len(tests))
	}
	if strings.Count(l.Log(), "hint: if the last one needs a lock") != len(tests) {
		t.Error("some cycle has no hint")
	}
	l.want("/?m=ping", "pong")
}
