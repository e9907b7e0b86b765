package durable

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync"

	"flow.internal/capdo/internal/jsrt"
)

// outgoing turns a body into what JavaScript sends: bytes, or a stream that send
// writes, or one of JavaScript's that goes on as it is.
func outgoing(c *jsrt.Context, body io.Reader, header map[string][]string) (value any, send func(context.Context), err error) {
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
	}
	v, err := c.Helpers().Call("pipe", lengthOf(header))
	if err != nil {
		closeBody(body)
		return nil, nil, err
	}
	ends := v.([]any)
	writer := ends[1].(*jsrt.Ref)
	return ends[0], func(ctx context.Context) { pump(ctx, writer, body) }, nil
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

// pieces are buffers for bodies that are sent.
var pieces = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// pump writes a body to a WritableStreamDefaultWriter, as fast as it is read.
func pump(ctx context.Context, writer *jsrt.Ref, body io.Reader) {
	defer closeBody(body)
	piece := pieces.Get().(*[64 << 10]byte)
	defer pieces.Put(piece)
	buf := piece[:]
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, werr := writer.Await(ctx, "write", buf[:n]); werr != nil {
				writer.Await(context.WithoutCancel(ctx), "abort", werr.Error())
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			writer.Await(ctx, "close")
			return
		case err != nil:
			writer.Await(ctx, "abort", err.Error())
			return
		}
	}
}

// stream reads a ReadableStream.
type stream struct {
	ctx       context.Context
	body      *jsrt.Ref
	reader    *jsrt.Ref
	chunk     []byte
	err       error
	closed    func()
	isFetched bool // it is a response's
}

// pass hands the stream over to JavaScript, if it is one of the context and
// nobody has read from it.
func (s *stream) pass(c *jsrt.Context) *jsrt.Ref {
	if s.reader != nil || s.err != nil || s.body.Context() != c {
		return nil
	}
	s.err = errPassed
	if s.closed != nil {
		s.closed()
	}
	return s.body
}

var errPassed = errors.New("durable: the body has been passed on")

func (s *stream) Read(p []byte) (int, error) {
	for len(s.chunk) == 0 && s.err == nil {
		s.chunk, s.err = s.next()
	}
	if len(s.chunk) == 0 {
		return 0, s.err
	}
	n := copy(p, s.chunk)
	s.chunk = s.chunk[n:]
	return n, nil
}

func (s *stream) next() ([]byte, error) {
	if s.reader == nil {
		v, err := s.body.Call("getReader")
		if err != nil {
			return nil, classify(err)
		}
		s.reader = v.(*jsrt.Ref)
	}
	v, err := s.reader.Await(s.ctx, "read")
	if err != nil {
		return nil, classify(err)
	}
	result, _ := v.(map[string]any)
	if done, _ := result["done"].(bool); done {
		return nil, io.EOF
	}
	chunk, ok := result["value"].([]byte)
	if !ok {
		return nil, errors.New("durable: the body's stream is not one of bytes")
	}
	return chunk, nil
}

// Close gives up what has not been read.
func (s *stream) Close() error {
	if s.err == nil {
		s.err = errors.New("durable: read of a closed body")
		target := s.reader
		if target == nil {
			target = s.body
		}
		target.Await(s.ctx, "cancel")
	}
	if s.closed != nil {
		s.closed()
	}
	return nil
}
