package durablehttp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"flow.internal/capdo/durable"
)

// A response of up to wholeSize bytes is sent as a whole. A longer one is
// streamed in pieces of pieceSize bytes, or as the handler flushes.
const (
	wholeSize = 64 << 10
	pieceSize = 32 << 10
)

// responseWriter behaves like net/http's. It collects a response until it is
// complete, too long, or flushed; then it streams.
type responseWriter struct {
	isHead  bool // of the body only the length goes out
	header  http.Header
	sent    http.Header // as it was at WriteHeader
	status  int         // 0 before WriteHeader
	length  int64       // that the handler has announced; -1 for none
	written int64       // by the handler
	whole   bytes.Buffer
	// to the pipe; nil before the header is sent, and if there is no body
	stream  *bufio.Writer
	pipe    *io.PipeWriter // once streaming
	reader  *io.PipeReader
	hasGone bool          // the header
	began   chan struct{} // closed when the response can go out
	failed  error
	passed  *durable.Response  // another's, in place of this one
	socket  *durable.WebSocket // once upgraded
	conn    *durable.Conn      // the other end, where the handler has it
	over    chan struct{}      // closed when the handler has returned
}

func newResponseWriter(method string) *responseWriter {
	return &responseWriter{
		isHead: method == http.MethodHead, header: http.Header{}, length: -1,
		began: make(chan struct{}), over: make(chan struct{}),
	}
}

func (w *responseWriter) Header() http.Header { return w.header }

func (w *responseWriter) WriteHeader(status int) {
	switch {
	case status < 100 || status > 999:
		panic(fmt.Sprintf("invalid WriteHeader code %v", status)) // as net/http says it
	case w.socket != nil || w.passed != nil:
		return
	case w.status != 0:
		println("durablehttp: WriteHeader was called again, with status", status)
		return
	case status < 200 && status != http.StatusSwitchingProtocols:
		return // Workers send no informational responses
	}
	w.status, w.sent = status, maps.Clone(w.header)
	if text := w.sent.Get("Content-Length"); text != "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if w.length = n; err != nil || n < 0 {
			w.length = -1
			w.sent.Del("Content-Length")
		}
	}
}

// hasBody reports whether responses of the status have a body.
func (w *responseWriter) hasBody() bool {
	return w.status >= 200 && w.status != http.StatusNoContent && w.status != http.StatusNotModified
}

func (w *responseWriter) Write(p []byte) (int, error) {
	if w.socket != nil || w.passed != nil {
		return 0, http.ErrHijacked
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if !w.hasBody() {
		return 0, http.ErrBodyNotAllowed
	}
	w.written += int64(len(p))
	switch {
	case w.length >= 0 && w.written > w.length:
		return 0, http.ErrContentLength
	case w.stream != nil:
		return w.stream.Write(p)
	case w.isHead:
		w.whole.Write(p[:min(len(p), max(0, sniffSize-w.whole.Len()))])
		return len(p), nil
	}
	if w.whole.Len()+len(p) <= wholeSize {
		return w.whole.Write(p)
	}
	n := min(len(p), max(0, sniffSize-w.whole.Len()))
	w.whole.Write(p[:n])
	w.begin()
	rest, err := w.stream.Write(p[n:])
	return n + rest, err
}

func (w *responseWriter) WriteString(s string) (int, error) { return w.Write([]byte(s)) }

func (w *responseWriter) Flush() { w.FlushError() }

// FlushError sends the bytes written so far, and streams the rest.
func (w *responseWriter) FlushError() error {
	if w.socket != nil || w.passed != nil {
		return nil
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	w.begin()
	if w.stream == nil {
		return nil
	}
	return w.stream.Flush()
}

// begin sends the header, and streams the body.
func (w *responseWriter) begin() {
	if w.hasGone {
		return
	}
	w.sendHeader()
	if w.isHead || !w.hasBody() {
		close(w.began)
		return
	}
	w.reader, w.pipe = io.Pipe()
	w.stream = bufio.NewWriterSize(w.pipe, pieceSize)
	close(w.began)
	w.stream.Write(w.whole.Bytes())
}

// sniffSize is how many bytes http.DetectContentType looks at.
const sniffSize = 512

// sendHeader completes the header as net/http's server does.
func (w *responseWriter) sendHeader() {
	w.hasGone = true
	_, hasType := w.sent["Content-Type"]
	if !hasType && w.whole.Len() > 0 && w.sent.Get("Content-Encoding") == "" &&
		w.sent.Get("Transfer-Encoding") == "" {
		w.sent.Set("Content-Type", http.DetectContentType(w.whole.Bytes()))
	}
	for name, values := range w.sent {
		if !isToken(name) || isConnections(name) {
			delete(w.sent, name)
			continue
		}
		if !slices.ContainsFunc(values, needsCleaning) {
			continue
		}
		clean := make([]string, len(values))
		for i, v := range values {
			clean[i] = cleanValue(v)
		}
		w.sent[name] = clean
	}
}

// isConnections reports whether a header is about the connection; a handler
// cannot set such headers.
func isConnections(name string) bool {
	return name == "Connection" || name == "Transfer-Encoding" || name == "Trailer"
}

// isToken reports whether a name is valid for a header; net/http's server drops
// others.
func isToken(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c <= ' ' || c > '~' || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return name != ""
}

// needsCleaning reports whether cleanValue might change a value.
func needsCleaning(v string) bool {
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' || v[i] == ' ' && (i == 0 || i == len(v)-1) {
			return true
		}
	}
	return false
}

// cleanValue returns a header's value without line ends, which net/http
// removes, and without other bytes that Workers refuse.
func cleanValue(v string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(v, "\uFFFD")))
}

// Hijack always fails.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return nil, nil, fmt.Errorf("durablehttp: %w: a Worker has no connection to take over; "+
		"WebSockets need none", http.ErrNotSupported)
}

// EnableFullDuplex has nothing to do: requests and responses are independent.
func (w *responseWriter) EnableFullDuplex() error { return nil }

// run serves the request.
func (w *responseWriter) run(h http.Handler, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			w.failed = fmt.Errorf("panic: %v", p)
			if p != http.ErrAbortHandler {
				// one write, one entry in the log
				print(w.failed.Error() + " [recovered by durablehttp]\n" + string(debug.Stack()))
			}
		}
		w.finish()
	}()
	h.ServeHTTP(w, r)
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if name := w.trailer(); name != "" {
		println("durablehttp: the trailer", name, "is left out: Workers cannot send trailers")
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

var (
	errShort = errors.New(
		"durablehttp: the handler wrote less than the Content-Length that it announced")
	errNoSocket = errors.New("durablehttp: status 101 without a WebSocket" +
		"\nhint: use durablehttp.Upgrade or AcceptWebSocket")
)

// finish ends the response when the handler has returned.
func (w *responseWriter) finish() {
	defer close(w.over)
	switch {
	case w.conn != nil && w.failed != nil:
		w.conn.Close(1011, "the handler panicked")
		return
	case w.conn != nil:
		w.conn.Close(1000, "")
		return
	case w.socket != nil || w.passed != nil:
		return
	case w.status == http.StatusSwitchingProtocols && w.failed == nil:
		w.failed = errNoSocket
	case w.failed == nil && w.written < w.length && !w.isHead && w.hasBody():
		w.failed = errShort
		w.begin() // what there is goes out, and breaks off
	}
	switch {
	case w.pipe != nil && w.failed != nil:
		w.stream.Flush()
		w.pipe.CloseWithError(w.failed)
	case w.pipe != nil:
		w.pipe.CloseWithError(w.stream.Flush())
	case !w.hasGone:
		if w.failed == nil {
			w.sendWhole()
		}
		close(w.began)
	}
}

// sendWhole completes a response that is short enough and was not flushed.
func (w *responseWriter) sendWhole() {
	w.sendHeader()
	if w.hasBody() && w.length < 0 && (w.written > 0 || !w.isHead) {
		w.sent.Set("Content-Length", strconv.FormatInt(w.written, 10))
	}
}

// response returns the response once it has begun.
func (w *responseWriter) response() (*durable.Response, error) {
	switch {
	case w.passed != nil:
		return w.passed, nil
	case w.socket != nil:
		return &durable.Response{Header: w.sent, WebSocket: w.socket}, nil
	case w.pipe == nil && w.failed != nil:
		return nil, w.failed
	}
	resp := &durable.Response{Status: w.status, Header: w.sent}
	if w.status >= 600 {
		println("durablehttp: status", w.status,
			"is sent as 500: Workers cannot send a status above 599")
		resp.Status = http.StatusInternalServerError
	}
	switch {
	case w.pipe != nil:
		resp.Body = w.reader
	case !w.isHead && w.hasBody():
		resp.Body = &w.whole
	}
	return resp, nil
}
