package durable

import (
	"context"
	"errors"
	"io"

	"flow.internal/capdo/internal/jsrt"
)

// outgoing turns a body into what JavaScript sends: bytes, or a stream that send writes.
func outgoing(c *jsrt.Context, body io.Reader) (value any, send func(context.Context), err error) {
	switch b := body.(type) {
	case nil:
		return nil, nil, nil
	case interface{ Bytes() []byte }:
		if len(b.Bytes()) == 0 {
			return nil, nil, nil
		}
		return b.Bytes(), nil, nil
	}
	v, err := c.Helpers().Call("pipe")
	if err != nil {
		return nil, nil, err
	}
	ends := v.([]any)
	writer := ends[1].(*jsrt.Ref)
	return ends[0], func(ctx context.Context) { pump(ctx, writer, body) }, nil
}

// pump writes a body to a WritableStreamDefaultWriter, as fast as it is read.
func pump(ctx context.Context, writer *jsrt.Ref, body io.Reader) {
	if c, ok := body.(io.Closer); ok {
		defer c.Close()
	}
	buf := make([]byte, 64<<10)
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

// incoming returns a request's body: a stream, bytes, bytes and a stream with
// more of them, or an error. It returns nil for none.
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
	err    error
	closed func()
}

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
		v, err := s.body.Context().Helpers().Call("reader", s.body)
		if err != nil {
			return nil, classify(err)
		}
		s.reader = v.(*jsrt.Ref)
	}
	v, err := s.reader.Context().Helpers().Await(s.ctx, "read", s.reader)
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

var errClosedBody = errors.New("durable: read of a closed body")

// Close gives up what has not been read.
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
	if s.closed != nil {
		s.closed()
	}
	return nil
}
