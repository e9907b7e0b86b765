package durable

import (
	"context"
	"io"
	"strings"

	"flow.internal/capdo/internal/jsrt"
)

// Request is an HTTP request, to an object or to the Worker. Package durablehttp turns it into net/http's.
//
// In the Worker, a body that says it has at most 16 KiB (Content-Length) has
// been read when the handler begins. If that failed, reading it fails.
type Request struct {
	Method string              // "GET", …
	URL    string              // absolute
	Header map[string][]string // as in net/http
	Body   io.Reader           // nil for none
}

// Response is an HTTP response. Body may be nil; a *bytes.Buffer is sent at once, with its length, anything else is streamed. A Body that is
// an io.Closer is closed in the end.
//
// A WebSocket makes it the answer to a request for one, with status 101 (which 0 means then) and no body. It is one end of a
// [NewWebSocketPair], or what another Response brought, which is passed on so. One that nobody passes on or accepts stays open for
// nobody: accept and close it.
type Response struct {
	Status    int
	Header    map[string][]string
	Body      io.Reader
	WebSocket *WebSocket
}

// Fetch sends a request to the object and returns its response, whose Body must be read or closed. The host in the URL is for the object to
// interpret. When ctx ends, the request and a body that is still arriving are cancelled.
func (s *Stub) Fetch(ctx context.Context, r *Request) (*Response, error) {
	target, err := s.live()
	if err != nil {
		return nil, err
	}
	resp, err := fetch(ctx, target.Context(), target, r)
	return resp, s.failed(err)
}

// Fetch sends a request out of the Worker, as JavaScript's global fetch does, under the rules of [Stub.Fetch]. Redirects are not followed.
func (e *Env) Fetch(ctx context.Context, r *Request) (*Response, error) {
	resp, err := fetch(ctx, e.ref.Context(), nil, r)
	return resp, classify(err)
}

// fetch sends a request to target, a stub, or to the outside where that is nil.
func fetch(ctx context.Context, c *jsrt.Context, target any, r *Request) (*Response, error) {
	signal, stop, err := abortSignal(ctx, c)
	if err != nil {
		return nil, err
	}
	body, send, err := outgoing(c, r.Body)
	if err != nil {
		stop()
		return nil, err
	}
	stopSending := startSending(ctx, send)
	v, err := c.Helpers().Await(ctx, "fetch", target, r.Method, r.URL, outgoingHeader(r.Header), body, signal)
	if err != nil {
		stopSending() // nobody reads the rest of the body
		stop()
		return nil, err
	}
	parts := v.([]any)
	resp := &Response{Status: int(parts[0].(float64)), Header: headerMap(parts[1])}
	if ref, ok := parts[3].(*jsrt.Ref); ok {
		resp.WebSocket = &WebSocket{ref: ref}
	}
	if ref, ok := parts[2].(*jsrt.Ref); ok {
		resp.Body = &stream{ctx: ctx, body: ref, closed: stop}
	} else {
		stop()
	}
	return resp, nil
}

// startSending writes a request's body, and returns what gives that up.
func startSending(ctx context.Context, send func(context.Context)) (stop func()) {
	if send == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		send(ctx)
	}()
	return cancel
}

// abortSignal returns an AbortSignal that fires when ctx ends, and what stops watching it; nil where ctx cannot end.
func abortSignal(ctx context.Context, c *jsrt.Context) (signal any, stop func(), err error) {
	if ctx.Done() == nil {
		return nil, func() {}, nil
	}
	v, err := c.Helpers().Call("abortController")
	if err != nil {
		return nil, nil, err
	}
	controller := v.(*jsrt.Ref)
	signal, err = controller.Get("signal")
	cancel := context.AfterFunc(ctx, func() { controller.Call("abort") })
	return signal, func() { cancel() }, err
}

// serveFetch handles a fetch event: args are method, url, headers, body, and in the stateless Worker env.
func serveFetch(ctx context.Context, i *jsrt.Invocation, args []any, serve func(context.Context, *Env, *Request) (*Response, error)) (any, error) {
	r := &Request{Method: args[0].(string), URL: args[1].(string), Header: headerMap(args[2])}
	if body := incoming(ctx, args[3]); body != nil {
		r.Body = body
	}
	var env *Env
	if len(args) > 4 {
		env = &Env{ref: args[4].(*jsrt.Ref)}
	}
	resp, err := serve(ctx, env, r)
	if err != nil {
		return nil, err
	}
	body, send, err := outgoing(i.Context(), resp.Body)
	if err != nil {
		return nil, err
	}
	if send != nil {
		i.SendBody(func() { send(ctx) })
	}
	if resp.WebSocket == nil {
		return []any{resp.Status, outgoingHeader(resp.Header), body}, nil
	}
	socket, err := resp.WebSocket.in(i.Context())
	status := resp.Status
	if status == 0 {
		status = 101
	}
	return []any{status, outgoingHeader(resp.Header), body, socket}, err
}

// outgoingHeader is what JavaScript's Headers are made of: nil, an object, or
// pairs where a name has several values.
func outgoingHeader(h map[string][]string) any {
	if len(h) == 0 {
		return nil
	}
	object := make(map[string]any, len(h))
	for k, vs := range h {
		if len(vs) != 1 {
			return headerPairs(h)
		}
		object[k] = vs[0]
	}
	return object
}

func headerPairs(h map[string][]string) []any {
	pairs := []any{}
	for k, vs := range h {
		for _, v := range vs {
			pairs = append(pairs, []any{k, v})
		}
	}
	return pairs
}

// headerMap reads what headerText of host.mjs has written.
func headerMap(v any) map[string][]string {
	text, _ := v.(string)
	n := strings.Count(text, "\n") / 2
	h, values := make(map[string][]string, n), make([]string, 0, n)
	for text != "" {
		var name, value string
		name, text, _ = strings.Cut(text, "\n")
		value, text, _ = strings.Cut(text, "\n")
		k := canonical(name)
		if before, ok := h[k]; ok {
			h[k] = append(before, value)
			continue
		}
		values = append(values, value)
		h[k] = values[len(values)-1 : len(values) : len(values)]
	}
	return h
}

// canonical is textproto.CanonicalMIMEHeaderKey for the lower-case names that JavaScript's Headers have.
func canonical(k string) string {
	var b strings.Builder
	b.Grow(len(k))
	for i := range len(k) {
		c := k[i]
		if (i == 0 || k[i-1] == '-') && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		b.WriteByte(c)
	}
	return b.String()
}
