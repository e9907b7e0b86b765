package durablehttp

import (
	"io"
	"maps"
	"net/http"

	"flow.internal/capdo/durable"
)

// Forward sends the request to the object behind stub and answers with its
// response, which may be a WebSocket. If no middleware wraps w, the body goes
// from one stream to the other without passing through Go. Otherwise Forward
// copies the body and flushes it as it arrives.
//
// If Forward returns an error, it has written nothing. If the object's body
// breaks off, Forward panics with [http.ErrAbortHandler], which breaks off the
// response.
func Forward(w http.ResponseWriter, r *http.Request, stub *durable.Stub) error {
	target := *r.URL
	if target.Host == "" { // as it is in a handler
		target.Scheme, target.Host = "http", r.Host
		if r.TLS != nil {
			target.Scheme = "https"
		}
	}
	out := &durable.Request{Method: r.Method, URL: target.String(), Header: r.Header}
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = r.Body
	}
	resp, err := stub.Fetch(r.Context(), out)
	if err != nil {
		return err
	}
	if resp.WebSocket != nil {
		rw, err := writerOf(w)
		if err != nil {
			return err
		}
		maps.Copy(rw.header, resp.Header)
		rw.upgraded(resp.WebSocket)
		return nil
	}
	maps.Copy(w.Header(), resp.Header)
	if rw, ok := w.(*responseWriter); ok && rw.status == 0 {
		resp.Header = rw.header
		rw.passed = resp
		close(rw.began)
		return nil
	}
	copyResponse(w, resp)
	return nil
}

// copyResponse copies a response to a writer of another package.
func copyResponse(w http.ResponseWriter, resp *durable.Response) {
	if len(w.Header()["Content-Type"]) == 0 {
		w.Header()["Content-Type"] = nil // none is guessed
	}
	w.WriteHeader(resp.Status)
	if resp.Body == nil {
		return
	}
	if c, ok := resp.Body.(io.Closer); ok {
		defer c.Close()
	}
	rc := http.NewResponseController(w)
	if w.Header().Get("Content-Length") == "" { // it may be long until something comes
		rc.Flush()
	}
	b := make([]byte, pieceSize)
	for {
		n, err := resp.Body.Read(b)
		if n > 0 {
			if _, err := w.Write(b[:n]); err != nil {
				panic(http.ErrAbortHandler)
			}
			rc.Flush() // a writer that cannot flush keeps what it gets
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}
