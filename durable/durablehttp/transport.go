package durablehttp

import (
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"flow.internal/capdo/durable"
)

// Transport returns a RoundTripper that sends requests to the object behind
// stub:
//
//	client := &http.Client{Transport: durablehttp.Transport(stub)}
//
// The object interprets the host of the URL, or Request.Host. The client
// follows redirects; workerd does not. Transport behaves like net/http's
// Transport; docs/http.md lists the differences. If a response upgrades to a
// WebSocket, [WebSocket] returns it.
func Transport(stub *durable.Stub) http.RoundTripper {
	return transport{fetch: stub.Fetch, takesHost: true}
}

// Outbound returns a RoundTripper that sends requests out of the Worker or the
// object with its own fetch, under the same rules. It refuses a Request.Host
// other than the URL's.
func Outbound(env *durable.Env) http.RoundTripper { return transport{fetch: env.Fetch} }

type transport struct {
	fetch     func(context.Context, *durable.Request) (*durable.Response, error)
	takesHost bool // the URL's host may be any
}

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	out, err := t.request(r)
	if err != nil {
		closeBody(r)
		return nil, err
	}
	out.Body = bodyOf(r)
	// net/http's Transport asks for gzip unless the caller set a header.
	unzips := r.Header.Get("Accept-Encoding") == "" && r.Header.Get("Range") == "" &&
		r.Method != http.MethodHead
	if unzips {
		out.Header["Accept-Encoding"] = []string{"gzip"}
	}
	in, err := t.fetch(r.Context(), out)
	if err != nil {
		if cause := context.Cause(r.Context()); cause != nil {
			return nil, cause
		}
		return nil, err
	}
	resp := response(r, in)
	if unzips && strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") &&
		resp.Body != http.NoBody {
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		resp.Body, resp.ContentLength, resp.Uncompressed = &unzipped{body: resp.Body}, -1, true
	}
	return resp, nil
}

// request converts r, except for its body.
func (t transport) request(r *http.Request) (*durable.Request, error) {
	if len(r.Trailer) > 0 {
		return nil, fmt.Errorf("durablehttp: %w: fetch cannot send trailers", http.ErrNotSupported)
	}
	switch { // the errors are net/http's
	case r.URL == nil:
		return nil, errors.New("http: nil Request.URL")
	case r.URL.Scheme != "http" && r.URL.Scheme != "https":
		return nil, fmt.Errorf("unsupported protocol scheme %q", r.URL.Scheme)
	case r.URL.Host == "":
		return nil, errors.New("http: no Host in request URL")
	}
	target := url.URL{ // fetch takes neither user nor fragment
		Scheme: r.URL.Scheme, Host: r.URL.Host, Opaque: r.URL.Opaque,
		Path: r.URL.Path, RawPath: r.URL.RawPath,
		RawQuery: r.URL.RawQuery, ForceQuery: r.URL.ForceQuery,
	}
	if r.Host != "" && r.Host != r.URL.Host {
		if !t.takesHost {
			return nil, fmt.Errorf("durablehttp: %w: Request.Host is %q and the URL's host %q: "+
				"fetch sends the URL's host", http.ErrNotSupported, r.Host, r.URL.Host)
		}
		target.Host = r.Host
	}
	header, err := sentHeader(r)
	return &durable.Request{Method: r.Method, URL: target.String(), Header: header}, err
}

// sentHeader returns the header as net/http's Transport sends it.
func sentHeader(r *http.Request) (http.Header, error) {
	h := http.Header{}
	for name, values := range r.Header {
		switch http.CanonicalHeaderKey(name) {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer": // the request's fields say them
			continue
		case "Cookie": // fetch would join them with a comma
			values = []string{strings.Join(values, "; ")}
		}
		h[name] = values
		if !isToken(name) {
			return nil, fmt.Errorf("net/http: invalid header field name %q", name)
		}
		for _, v := range values {
			if strings.ContainsFunc(v,
				func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
				return nil, fmt.Errorf("net/http: invalid header field value for %q", name)
			}
		}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = []string{"Go-http-client/1.1"}
	}
	if r.ContentLength > 0 && r.Body != nil {
		h["Content-Length"] = []string{strconv.FormatInt(r.ContentLength, 10)}
	}
	return h, nil
}

// response converts in to net/http's type.
func response(r *http.Request, in *durable.Response) *http.Response {
	resp := &http.Response{
		Status: fmt.Sprint(in.Status, " ",
			cmp.Or(http.StatusText(in.Status), fmt.Sprint("status code ", in.Status))),
		StatusCode: in.Status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: in.Header, Body: http.NoBody, Request: r,
	}
	body, ok := in.Body.(io.ReadCloser)
	switch {
	case in.WebSocket != nil:
		resp.Body = upgraded{in.WebSocket}
	case ok:
		resp.Body = receivedBody{r.Context(), body}
		resp.ContentLength = lengthOf(resp.Header)
	case r.Method == http.MethodHead:
		resp.ContentLength = lengthOf(resp.Header)
	}
	return resp
}

// lengthOf returns a header's Content-Length, or -1 without one.
func lengthOf(h http.Header) int64 {
	n, err := strconv.ParseUint(h.Get("Content-Length"), 10, 63)
	if err != nil {
		return -1
	}
	return int64(n)
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}

// sentBody is a request's body. Reading it fails if it does not have the
// announced length.
type sentBody struct {
	io.ReadCloser
	length int64
	read   int64
}

// bodyOf returns the request's body, or nil for none.
func bodyOf(r *http.Request) io.Reader {
	switch {
	case r.Body == nil || r.Body == http.NoBody:
		return nil
	case r.ContentLength <= 0: // net/http: unknown, since there is a body
		return r.Body
	}
	return &sentBody{ReadCloser: r.Body, length: r.ContentLength}
}

func (b *sentBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if b.read > b.length || b.read < b.length && err == io.EOF {
		return 0, fmt.Errorf("http: ContentLength=%d with Body length %d", b.length, b.read)
	}
	return n, err
}

// receivedBody is a response's body. It ends with io.EOF, or with the error
// that net/http's Transport returns.
type receivedBody struct {
	ctx context.Context
	io.ReadCloser
}

func (b receivedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil || err == io.EOF:
	case b.ctx.Err() != nil:
		err = context.Cause(b.ctx)
	default:
		err = fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
	}
	return n, err
}

// unzipped decodes a body when it is first read.
type unzipped struct {
	body io.ReadCloser
	z    *gzip.Reader
	err  error
}

func (u *unzipped) Read(p []byte) (int, error) {
	if u.z == nil && u.err == nil {
		u.z, u.err = gzip.NewReader(u.body)
	}
	if u.err != nil {
		return 0, u.err
	}
	return u.z.Read(p)
}

func (u *unzipped) Close() error { return u.body.Close() }
