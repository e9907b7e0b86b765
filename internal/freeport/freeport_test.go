//go:build !js

package freeport

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

const taken = "FREEPORT_TAKEN"

// TestOtherProcess runs itself in a second process, with a port that the first
// one has reserved.
func TestOtherProcess(t *testing.T) {
	if text := os.Getenv(taken); text != "" {
		port, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		if take(port, 1) == nil {
			t.Error("two processes have the same port")
		}
		if take(port-1, 2) == nil {
			t.Error("two processes have the same port in a range")
		}
		return
	}
	port, err := Get()
	if err != nil {
		t.Fatal(err)
	}
	other := exec.Command(os.Args[0], "-test.run=^TestOtherProcess$")
	other.Env = append(os.Environ(), fmt.Sprintf("%s=%d", taken, port))
	if out, err := other.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatalf("a server cannot bind its port: %v", err)
	}
	l.Close()
}

func TestRange(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		port, err := Range(4)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			if p := port + i; seen[p] || p < first || p > last {
				t.Fatalf("port %d is returned twice, or outside of the range", p)
			}
			seen[port+i] = true
		}
	}
}

// A range with a port that is taken reserves nothing.
func TestRangeTaken(t *testing.T) {
	for range 20 { // another process may take the port meanwhile
		port, err := Range(2)
		if err != nil {
			t.Fatal(err)
		}
		if take(port-1, 2) == nil {
			t.Fatal("a port is returned twice")
		}
		if take(port-1, 1) == nil {
			return
		}
	}
	t.Error("a range that is refused reserves its first port")
}
