//go:build !js

// Package cluster checks that claims, completions, sequences and waits are
// linearizable across the nodes of a cluster, while nodes are killed, stopped
// and paused, and while bucket and network fail.
package cluster

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/e2e/internal/worker"
	"flow.internal/capdo/internal/freeport"
	"flow.internal/capdo/internal/process"
	"flow.internal/capdo/internal/s3server"
	"flow.internal/capdo/internal/selfhost"
	"flow.internal/capdo/internal/sleep"
	"flow.internal/capdo/internal/wrangler"
)

func TestMain(m *testing.M) { worker.Main(m) }

// lease is workerd's lease. Tests could shorten it (unsafeTimeDivisor), but
// then a busy machine does not renew it in time.
const lease = 20 * time.Second

// patient is how long tests wait for something that must happen.
const patient = 2 * time.Minute

// lab is a cluster with its bucket.
type lab struct {
	build   string           // folder of the Worker's build
	config  *wrangler.Config // of the Worker
	network *network
	nodes   []*node
	traffic *traffic
	bucket  *s3server.Server

	credentials string // path of a file
	key         string // of the cluster
}

// node is one workerd process.
type node struct {
	number  int
	link    *link
	options selfhost.Options
	avoid   atomic.Bool  // clients must not use it, as behind a load balancer
	down    atomic.Bool  // it must not be started again
	ends    atomic.Int64 // how often it ended by itself
	log     process.Log

	mu       sync.Mutex
	server   *selfhost.Server
	replaced *selfhost.Server // the test has ended it, and starts another one
}

// crashes returns the messages of crashes inside workerd.
func (n *node) crashes() (list []string) {
	lines := strings.Split(n.log.String(), "\n")
	for i, line := range lines {
		if strings.Contains(line, "panicked at") || strings.Contains(line, "*** Fatal") {
			list = append(list, strings.Join(lines[i:min(i+2, len(lines))], " "))
		}
	}
	return list
}

// printed returns the end of what the node has printed.
func (n *node) printed() string {
	text := n.log.String()
	return text[max(0, len(text)-3000):]
}

// newLab starts the given number of nodes. prefix(n) is the prefix of node n in
// the bucket.
func newLab(t testing.TB, nodes int, w *network, prefix func(n int) string) *lab {
	t.Helper()
	return newLabOf(t, worker.Tested.Dir, loadConfig(t, "worker"), nodes, w, prefix)
}

// loadConfig loads the wrangler config in a folder.
func loadConfig(t testing.TB, folder string) *wrangler.Config {
	t.Helper()
	config, err := wrangler.Load(filepath.Join(folder, "wrangler.jsonc"))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// newLabOf is newLab with another build or another Worker.
func newLabOf(t testing.TB, build string, config *wrangler.Config, nodes int, w *network, prefix func(n int) string) *lab {
	t.Helper()
	program, err := s3server.Build(t.Context(), func() {
		fmt.Fprintln(os.Stderr, "building versitygw, an S3-compatible server; this takes a minute, but only once")
	})
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{
		build: build, config: config, network: w, traffic: &traffic{kinds: map[string]int{}},
		key: rand.Text() + rand.Text(),
	}
	l.bucket, err = s3server.Start(t.Context(), program, fmt.Sprintf("127.0.0.1:%d", port(t)), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.bucket.Stop)
	l.credentials = filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(l.credentials, []byte(strings.Join(l.bucket.Env(), "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= nodes; n++ {
		l.nodes = append(l.nodes, l.newNode(t, n, prefix(n)))
	}
	for _, n := range l.nodes {
		n.start(t)
	}
	for _, n := range l.nodes {
		n.await(t)
	}
	return l
}

func port(t testing.TB) int {
	t.Helper()
	p, err := freeport.Get()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (l *lab) newNode(t testing.TB, number int, prefix string) *node {
	t.Helper()
	n := &node{number: number, link: newLink(t, l.network.home(), l.bucket.Endpoint, l.traffic)}
	listen, peers := fmt.Sprintf("127.0.0.1:%d", port(t)), fmt.Sprintf("127.0.0.1:%d", port(t))
	advertise := peers
	if l.network.spaces {
		listen, peers = l.network.host(number)+":8787", l.network.host(number)+":7000"
		advertise = peers
	} else {
		advertise = l.network.newGate(t, peers)
	}
	n.options = selfhost.Options{
		Workerd: l.network.workerd(t, number, worker.Tested.Binary), Config: l.config, Build: l.build, Data: filepath.Join(t.TempDir(), "data"),
		Listen: listen, StopTimeout: 8 * time.Second, JSONLogs: true,
		Cluster: &selfhost.Cluster{
			Bucket: "s3://" + l.bucket.Bucket + "/" + prefix, Endpoint: n.link.address, Region: s3server.Region, CredentialsFile: l.credentials, Listen: peers, Advertise: advertise,
			Key: l.key,
		},
	}
	t.Cleanup(func() {
		n.kill()
		if t.Failed() {
			t.Logf("node %d printed:\n%s", number, n.printed())
		}
	})
	return n
}

func (n *node) start(t testing.TB) {
	t.Helper()
	s, err := selfhost.Start(&n.options, slog.New(slog.NewTextHandler(&n.log, nil)), &n.log)
	if err != nil {
		t.Errorf("node %d: %v", n.number, err)
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.server = s
	go n.supervise(t, s)
}

// supervise restarts the node when it ends by itself, like systemd.
func (n *node) supervise(t testing.TB, s *selfhost.Server) {
	select {
	case <-s.Ended():
	case <-t.Context().Done():
		return
	}
	if n.down.Load() || !n.isCurrent(s) {
		return
	}
	n.ends.Add(1)
	n.avoid.Store(true)
	fmt.Fprintf(&n.log, "ended by itself: %v\n", s.Err())
	if sleep.For(t.Context(), time.Second/2) {
		n.start(t)
	}
}

// isCurrent reports whether s is the node's server, and no other one is being
// started in its place.
func (n *node) isCurrent(s *selfhost.Server) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.server == s && n.replaced != s
}

func (n *node) running() *selfhost.Server {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.server
}

// await waits until the node serves requests and is a member, however long its
// start takes.
func (n *node) await(t testing.TB) {
	t.Helper()
	for end := time.Now().Add(patient); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if n.ready() {
			n.avoid.Store(false)
			return
		}
	}
	t.Errorf("node %d did not become ready", n.number)
}

var probe = &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func (n *node) ready() bool {
	select {
	case <-n.running().Up():
	default:
		return false
	}
	resp, err := probe.Get("http://" + n.options.Cluster.Listen + "/ready")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// kill ends the node. It is not restarted automatically.
func (n *node) kill() {
	n.down.Store(true)
	if s := n.running(); s != nil {
		s.Kill()
	}
}

// revive starts a node that the test has ended.
func (n *node) revive(t testing.TB) {
	t.Helper()
	n.mu.Lock()
	n.replaced = n.server
	n.mu.Unlock()
	n.down.Store(false)
	n.start(t)
	n.await(t)
}
