package selfhost

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// health answers /healthz, /readyz and /metrics.
type health struct {
	alive    atomic.Pointer[string] // URL at which workerd's event loop answers
	peers    atomic.Pointer[string] // URL of the cluster's own readiness check
	stopping atomic.Bool
	pid      atomic.Int64 // workerd's
}

// probe is the client for requests to this machine.
var probe = &http.Client{
	Timeout:   2 * time.Second,
	Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil},
}

// listen serves until ctx ends.
func (h *health) listen(ctx context.Context, address string, m *metrics) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("cannot listen for health checks: %w"+
			"\nhint: choose another address with --health, "+
			"or turn health checks off with --health=", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz",
		func(w http.ResponseWriter, r *http.Request) { answer(w, h.checkAlive(r.Context())) })
	mux.HandleFunc("GET /readyz",
		func(w http.ResponseWriter, r *http.Request) { answer(w, h.checkReady(r.Context())) })
	mux.Handle("GET /metrics", m)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	go s.Serve(l)
	context.AfterFunc(ctx, func() { s.Close() })
	return nil
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// checkAlive reports whether workerd answers.
func (h *health) checkAlive(ctx context.Context) error {
	url := h.alive.Load()
	if url == nil {
		return fmt.Errorf("starting")
	}
	return ask(ctx, *url, "workerd")
}

// checkReady reports whether new requests should come here.
func (h *health) checkReady(ctx context.Context) error {
	if h.stopping.Load() {
		return fmt.Errorf("stopping")
	}
	if err := h.checkAlive(ctx); err != nil {
		return err
	}
	if url := h.peers.Load(); url != nil {
		return ask(ctx, *url, "the cluster")
	}
	return nil
}

func ask(ctx context.Context, url, who string) error {
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	resp, err := probe.Do(r)
	if err != nil {
		return fmt.Errorf("%s does not answer", who)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s", who, resp.Status)
	}
	return nil
}
