package durablehttp

import (
	"context"
	"errors"
	"net"
	"net/http"

	"flow.internal/capdo/durable"
)

// http.DefaultTransport stays an *http.Transport, for programs that expect one.
// Because it has a dial function, it uses its registered protocols instead of
// net/http's own fetch, which does not work with I/O contexts. Copies of it
// have only the dial function.
func init() {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return
	}
	t.Proxy, t.ForceAttemptHTTP2, t.DisableKeepAlives = nil, false, true
	t.DialContext, t.DialTLSContext = dial("http", "80"), dial("https", "443")
	t.RegisterProtocol("http", transport{fetch: durable.Fetch})
	t.RegisterProtocol("https", transport{fetch: durable.Fetch})
	net.DefaultResolver.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, errNoNetwork
	}
}

var errNoNetwork = errors.New("a Worker has no sockets and no resolver" +
	"\nhint: send HTTP requests by http.DefaultTransport, a copy of it, or durablehttp.Outbound")
