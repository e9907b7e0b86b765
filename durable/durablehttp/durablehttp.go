// Package durablehttp adapts net/http to Durable Objects: handlers that serve a Worker's or an object's fetch events, and a
// RoundTripper that sends requests to an object. It links net/http, about 0.6 MB compressed; a program that speaks RPC only does
// without it.
package durablehttp

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"flow.internal/capdo/durable"
)

// Handle makes h serve the stateless Worker's fetch events; handlers get the environment with [Env]. It panics when called twice.
// The request's context ends when the client disconnects, and when the handler has returned.
func Handle(h http.Handler) {
	durable.HandleFetch(func(ctx context.Context, env *durable.Env, r *durable.Request) (*durable.Response, error) {
		return Serve(context.WithValue(ctx, envKey{}, env), h, r)
	})
}

type envKey struct{}

// Env returns the Worker's environment in a handler that [Handle] serves, or nil.
func Env(r *http.Request) *durable.Env {
	env, _ := r.Context().Value(envKey{}).(*durable.Env)
	return env
}

// Serve answers one request with h; an object's Fetch method can be
//
//	func (o *Object) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
//		return durablehttp.Serve(ctx, o.mux, r)
//	}
//
// The response is buffered up to 64 KiB, then streamed, as it is from the first Flush. A panic of h becomes an error for the
// caller, or breaks the stream off when the response had begun; so does a trailer, which Workers cannot send. Hijacking fails with
// [http.ErrNotSupported].
func Serve(ctx context.Context, h http.Handler, r *durable.Request) (*durable.Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, r.Body)
	if err != nil {
		return nil, fmt.Errorf("durablehttp: %w", err)
	}
	req.Header = r.Header
	req.Host = req.URL.Host
	req.RequestURI = req.URL.RequestURI()
	if req.ContentLength = contentLength(r); r.Body == nil {
		req.Body = http.NoBody
	}
	w := &responseWriter{header: http.Header{}, began: make(chan struct{}), over: make(chan struct{})}
	w.start(h, req)
	<-w.began
	if w.failed != nil {
		return nil, w.failed
	}
	if w.socket != nil {
		return &durable.Response{Header: w.sent, WebSocket: w.socket}, nil
	}
	return &durable.Response{Status: w.status, Header: w.sent, Body: w.body()}, nil
}

// contentLength is what net/http's server sets: -1 where it is unknown.
func contentLength(r *durable.Request) int64 {
	if r.Body == nil {
		return 0
	}
	n, err := strconv.ParseUint(http.Header(r.Header).Get("Content-Length"), 10, 63)
	if err != nil {
		return -1
	}
	return int64(n)
}
