// Package localcluster runs several nodes of a cluster on this machine, over an
// S3-compatible server of their own, to try what happens when nodes die: what
// capdo cluster does.
package localcluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"flow.internal/capdo/internal/freeport"
	"flow.internal/capdo/internal/s3server"
	"flow.internal/capdo/internal/selfhost"
)

// TimeDivisor shortens leases, from 20 s to 10 s. Larger ones stop nodes: the
// bucket's clock has whole seconds.
const TimeDivisor = 2

// prefix of the cluster in its bucket.
const prefix = "nodes"

// Options say what is run.
type Options struct {
	Node    selfhost.Options // what all nodes have in common
	Nodes   int
	Dir     string // for the bucket, the nodes' folders and their logs
	Listen  string // host:port that any node answers at; the nodes have the ports after it
	Program string // the S3 server's, as s3server.Build returns it
}

// Cluster is nodes and their bucket.
type Cluster struct {
	Options
	Nodes  []*Node
	bucket *s3server.Server
	key    string
	change chan struct{} // something is to be shown
}

// Start starts the bucket's server and all nodes, and returns when they serve.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	port, err := freeport.Get()
	if err != nil {
		return nil, err
	}
	c := &Cluster{Options: o, key: rand.Text() + rand.Text(), change: make(chan struct{}, 1)}
	if c.bucket, err = s3server.Start(ctx, o.Program, fmt.Sprintf("127.0.0.1:%d", port),
		filepath.Join(o.Dir, "bucket")); err != nil {
		return nil, err
	}
	if err := os.WriteFile(c.credentials(),
		[]byte(strings.Join(c.bucket.Env(), "\n")+"\n"), 0o600); err != nil {
		c.bucket.Stop()
		return nil, err
	}
	if err := c.startNodes(ctx); err != nil {
		c.Stop()
		return nil, err
	}
	return c, nil
}

// credentials is a file: variables of the user's own environment, such as a
// session token, are not for this bucket.
func (c *Cluster) credentials() string { return filepath.Join(c.Dir, "bucket", "credentials") }

func (c *Cluster) startNodes(ctx context.Context) error {
	host, first, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(first)
	if err != nil {
		return fmt.Errorf("%q is no port: %w", first, err)
	}
	var errs []error
	for n := range c.Options.Nodes {
		node, err := newNode(c, n+1, net.JoinHostPort(host, strconv.Itoa(port+n+1)))
		if err != nil {
			return err
		}
		c.Nodes = append(c.Nodes, node)
		errs = append(errs, node.Restart())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := c.balance(c.Listen); err != nil {
		return err
	}
	for _, n := range c.Nodes {
		if err := n.await(ctx); err != nil {
			return fmt.Errorf("node %d: %w", n.Number, err)
		}
		go n.poll(ctx)
	}
	return nil
}

// Stop ends everything at once.
func (c *Cluster) Stop() {
	var wg sync.WaitGroup
	for _, n := range c.Nodes {
		wg.Go(func() { n.Kill() })
	}
	wg.Wait()
	if c.bucket != nil {
		c.bucket.Stop()
	}
}

// Changed reports that something is to be shown.
func (c *Cluster) Changed() <-chan struct{} { return c.change }

func (c *Cluster) changed() {
	select {
	case c.change <- struct{}{}:
	default:
	}
}

// Node is one workerd.
type Node struct {
	Number  int
	URL     string // answers as long as capdo runs, and counts
	Cluster *Cluster

	advertise string
	counts    counts
	log       *os.File

	mu     sync.Mutex
	server *selfhost.Server
	state  string
	since  time.Time
}

func newNode(c *Cluster, number int, listen string) (*Node, error) {
	n := &Node{Number: number, URL: "http://" + listen, Cluster: c, state: "stopped",
		since: time.Now()}
	port, err := freeport.Get()
	if err != nil {
		return nil, err
	}
	n.advertise = fmt.Sprintf("127.0.0.1:%d", port)
	if err := os.MkdirAll(n.dir(), 0o755); err != nil {
		return nil, err
	}
	if n.log, err = os.Create(filepath.Join(n.dir(), "log")); err != nil {
		return nil, err
	}
	return n, serveHTTP(listen, n.proxy())
}

func (n *Node) dir() string { return filepath.Join(n.Cluster.Dir, fmt.Sprintf("node%d", n.Number)) }

// State says how the node is, and since when.
func (n *Node) State() (string, time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state, n.since
}

func (n *Node) set(state string) {
	n.mu.Lock()
	changed := n.state != state
	if changed {
		n.state, n.since = state, time.Now()
	}
	n.mu.Unlock()
	if changed {
		n.Cluster.changed()
	}
}

// running returns the server, or nil if the node does not run.
func (n *Node) running() *selfhost.Server {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.server
}

// Restart starts the node, after ending it gracefully if it runs.
func (n *Node) Restart() error {
	if n.running() != nil {
		if err := n.Stop(); err != nil {
			return err
		}
	}
	port, err := freeport.Get()
	if err != nil {
		return err
	}
	o := n.Cluster.Node
	o.Data = filepath.Join(n.dir(), "data")
	o.Listen, o.Health = fmt.Sprintf("127.0.0.1:%d", port), ""
	o.Cluster = &selfhost.Cluster{
		Bucket:   "s3://" + n.Cluster.bucket.Bucket + "/" + prefix,
		Endpoint: n.Cluster.bucket.Endpoint, Region: s3server.Region,
		CredentialsFile: n.Cluster.credentials(), Listen: n.advertise, Advertise: n.advertise,
		Key: n.Cluster.key, TimeDivisor: TimeDivisor,
	}
	s, err := selfhost.Start(&o, slog.New(slog.NewTextHandler(n.log, nil)), n.log)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.server = s
	n.mu.Unlock()
	n.set("starting")
	go func() {
		<-s.Ended()
		n.ended(s)
	}()
	return nil
}

// ended notes the end of a server that nobody asked to end.
func (n *Node) ended(s *selfhost.Server) {
	n.mu.Lock()
	mine := n.server == s
	if mine {
		n.server = nil
	}
	n.mu.Unlock()
	if mine {
		err := s.Err()
		fmt.Fprintln(n.log, err)
		n.set("ended, see its log")
	}
}

// await waits until the node serves.
func (n *Node) await(ctx context.Context) error {
	s := n.running()
	if s == nil {
		return errors.New("it does not run")
	}
	select {
	case <-s.Up():
		return nil
	case <-s.Ended():
		return s.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// poll keeps the state up to date.
func (n *Node) poll(ctx context.Context) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		s := n.running()
		if s == nil {
			continue
		}
		if state, _ := n.State(); state == "paused" || state == "stopping" {
			continue
		}
		err := s.Ready(ctx)
		if n.running() != s {
			continue
		}
		if state, _ := n.State(); state == "paused" || state == "stopping" {
			continue
		}
		switch {
		case err == nil:
			n.set("ready")
		case !isUp(s): // "starting" it is already
		default:
			n.set("not ready: " + err.Error())
		}
	}
}

var errNotRunning = errors.New("the node does not run\nhint: start it with capdo cluster restart")

// take takes the server away from the node.
func (n *Node) take() *selfhost.Server {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.server
	n.server = nil
	return s
}

// Kill ends the node with SIGKILL.
func (n *Node) Kill() error {
	s := n.take()
	if s == nil {
		return errNotRunning
	}
	s.Kill()
	n.set("killed")
	return nil
}

// Stop has the node hand its objects over and end.
func (n *Node) Stop() error {
	s := n.running()
	if s == nil {
		return errNotRunning
	}
	if state, _ := n.State(); state == "paused" {
		return errors.New("the node is paused\nhint: resume it first, or kill it")
	}
	n.set("stopping")
	n.take()
	err := s.Stop()
	n.set("stopped")
	return err
}

// Pause stops the process in its tracks, until Resume.
func (n *Node) Pause() error {
	s := n.running()
	if s == nil {
		return errNotRunning
	}
	n.set("paused")
	return pause(s.Process())
}

// Resume lets it go on.
func (n *Node) Resume() error {
	s := n.running()
	if s == nil {
		return errNotRunning
	}
	err := resume(s.Process())
	n.set("resumed")
	return err
}

func isUp(s *selfhost.Server) bool {
	select {
	case <-s.Up():
		return true
	default:
		return false
	}
}
