package durablehttp

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"flow.internal/capdo/durable"
)

// Transport returns a RoundTripper whose requests go to the object behind stub, so that
//
//	client := &http.Client{Transport: durablehttp.Transport(stub)}
//
// talks to it. The host in the URL is for the object to interpret; redirects are
// followed by the client, not by workerd. Bodies are streamed both ways; trailers
// are refused. What upgraded to a WebSocket is returned by [WebSocket].
func Transport(stub *durable.Stub) http.RoundTripper { return transport(stub.Fetch) }

// Outbound returns a RoundTripper whose requests leave the Worker, or the object,
// by its own fetch, under the same rules.
func Outbound(env *durable.Env) http.RoundTripper { return transport(env.Fetch) }

type transport func(context.Context, *durable.Request) (*durable.Response, error)

func (fetch transport) RoundTrip(r *http.Request) (*http.Response, error) {
	in, err := send(r, r.URL.String(), fetch)
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

// send sends a request to a URL by fetch.
func send(r *http.Request, url string, fetch transport) (*durable.Response, error) {
	if len(r.Trailer) > 0 {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, fmt.Errorf("durablehttp: %w: fetch cannot send trailers", http.ErrNotSupported)
	}
	out := &durable.Request{Method: r.Method, URL: url, Header: r.Header}
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = r.Body
	}
	return fetch(r.Context(), out)
}
