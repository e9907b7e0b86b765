//go:build !js

package cluster

import (
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// conditions are the state of the bucket for one node.
type conditions struct {
	delay  time.Duration // maximum for each request
	broken float64       // the share of requests answered with 500 or 503
	away   bool          // connections are closed
}

// link is a node's connection to the bucket: a reverse proxy that can inject
// faults.
type link struct {
	address    string
	conditions atomic.Pointer[conditions]
	rotated    atomic.Bool // whether a request had the access key "rotated"
	traffic    *traffic
}

// traffic counts the nodes' requests to the bucket.
type traffic struct {
	requests, in, out atomic.Int64 // out: bytes to the bucket
	mu                sync.Mutex
	kinds             map[string]int // by method and kind of object
}

func (l *link) set(c conditions) { l.conditions.Store(&c) }

// newLink listens at host, and forwards requests to the bucket's server.
func newLink(t testing.TB, host, endpoint string, c *traffic) *link {
	t.Helper()
	to, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	l := &link{address: "http://" + listener.Addr().String(), traffic: c}
	l.set(conditions{})
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // the host is signed
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.serve(proxy, w, r) }), ErrorLog: log.New(io.Discard, "", 0)}
	go s.Serve(listener)
	t.Cleanup(func() { s.Close() })
	return l
}

func (l *link) serve(proxy http.Handler, w http.ResponseWriter, r *http.Request) {
	now := l.conditions.Load()
	if now.delay > 0 {
		time.Sleep(rand.N(now.delay))
	}
	switch {
	case strings.Contains(r.Header.Get("Authorization"), "Credential=rotated/"):
		l.rotated.Store(true) // the server does not know this key
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case now.away:
		panic(http.ErrAbortHandler)
	case rand.Float64() < now.broken:
		w.WriteHeader([]int{500, 503}[rand.IntN(2)])
		return
	}
	l.traffic.count(r)
	r.Body = &counted{r.Body, &l.traffic.out}
	proxy.ServeHTTP(&countedWriter{w, &l.traffic.in}, r)
}

func (c *traffic) count(r *http.Request) {
	c.requests.Add(1)
	kind := "other"
	for _, k := range []string{"nodes", "alarms", "own.json", "log", "snapshot", "deploy"} {
		if strings.Contains(r.URL.Path+r.URL.RawQuery, k) {
			kind = k
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kinds[r.Method+" "+kind]++
}

type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.n.Add(int64(n))
	return n, err
}

type countedWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *countedWriter) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n.Add(int64(n))
	return n, err
}
