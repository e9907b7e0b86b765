package durablehttp

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"runtime/debug"
	"strings"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/jsrt"
)

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

// start runs the handler in a goroutine of its own.
func (w *responseWriter) start(h http.Handler, r *http.Request) {
	j := job{w, h, r, jsrt.Inside()}
	if idle.n == 0 {
		go serveJobs(j)
		return
	}
	idle.n--
	idle.list[idle.n] <- j
}

// job is a request to answer. Its handler is in the critical section that Serve
// was called in.
type job struct {
	w       *responseWriter
	h       http.Handler
	r       *http.Request
	section jsrt.Section
}

// idle are goroutines that have answered a request, and wait for the next one.
// Their stacks have grown to what handlers need, which takes time.
var idle struct {
	list [32]chan job
	n    int
}

func serveJobs(j job) {
	next := make(chan job, 1)
	for {
		j.run()
		if idle.n == len(idle.list) {
			return
		}
		idle.list[idle.n] = next
		idle.n++
		j = <-next
	}
}

func (j *job) run() {
	leave := j.section.Enter()
	defer leave()
	j.w.run(j.h, j.r)
	*j = job{}
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
