// Package localcluster runs several nodes of a cluster on this machine, with
// its own S3-compatible server. It is for trying out what happens when nodes
// die. It implements capdo cluster.
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

// TimeDivisor shortens leases from 20 s to 10 s. With a larger divisor nodes
// stop, because the bucket's clock has whole seconds.
const TimeDivisor = 2

// prefix is the cluster's prefix in its bucket.
const prefix = "nodes"

// Options describe the cluster to run.
type Options struct {
	Node    selfhost.Options // options that all nodes share
	Nodes   int
	Dir     string // for the bucket, the nodes' folders and their logs
	Listen  string // host:port for requests to any node; the nodes use the ports after it
	Program string // the S3 server's program, as s3server.Build returns it
}

// Cluster is a set of nodes with their bucket.
type Cluster struct {
	Options
	Nodes  []*Node
	bucket *s3server.Server
	key    string
	change chan struct{} // gets an element when a state has changed
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

// credentials returns the path of a file. It is used instead of the user's
// environment variables, which are not for this bucket and may include a
// session token.
func (c *Cluster) credentials() string { return filepath.Join(c.Dir, "bucket", "credentials") }

func (c *Cluster) startNodes(ctx context.Context) error {
	host, first, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(first)
	if err != nil {
		return fmt.Errorf("%q is not a port: %w", first, err)
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

// Changed returns a channel that gets an element when a state has changed.
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
	URL     string // of a proxy that answers as long as capdo runs, and counts requests
	Cluster *Cluster

	listen    string // its addresses for requests and for other nodes
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
	port, err := freeport.Range(2)
	if err != nil {
		return nil, err
	}
	n.listen = fmt.Sprintf("127.0.0.1:%d", port)
	n.advertise = fmt.Sprintf("127.0.0.1:%d", port+1)
	if err := os.MkdirAll(n.dir(), 0o755); err != nil {
		return nil, err
	}
	if n.log, err = os.Create(filepath.Join(n.dir(), "log")); err != nil {
		return nil, err
	}
	return n, serveHTTP(listen, n.proxy())
}

func (n *Node) dir() string { return filepath.Join(n.Cluster.Dir, fmt.Sprintf("node%d", n.Number)) }

// State returns the node's state and the time of its last change.
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

// running returns the server, or nil if the node is not running.
func (n *Node) running() *selfhost.Server {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.server
}

// Restart starts the node. If it is running, Restart first stops it gracefully.
func (n *Node) Restart() error {
	if n.running() != nil {
		if err := n.Stop(); err != nil {
			return err
		}
	}
	o := n.Cluster.Node
	o.Data = filepath.Join(n.dir(), "data")
	o.Listen, o.Health = n.listen, ""
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

// ended records that a server has ended by itself.
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
		return errors.New("it is not running")
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
		case !isUp(s): // the state is already "starting"
		default:
			n.set("not ready: " + err.Error())
		}
	}
}

var errNotRunning = errors.New("the node is not running\nhint: start it with capdo cluster restart")

// take returns the node's server and removes it from the node.
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

// Stop makes the node hand over its objects and end.
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

// Pause stops the process (SIGSTOP) until Resume.
func (n *Node) Pause() error {
	s := n.running()
	if s == nil {
		return errNotRunning
	}
	n.set("paused")
	return pause(s.Process())
}

// Resume continues a paused process.
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
