//go:build !js

package cluster

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// network describes where nodes run: each in a network namespace of its own or,
// if that is not allowed, all on loopback. On loopback a proxy in front of each
// node's port serves the other nodes.
type network struct {
	spaces bool
	why    string // why there are no namespaces
	id     string
	subnet string   // the first three numbers of its addresses
	undo   []string // commands that remove what this network made
	gates  []*gate
}

// newNetwork makes a namespace for each node, joined by a bridge.
func newNetwork(t testing.TB, nodes int) *network {
	t.Helper()
	w := &network{}
	t.Cleanup(w.remove)
	w.why = w.find(nodes)
	w.spaces = w.why == ""
	return w
}

var loopback = flag.Bool("loopback", false, "no network namespaces, as for a user who is not root")

// find makes the network under a number that no other run on this machine has:
// the name of its bridge and its subnet follow from the number, and the kernel
// gives a name only once.
func (w *network) find(nodes int) (why string) {
	if *loopback {
		return "-loopback"
	}
	if os.Getuid() != 0 {
		return "network namespaces need root"
	}
	for range 20 {
		n := rand.IntN(1 << 15)
		w.id, w.subnet = fmt.Sprintf("cd%04x", n), fmt.Sprintf("10.%d.%d", 64+n>>8, n&0xff)
		if why = w.make(nodes); why == "" {
			return ""
		}
		w.remove()
		if !strings.Contains(why, "exists") { // else another run has the name
			break
		}
	}
	return why
}

func (w *network) make(nodes int) (why string) {
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if a, ok := a.(*net.IPNet); ok && a.Contains(net.ParseIP(w.host(0))) {
			return fmt.Sprintf("the subnet %s exists: %v", w.subnet, a)
		}
	}
	type step struct{ do, undo string }
	steps := []step{
		{"link add " + w.id + " type bridge", "link del " + w.id},
		{fmt.Sprintf("addr add %s/24 dev %s", w.host(0), w.id), ""},
		{fmt.Sprintf("link set %s up", w.id), ""},
	}
	for n := 1; n <= nodes; n++ {
		space, veth := w.space(n), w.veth(n)
		steps = append(steps,
			step{"netns add " + space, "netns del " + space},
			step{fmt.Sprintf("link add %s type veth peer name eth0 netns %s", veth, space), ""},
			step{fmt.Sprintf("link set %s master %s up", veth, w.id), ""},
			step{fmt.Sprintf("-n %s addr add %s/24 dev eth0", space, w.host(n)), ""},
			step{fmt.Sprintf("-n %s link set lo up", space), ""},
			step{fmt.Sprintf("-n %s link set eth0 up", space), ""},
		)
	}
	for _, s := range steps {
		if err := ip(s.do); err != nil {
			return err.Error()
		}
		if s.undo != "" {
			w.undo = append(w.undo, s.undo)
		}
	}
	return ""
}

func (w *network) space(n int) string { return fmt.Sprintf("%s-n%d", w.id, n) }
func (w *network) veth(n int) string  { return fmt.Sprintf("%s-v%d", w.id, n) }

// host returns the address of node n, or with 0 the bridge's.
func (w *network) host(n int) string { return fmt.Sprintf("%s.%d", w.subnet, n+1) }

// home returns the host at which nodes reach the test.
func (w *network) home() string {
	if w.spaces {
		return w.host(0)
	}
	return "127.0.0.1"
}

func (w *network) remove() {
	for _, line := range slices.Backward(w.undo) {
		ip(line)
	}
	w.undo = nil
	for _, g := range w.gates {
		g.listener.Close()
	}
}

func ip(line string) error {
	out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", line, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// workerd returns a program that runs workerd in the place of node n.
func (w *network) workerd(t testing.TB, n int, binary string) string {
	t.Helper()
	if !w.spaces {
		return binary
	}
	script := filepath.Join(t.TempDir(), "workerd")
	text := fmt.Sprintf("#!/bin/sh\nexec ip netns exec %s %s \"$@\"\n", w.space(n), binary)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return script
}

// cutPeers disconnects node n from the other nodes or reconnects it. Bucket and
// clients stay connected.
func (w *network) cutPeers(n, nodes int, cut bool) error {
	if !w.spaces {
		w.gates[n-1].cut(cut)
		return nil
	}
	verb := map[bool]string{true: "add", false: "del"}[cut]
	for other := 1; other <= nodes; other++ {
		if other == n {
			continue
		}
		if err := ip(fmt.Sprintf("-n %s route %s blackhole %s/32", w.space(n), verb, w.host(other))); err != nil {
			return err
		}
	}
	return nil
}

// cutAll disconnects node n from everything or reconnects it.
func (w *network) cutAll(n int, cut bool) error {
	return ip(fmt.Sprintf("link set %s %s", w.veth(n), map[bool]string{true: "down", false: "up"}[cut]))
}

// gate is a proxy on loopback that serves a node's port to the other nodes.
type gate struct {
	listener net.Listener
	to       string
	closed   atomic.Bool
	mu       sync.Mutex
	open     map[net.Conn]bool
}

func (w *network) newGate(t testing.TB, to string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{listener: l, to: to, open: map[net.Conn]bool{}}
	w.gates = append(w.gates, g)
	go g.serve()
	return l.Addr().String()
}

func (g *gate) serve() {
	for {
		c, err := g.listener.Accept()
		if err != nil {
			return
		}
		if g.closed.Load() {
			c.Close()
			continue
		}
		go g.pass(c)
	}
}

func (g *gate) pass(c net.Conn) {
	up, err := net.Dial("tcp", g.to)
	if err != nil {
		c.Close()
		return
	}
	for _, conn := range []net.Conn{c, up} {
		g.note(conn, true)
		defer g.note(conn, false)
		defer conn.Close()
	}
	go func() {
		io.Copy(up, c)
		up.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(c, up)
}

func (g *gate) note(c net.Conn, open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if open {
		g.open[c] = true
	} else {
		delete(g.open, c)
	}
}

func (g *gate) cut(cut bool) {
	g.closed.Store(cut)
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.open {
		if cut {
			c.Close()
		}
	}
}

// Two runs on one machine may choose the same number. The second one must not
// use or remove what the first one made.
func TestNetworkIsTaken(t *testing.T) {
	first := newNetwork(t, 1)
	if !first.spaces {
		t.Skip(first.why)
	}
	for _, second := range []*network{
		{id: first.id, subnet: "10.250.250"},
		{id: "cdffff", subnet: first.subnet}, // numbers end before ffff
	} {
		if why := second.make(1); !strings.Contains(why, "exists") {
			t.Errorf("with the name %s and the subnet %s: %q", second.id, second.subnet, why)
		}
		second.remove()
	}
	if err := ip(fmt.Sprintf("-n %s addr show dev eth0", first.space(1))); err != nil {
		t.Errorf("the first network: %v", err)
	}
	if err := ip("link show " + first.id); err != nil {
		t.Errorf("the first network: %v", err)
	}
}
