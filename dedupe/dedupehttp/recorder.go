package dedupehttp

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"flow.internal/capdo/dedupe/internal/inflight"
	"flow.internal/capdo/internal/budget"
)

// recorder is the ResponseWriter that a handler writes to. It holds the
// response back until the response is stored. It passes a response through if
// that is too large to keep, if there is no memory for it, or if it may be
// streamed.
type recorder struct {
	w         http.ResponseWriter
	streaming bool
	before    http.Header // w's, when the handler began
	header    http.Header // the handler's
	sent      http.Header // as it was at WriteHeader
	status    int
	body      inflight.Buffer
	through   bool // the response has begun to go out
	passed    bool // some of its body has, or is lost

	mu   sync.Mutex // where the client may leave before the handler returns
	left bool       // w is not to be used any more
}

func newRecorder(w http.ResponseWriter, streaming bool, share *budget.Share) *recorder {
	return &recorder{w: w, streaming: streaming, before: cleanHeader(w.Header()),
		header: w.Header().Clone(), body: inflight.Buffer{Share: share, Limit: MaxKeptBody}}
}

// Header returns the handler's header. It begins with the headers that outer
// handlers have set.
func (rec *recorder) Header() http.Header { return rec.header }

// WriteHeader fixes the status and the header. Informational responses (1xx)
// are not sent.
func (rec *recorder) WriteHeader(status int) {
	if status < 100 || status > 999 {
		// As net/http does.
		panic(fmt.Sprintf("dedupehttp: WriteHeader: %d is not a status", status))
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.writeHeader(status)
}

func (rec *recorder) writeHeader(status int) {
	if rec.status != 0 || status < 200 {
		return
	}
	rec.status, rec.sent = status, cleanHeader(rec.header)
	if rec.streaming {
		rec.begin()
	}
}

// Write adds to the body. If the client has left and the body is not kept,
// Write fails with [http.ErrHandlerTimeout].
func (rec *recorder) Write(p []byte) (int, error) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.writeHeader(http.StatusOK)
	if !bodyAllowed(rec.status) {
		return 0, http.ErrBodyNotAllowed
	}
	if !rec.through && (rec.body.Len()+len(p) > MaxKeptBody || !rec.body.Fits(len(p))) {
		rec.begin()
	}
	if rec.through {
		rec.passed = rec.passed || len(p) > 0
		if rec.left {
			return 0, http.ErrHandlerTimeout
		}
		return inflight.WritePieces(rec.w, p)
	}
	return rec.body.Write(p)
}

// Flush is FlushError.
func (rec *recorder) Flush() { rec.FlushError() }

// FlushError sends what was written, if the response is not held back.
func (rec *recorder) FlushError() error {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if !rec.streaming && !rec.through {
		return nil
	}
	rec.writeHeader(http.StatusOK)
	if rec.left {
		return http.ErrHandlerTimeout
	}
	return http.NewResponseController(rec.w).Flush()
}

// begin sends the response so far, and lets the rest through.
func (rec *recorder) begin() {
	rec.through = true
	if rec.left {
		rec.passed = rec.passed || rec.body.Len() > 0
		rec.body.Buffer = bytes.Buffer{}
		return
	}
	rec.send(nil)
}

// leave stops sending to the client, and reports whether nothing was sent yet.
func (rec *recorder) leave() (untouched bool) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.left = true
	return !rec.through
}

// send sends the status, the header and the body that is held back; c is the
// record that was stored, if any.
func (rec *recorder) send(c *record) {
	h := rec.w.Header()
	clear(h)
	maps.Copy(h, rec.sent) // in which is also what was in h
	if c != nil {
		c.setExpires(h)
	}
	rec.w.WriteHeader(rec.status)
	if rec.body.Len() > 0 {
		rec.passed = true
		// An error means that the client has gone.
		inflight.WritePieces(rec.w, rec.body.Bytes())
	}
	rec.body.Buffer = bytes.Buffer{}
}

// finish ends a response that was held back, once the handler has returned.
func (rec *recorder) finish() {
	rec.WriteHeader(http.StatusOK)
	if rec.through {
		return
	}
	if _, ok := rec.sent["Content-Type"]; !ok && rec.body.Len() > 0 &&
		rec.sent.Get("Content-Encoding") == "" {
		rec.sent.Set("Content-Type", http.DetectContentType(rec.body.Bytes()))
	}
	if !slices.Equal(rec.sent["Content-Length"], []string{strconv.Itoa(rec.body.Len())}) {
		delete(rec.sent, "Content-Length") // the server sets what is right
	}
}

// record returns the record to store for the response.
func (rec *recorder) record(expires time.Time) *record {
	c := &record{status: rec.status, incomplete: rec.passed, body: rec.body.Bytes(),
		expires: expires}
	c.header = keptHeader(rec.sent, rec.before, !c.incomplete)
	if len(appendHeader(nil, c.header)) > MaxKeptHeader {
		c.header, c.body, c.incomplete = nil, nil, true
	}
	return c
}
