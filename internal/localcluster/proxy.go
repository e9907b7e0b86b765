package localcluster

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"
)

// counts count a node's requests.
type counts struct{ requests, failed atomic.Int64 }

// Counts returns how many requests arrived, and how many the node did not
// answer.
func (n *Node) Counts() (requests, failed int64) {
	return n.counts.requests.Load(), n.counts.failed.Load()
}

// proxy passes requests to the node at its current address.
func (n *Node) proxy() http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(r.In.Context().Value(target{}).(*url.URL))
			r.Out.Host = r.In.Host
		},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			n.counts.failed.Add(1)
			http.Error(w, fmt.Sprintf("node %d did not answer: %v", n.Number, err),
				http.StatusBadGateway)
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.counts.requests.Add(1)
		s := n.running()
		if s == nil {
			n.counts.failed.Add(1)
			http.Error(w, fmt.Sprintf("node %d is not running", n.Number), http.StatusBadGateway)
			return
		}
		proxy.ServeHTTP(w, r.WithContext(withTarget(r.Context(), s.Listen)))
	})
}

// balance serves at an address and sends requests to the ready nodes, in turn.
// It does not repeat a failed request, because the request's effect is unknown.
func (c *Cluster) balance(address string) error {
	var turn atomic.Int64
	proxies := make([]http.Handler, len(c.Nodes))
	for i, n := range c.Nodes {
		proxies[i] = n.proxy()
	}
	return serveHTTP(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range c.Nodes {
			i := int(turn.Add(1)) % len(c.Nodes)
			if state, _ := c.Nodes[i].State(); state == "ready" {
				proxies[i].ServeHTTP(w, r)
				return
			}
		}
		http.Error(w, "no node is ready", http.StatusServiceUnavailable)
	}))
}

func serveHTTP(address string, h http.Handler) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("cannot listen: %w"+
			"\nhint: choose another address with --listen; the nodes have the ports after it", err)
	}
	go (&http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}).Serve(l)
	return nil
}
