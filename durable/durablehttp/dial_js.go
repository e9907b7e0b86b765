package durablehttp

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"

	"flow.internal/capdo/durable"
)

// dial returns the dial function for copies of http.DefaultTransport. The other
// end of the connection reads the request and sends it by fetch.
func dial(scheme, port string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		near, far := net.Pipe()
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		c := &connection{Conn: near, cancel: cancel}
		go func() {
			defer far.Close()
			c.err = relay(ctx, far, scheme, strings.TrimSuffix(address, ":"+port))
		}()
		return c, nil
	}
}

// relay sends the request that arrives at conn, and writes the response to
// conn.
func relay(ctx context.Context, conn net.Conn, scheme, host string) error {
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return err
	}
	r = r.WithContext(ctx)
	r.RequestURI, r.URL.Scheme, r.URL.Host = "", scheme, host
	r.Header.Del("Connection")
	if r.Header["User-Agent"] == nil {
		r.Header["User-Agent"] = nil // none was wanted
	}
	resp, err := transport{fetch: durable.Fetch}.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	resp.Close = true
	if resp.ContentLength < 0 && r.Method != http.MethodHead {
		// otherwise an incomplete body would look complete
		resp.TransferEncoding = []string{"chunked"}
	}
	return resp.Write(conn)
}

// connection is net/http's end.
type connection struct {
	net.Conn
	cancel func()
	err    error // that of relay, once the other end is closed
}

func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == io.EOF && c.err != nil {
		err = c.err
	}
	return n, err
}

// Close cancels the request.
func (c *connection) Close() error {
	c.cancel()
	return c.Conn.Close()
}
