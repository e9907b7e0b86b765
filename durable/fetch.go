package durable

import (
	"cmp"
	"context"
	"errors"
	"io"
	"strings"

	"flow.internal/capdo/internal/jsrt"
)

// Request is an HTTP request, to an object or to the Worker. Package
// durablehttp turns it into net/http's.
//
// In the Worker, a body with a Content-Length of at most 16 KiB has been read
// before the handler begins. If that failed, reading the Body returns the
// error.
type Request struct {
	Method string              // "" is GET
	URL    string              // absolute
	Header map[string][]string // as in net/http
	Body   io.Reader           // nil for none
}

// Response is an HTTP response. Status 0 means 200.
//
// Body may be nil. A *bytes.Buffer is sent at once, with its length; any other
// Body is streamed. If Header has a Content-Length, a streamed Body must have
// that length, else the response breaks off. It also breaks off if Read of the
// Body fails. A Body that came from [Stub.Fetch] or [Env.Fetch], and of which
// nothing was read, goes on to the client without passing through Go. A Body
// that is an io.Closer is always closed, also for the statuses without a body:
// 204, 205, 304.
//
// The Body is sent unchanged. If Header has a Content-Encoding, the Body must
// already be encoded.
//
// If WebSocket is set, the response answers a request for a WebSocket. Its
// status is 101 (also if Status is 0), and it has no body. WebSocket is one end
// of a [NewWebSocketPair], or the WebSocket of another Response, which is
// passed on. If you receive a Response with a WebSocket and do not pass it on,
// accept it and close it; otherwise it stays open.
type Response struct {
	Status    int
	Header    map[string][]string
	Body      io.Reader
	WebSocket *WebSocket
}

// Fetch sends a request to the object and returns its response. Read or close
// its Body. The object interprets the host in the URL. When ctx ends, the
// request and a body that is still arriving are canceled. The body arrives as
// the object has encoded it.
func (s *Stub) Fetch(ctx context.Context, r *Request) (*Response, error) {
	target, err := s.live()
	if err != nil {
		closeBody(r.Body)
		return nil, err
	}
	resp, err := fetch(ctx, target.Context(), target, r)
	return resp, s.failed(err)
}

// Fetch sends a request out of the Worker, as JavaScript's global fetch does,
// under the rules of [Stub.Fetch]. It does not follow redirects.
//
// If the header has an Accept-Encoding or a Range, the body arrives as the
// server has encoded it. Otherwise the platform decodes gzip and br, and the
// response then has neither Content-Encoding nor Content-Length.
func (e *Env) Fetch(ctx context.Context, r *Request) (*Response, error) {
	if e == nil {
		return nil, errNoEnv
	}
	resp, err := fetch(ctx, e.ref.Context(), nil, r)
	return resp, classify(err)
}

// Fetch is [Env.Fetch] without an environment, for the handler that ctx comes
// from. If ctx comes from no handler, it is the handler that started the
// running goroutine.
func Fetch(ctx context.Context, r *Request) (*Response, error) {
	host, err := hostOf(ctx)
	if err != nil {
		closeBody(r.Body)
		return nil, err
	}
	resp, err := fetch(ctx, host.Context(), nil, r)
	return resp, classify(err)
}

// fetch sends a request to target: a stub, or nil for a request out of the
// Worker.
func fetch(ctx context.Context, c *jsrt.Context, target any, r *Request) (*Response, error) {
	body, send, err := outgoing(c, r.Body, r.Header)
	if err != nil {
		return nil, err
	}
	signal, abort, stop, err := abortSignal(ctx, c, send != nil)
	if err != nil {
		closeBody(r.Body)
		return nil, err
	}
	var failed error
	stopSending := startSending(ctx, r.Body, send, func(err error) {
		failed = err
		abort()
	})
	v, err := c.Host().Await(ctx, "fetch", target, cmp.Or(r.Method, "GET"), r.URL,
		outgoingHeader(r.Header), body, signal)
	if err != nil {
		stopSending() // nobody reads the rest of the body
		stop()
		if failed != nil {
			return nil, failed
		}
		return nil, err
	}
	parts := v.([]any)
	resp := &Response{Status: int(parts[0].(float64)), Header: headerMap(parts[1].(string))}
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

// startSending writes a request's body, and returns a function that stops it.
// If reading the body fails, failed is called with the error.
func startSending(
	ctx context.Context, body io.Reader, send sender, failed func(error),
) (stop func()) {
	if send == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	isOver := false
	go func() {
		send(ctx, failed)
		isOver = true
		cancel()
	}()
	return func() {
		cancel()
		if !isOver {
			closeBody(body) // Read may wait
		}
	}
}

// abortSignal returns an AbortSignal that fires when ctx ends or abort is
// called, and a function that stops watching ctx. The signal is nil if ctx
// cannot end and needed is false.
func abortSignal(
	ctx context.Context, c *jsrt.Context, needed bool,
) (signal any, abort, stop func(), err error) {
	if ctx.Done() == nil && !needed {
		return nil, func() {}, func() {}, nil
	}
	v, err := c.Host().Call("abortController")
	if err != nil {
		return nil, nil, nil, err
	}
	controller := v.(*jsrt.Ref)
	signal, err = controller.Get("signal")
	cancel := context.AfterFunc(ctx, func() { controller.Call("abort") })
	return signal, func() { controller.Call("abort") }, func() { cancel() }, err
}

// serveFetch handles a fetch event: args are the request's head (see
// requestParts in shim.mjs), its body, and in the stateless Worker env.
func serveFetch(
	ctx context.Context, i *jsrt.Invocation, args []any,
	serve func(context.Context, *Env, *Request) (*Response, error),
) (any, error) {
	method, head, _ := strings.Cut(args[0].(string), "\n")
	url, headers, _ := strings.Cut(head, "\n")
	event := &struct { // one allocation for both
		Request
		Env
	}{Request: Request{Method: method, URL: url, Header: headerMap(headers)}}
	r := &event.Request
	if body := incoming(ctx, args[1]); body != nil {
		r.Body = body
	}
	var env *Env
	if len(args) > 2 {
		env = &event.Env
		env.ref = args[2].(*jsrt.Ref)
	}
	resp, err := serve(ctx, env, r)
	switch {
	case err != nil:
		return nil, err
	case resp == nil:
		return nil, errNoResponse
	}
	return reply(ctx, i, resp)
}

var errNoResponse = errors.New("durable: Fetch returned neither a response nor an error")

// reply returns the parts of JavaScript's response: status, headers, body and
// WebSocket, and whether the body is already encoded.
func reply(ctx context.Context, i *jsrt.Invocation, resp *Response) (any, error) {
	status := resp.Status
	switch {
	case status == 0 && resp.WebSocket != nil:
		status = 101
	case status == 0:
		status = 200
	}
	if status == 101 || status == 204 || status == 205 || status == 304 {
		closeBody(resp.Body) // it has none
		resp.Body = nil
	}
	body, send, err := outgoing(i.Context(), resp.Body, resp.Header)
	if err != nil {
		return nil, err
	}
	if send != nil {
		i.SendBody(func() { send(ctx, func(error) {}) })
	}
	header := outgoingHeader(resp.Header)
	switch {
	case resp.WebSocket != nil:
		socket, err := resp.WebSocket.in(i.Context())
		return []any{status, header, body, socket}, err
	case isEncoded(resp.Header):
		return []any{status, header, body, nil, true}, nil
	}
	return []any{status, header, body}, nil
}

// isEncoded reports whether there is a Content-Encoding, in any case.
func isEncoded(h map[string][]string) bool {
	const name = "Content-Encoding"
	for k := range h {
		if len(k) == len(name) && strings.EqualFold(k, name) {
			return true
		}
	}
	return false
}

// outgoingHeader returns nil, or names and values in turn.
func outgoingHeader(h map[string][]string) any {
	if len(h) == 0 {
		return nil
	}
	list := make([]any, 0, 2*len(h))
	for k, vs := range h {
		for _, v := range vs {
			list = append(list, k, v)
		}
	}
	return list
}

// headerMap parses the text that headerText of host.mjs writes: names and values
// in turn, each on its own line. All names together take one allocation.
func headerMap(text string) map[string][]string {
	n := strings.Count(text, "\n") / 2
	h, values := make(map[string][]string, n), make([]string, 0, n)
	var names strings.Builder
	names.Grow(len(text)) // so that it never moves
	for text != "" {
		var name, value string
		name, text, _ = strings.Cut(text, "\n")
		value, text, _ = strings.Cut(text, "\n")
		name = canonical(&names, name)
		if before, ok := h[name]; ok {
			h[name] = append(before, value)
			continue
		}
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	return h
}

// canonical is textproto.CanonicalMIMEHeaderKey for the lower-case names that
// JavaScript's Headers have. It appends the result to names.
func canonical(names *strings.Builder, name string) string {
	start := names.Len()
	for i := range len(name) {
		c := name[i]
		if (i == 0 || name[i-1] == '-') && 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		names.WriteByte(c)
	}
	return names.String()[start:]
}
