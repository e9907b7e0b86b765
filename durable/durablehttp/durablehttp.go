// Package durablehttp adapts net/http to Durable Objects: handlers that serve a Worker's or an object's fetch events, and a
// RoundTripper that sends requests to an object. It links net/http, about 0.6 MB compressed; a program that speaks RPC only does
// without it.
package durablehttp

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"

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
	go w.run(h, req)
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

const bufferSize = 64 << 10

// responseWriter buffers a response until it is complete, or too long, or flushed; then it streams.
type responseWriter struct {
	header http.Header
	sent   http.Header // as it was at WriteHeader
	status int
	buffer bytes.Buffer
	stream *io.PipeWriter // once streaming
	reader *io.PipeReader
	began  chan struct{} // closed when the response can go out
	failed error
	socket *durable.WebSocket // once upgraded
	conn   *durable.Conn      // the other end, where the handler has it
	over   chan struct{}      // closed when the handler has returned
}

func (w *responseWriter) Header() http.Header { return w.header }

func (w *responseWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status, w.sent = status, maps.Clone(w.header)
	}
}

func (w *responseWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		if w.header.Get("Content-Type") == "" {
			w.header.Set("Content-Type", http.DetectContentType(p))
		}
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.socket != nil:
		return 0, http.ErrHijacked
	case w.status == http.StatusNoContent || w.status == http.StatusNotModified:
		return 0, http.ErrBodyNotAllowed
	case w.stream != nil:
		return w.stream.Write(p)
	}
	w.buffer.Write(p)
	if w.buffer.Len() > bufferSize {
		w.Flush()
	}
	return len(p), nil
}

// Flush sends what has been written, and streams what follows.
func (w *responseWriter) Flush() {
	w.WriteHeader(http.StatusOK)
	if w.stream == nil && w.socket == nil {
		w.reader, w.stream = io.Pipe()
		close(w.began)
		w.stream.Write(w.buffer.Bytes())
	}
}

// Hijack says that it cannot be done.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, fmt.Errorf("durablehttp: %w: a Worker has no connection to take over; WebSockets need none", http.ErrNotSupported)
}

func (w *responseWriter) body() io.Reader {
	if w.reader != nil {
		return w.reader
	}
	return &w.buffer
}

func (w *responseWriter) run(h http.Handler, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			w.failed = fmt.Errorf("panic: %v", p)
			if p != http.ErrAbortHandler {
				println(w.failed.Error(), "[recovered by durablehttp]\n"+string(debug.Stack()))
			}
		}
		w.finish()
	}()
	h.ServeHTTP(w, r)
	w.WriteHeader(http.StatusOK)
	if name := w.trailer(); name != "" {
		w.failed = fmt.Errorf("durablehttp: the handler sets the trailer %s, which Workers cannot send", name)
	}
}

// trailer names a trailer that the handler wants to send.
func (w *responseWriter) trailer() string {
	for name := range w.header {
		if name == "Trailer" || strings.HasPrefix(name, http.TrailerPrefix) {
			return strings.TrimPrefix(name, http.TrailerPrefix)
		}
	}
	return ""
}

func (w *responseWriter) finish() {
	defer close(w.over)
	switch {
	case w.conn != nil && w.failed != nil:
		w.conn.Close(1011, "the handler panicked")
	case w.conn != nil:
		w.conn.Close(1000, "")
	case w.socket != nil:
	case w.stream != nil:
		w.stream.CloseWithError(w.failed)
	default:
		close(w.began)
	}
}

// Transport returns a RoundTripper whose requests go to the object behind stub, so that
//
//	client := &http.Client{Transport: durablehttp.Transport(stub)}
//
// talks to it. The host in the URL is for the object to interpret; redirects are followed by the client, not by workerd. Bodies are
// streamed both ways; trailers are refused. What upgraded to a WebSocket is returned by [WebSocket].
func Transport(stub *durable.Stub) http.RoundTripper { return transport(stub.Fetch) }

// Outbound returns a RoundTripper whose requests leave the Worker, or the object, by its own fetch, under the same rules.
func Outbound(env *durable.Env) http.RoundTripper { return transport(env.Fetch) }

type transport func(context.Context, *durable.Request) (*durable.Response, error)

func (fetch transport) RoundTrip(r *http.Request) (*http.Response, error) {
	out := &durable.Request{Method: r.Method, URL: r.URL.String(), Header: r.Header}
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = r.Body
	}
	if len(r.Trailer) > 0 {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, fmt.Errorf("durablehttp: %w: fetch cannot send trailers", http.ErrNotSupported)
	}
	in, err := fetch(r.Context(), out)
	if err != nil {
		return nil, err
	}
	resp := &http.Response{
		Status: fmt.Sprintf("%d %s", in.Status, http.StatusText(in.Status)), StatusCode: in.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: in.Header, Body: http.NoBody, ContentLength: -1, Request: r,
	}
	if in.WebSocket != nil {
		resp.Body = upgraded{in.WebSocket}
	} else if body, ok := in.Body.(io.ReadCloser); ok {
		resp.Body = body
	} else {
		resp.ContentLength = 0
	}
	return resp, nil
}
