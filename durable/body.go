package durable

import (
	"context"
	"errors"
	"io"
	"strconv"

	"flow.internal/capdo/internal/jsrt"
)

// sender writes a body to a stream. If reading the body fails, it calls failed
// before it breaks off the stream.
type sender func(ctx context.Context, failed func(error))

// outgoing converts a body to one that JavaScript sends: bytes, a stream that
// send writes, or one of JavaScript's own streams.
func outgoing(
	c *jsrt.Context, body io.Reader, header map[string][]string,
) (value any, send sender, err error) {
	switch b := body.(type) {
	case nil:
		return nil, nil, nil
	case interface{ Bytes() []byte }:
		if len(b.Bytes()) == 0 {
			return nil, nil, nil
		}
		return b.Bytes(), nil, nil
	case *stream:
		if ref := b.pass(c); ref != nil {
			return ref, nil, nil
		}
		if rest, ok := b.rest(); ok {
			return rest, nil, nil
		}
	}
	v, err := c.Host().Call("pipe", lengthOf(header))
	if err != nil {
		closeBody(body)
		return nil, nil, err
	}
	ends := v.([]any)
	writer := ends[1].(*jsrt.Ref)
	return ends[0], func(ctx context.Context, failed func(error)) {
		pump(ctx, writer, body, failed)
	}, nil
}

// lengthOf returns the Content-Length, or nil without a proper one.
func lengthOf(header map[string][]string) any {
	if len(header["Content-Length"]) != 1 {
		return nil
	}
	n, err := strconv.ParseInt(header["Content-Length"][0], 10, 53)
	if err != nil || n < 0 {
		return nil
	}
	return float64(n)
}

func closeBody(body io.Reader) {
	if c, ok := body.(io.Closer); ok {
		c.Close()
	}
}

// pieceSize is how many bytes of a body cross at a time, at most.
const pieceSize = 64 << 10

// piece is a buffer for a body: its bytes, and what comes with them.
type piece [pieceSize + 64]byte

// pieces are unused buffers: making one takes longer than filling it. (A
// sync.Pool would make a Worker 3 KiB larger, gzip.)
var pieces struct {
	list [8]*piece
	n    int
}

func takePiece() *piece {
	if pieces.n == 0 {
		return new(piece)
	}
	pieces.n--
	return pieces.list[pieces.n]
}

func givePiece(p *piece) {
	if p != nil && pieces.n < len(pieces.list) {
		pieces.list[pieces.n] = p
		pieces.n++
	}
}

// pump writes a body to a WritableStreamDefaultWriter, as fast as it is read.
// If reading the body fails, abort breaks off a response. But workerd sends a
// request as if it were complete (1.20261117.1, measured), so failed has to
// abort the request first.
func pump(ctx context.Context, writer *jsrt.Ref, body io.Reader, failed func(error)) {
	defer closeBody(body)
	buf := takePiece()
	defer givePiece(buf)
	w := &bodyWriter{ctx: ctx, to: writer}
	_, err := io.CopyBuffer(w, body, buf[:pieceSize])
	switch {
	case w.err != nil:
		writer.Await(context.WithoutCancel(ctx), "abort", w.err.Error())
	case err == nil:
		writer.Await(ctx, "close")
	default:
		failed(err)
		writer.Await(ctx, "abort", err.Error())
	}
}

// bodyWriter writes to a WritableStreamDefaultWriter.
type bodyWriter struct {
	ctx context.Context
	to  *jsrt.Ref
	err error
}

func (w *bodyWriter) Write(p []byte) (n int, err error) {
	for n < len(p) && w.err == nil {
		next := p[n:min(len(p), n+pieceSize)]
		if _, w.err = w.to.Await(w.ctx, "write", next); w.err == nil {
			n += len(next)
		}
	}
	return n, w.err
}

// incoming returns a request's body, or nil if there is none. v is a stream,
// bytes, bytes and a stream with the rest, or an error.
func incoming(ctx context.Context, v any) *stream {
	switch v := v.(type) {
	case *jsrt.Ref:
		return &stream{ctx: ctx, body: v}
	case []byte:
		return &stream{chunk: v, err: io.EOF}
	case []any:
		s := incoming(ctx, v[1])
		s.chunk = v[0].([]byte)
		return s
	case *jsrt.Error:
		return &stream{err: classify(v)}
	}
	return nil
}

// stream reads a ReadableStream.
type stream struct {
	ctx    context.Context
	body   *jsrt.Ref // nil where all has been read
	reader *jsrt.Ref
	chunk  []byte
	buf    *piece // that chunk is in
	err    error
	closed func()
}

// pass returns the stream for JavaScript to send, if it belongs to the context
// and nothing was read from it.
func (s *stream) pass(c *jsrt.Context) *jsrt.Ref {
	if s.reader != nil || s.err != nil || len(s.chunk) > 0 || s.body.Context() != c {
		return nil
	}
	s.err = errPassed
	if s.closed != nil {
		s.closed()
	}
	return s.body
}

// rest returns the bytes that remain of a stream that was read to its end.
func (s *stream) rest() (value any, ok bool) {
	if s.body != nil || s.err != io.EOF {
		return nil, false
	}
	if len(s.chunk) > 0 {
		value = s.chunk
	}
	s.chunk, s.err = nil, errPassed
	return value, true
}

var errPassed = errors.New("durable: the body has been passed on")

func (s *stream) Read(p []byte) (int, error) {
	for len(s.chunk) == 0 && s.err == nil {
		s.chunk, s.err = s.next()
	}
	if len(s.chunk) == 0 {
		s.release()
		return 0, s.err
	}
	n := copy(p, s.chunk)
	s.chunk = s.chunk[n:]
	return n, nil
}

func (s *stream) next() ([]byte, error) {
	if s.reader == nil {
		v, err := s.body.Context().Host().Call("reader", s.body)
		if err != nil {
			return nil, classify(err)
		}
		s.reader = v.(*jsrt.Ref)
	}
	buf := s.buf
	if s.buf = nil; buf == nil { // nil, because Close must not give it back meanwhile
		buf = takePiece()
	}
	v, err := s.reader.Context().Host().AwaitInto(s.ctx, buf[:], "read", s.reader, pieceSize)
	s.buf = buf
	if err != nil {
		return nil, classify(err)
	}
	result, _ := v.(map[string]any)
	if done, _ := result["done"].(bool); done {
		return nil, io.EOF
	}
	chunk, ok := result["value"].([]byte)
	if !ok {
		return nil, errors.New("durable: the body's stream is not a byte stream")
	}
	return chunk, nil
}

// release gives back the buffer, which nothing is in any more.
func (s *stream) release() {
	givePiece(s.buf)
	s.buf = nil
}

var errClosedBody = errors.New("durable: read of a closed body")

// Close discards the unread rest.
func (s *stream) Close() error {
	if s.body == nil {
		s.chunk, s.err = nil, errClosedBody
	} else if s.err == nil {
		s.chunk, s.err = nil, errClosedBody
		target := s.reader
		if target == nil {
			target = s.body
		}
		target.Await(s.ctx, "cancel")
	}
	s.release()
	if s.closed != nil {
		s.closed()
	}
	return nil
}
