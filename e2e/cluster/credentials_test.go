//go:build !js

package cluster

import (
	"net/http"
	"os"
	"testing"
	"time"
)

// When the file with the bucket's credentials is replaced, it is read again
// without a restart.
func TestCredentialsRotate(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1, &network{why: "not needed"}, same)
	good, err := os.ReadFile(l.credentials)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(text string) {
		t.Helper()
		next := l.credentials + ".next"
		if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, l.credentials); err != nil {
			t.Fatal(err)
		}
	}
	n := l.nodes[0]
	replace("AWS_ACCESS_KEY_ID=rotated\nAWS_SECRET_ACCESS_KEY=another\n")
	for end := time.Now().Add(patient); !n.link.rotated.Load(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("no request had the new access key")
		}
	}
	replace(string(good))
	c := &caller{load: newLoad(l), client: &http.Client{Timeout: 20 * time.Second}}
	for end := time.Now().Add(patient); ; {
		a, _ := c.send(n, claimOf("key", "holder"), 0)
		if a.Outcome == "acquired" {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("with the first key again: %+v", a)
		}
	}
	if n.ends.Load() > 0 {
		t.Error("the node has ended")
	}
}
