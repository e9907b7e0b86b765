package durable_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// serveLabs makes Labs serve fetch with fn, and returns a fresh Lab.
func serveLabs(t *testing.T, fn func(ctx context.Context, r *durable.Request) (*durable.Response, error)) *durable.Stub {
	set(t, &onFetch, func(ctx context.Context, _ *Lab, r *durable.Request) (*durable.Response, error) { return fn(ctx, r) })
	return durabletest.New(t, "LAB")
}

func echo(_ context.Context, r *durable.Request) (*durable.Response, error) {
	header := map[string][]string{"Method": {r.Method}, "Url": {r.URL}, "Content-Type": r.Header["Content-Type"], "Multi": {"a", "b"}}
	return &durable.Response{Status: 201, Header: header, Body: r.Body}, nil
}

func TestFetchCarriesBodiesAndHeadersBothWays(t *testing.T) {
	stub := serveLabs(t, echo)
	for how, c := range map[string]struct {
		sizes []int
		body  func(b []byte) io.Reader
	}{
		"at once":               {[]int{0, 1, 100, 64 << 10, 1 << 20}, func(b []byte) io.Reader { return bytes.NewBuffer(b) }},
		"streamed":              {[]int{0, 1, 100, 64 << 10, 1 << 20}, func(b []byte) io.Reader { return bytes.NewReader(b) }},
		"streamed byte by byte": {[]int{100}, func(b []byte) io.Reader { return iotest.OneByteReader(bytes.NewReader(b)) }},
		"no body":               {[]int{0}, func([]byte) io.Reader { return nil }},
	} {
		for _, size := range c.sizes {
			t.Run(fmt.Sprint(size, " bytes ", how), func(t *testing.T) { wantEcho(t, stub, bytes.Repeat([]byte("0123456"), size/7+1)[:size], c.body) })
		}
	}
}

func wantEcho(t *testing.T, stub *durable.Stub, body []byte, reader func([]byte) io.Reader) {
	header := map[string][]string{"Content-Type": {"application/x-random"}}
	resp, err := stub.Fetch(t.Context(), &durable.Request{Method: "PUT", URL: "https://object.example/path?q=1", Header: header, Body: reader(body)})
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	if resp.Body != nil {
		got, err = io.ReadAll(resp.Body)
	}
	if !bytes.Equal(got, body) || err != nil || resp.Status != 201 {
		t.Errorf("%d of %d bytes came back, with status %d, %v", len(got), len(body), resp.Status, err)
	}
	for k, want := range map[string]string{"Method": "PUT", "Url": "https://object.example/path?q=1", "Content-Type": "application/x-random", "Multi": "a, b"} {
		if got := strings.Join(resp.Header[k], ", "); got != want {
			t.Errorf("header %s is %q", k, got)
		}
	}
}

func TestBodyArrivesWhileItIsBeingWritten(t *testing.T) {
	read, write := io.Pipe()
	stub := serveLabs(t, func(context.Context, *durable.Request) (*durable.Response, error) {
		return &durable.Response{Status: 200, Body: read}, nil
	})
	resp, err := stub.Fetch(t.Context(), &durable.Request{Method: "GET", URL: "http://object/"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", "second"} { // the second is written after the first was read
		write.Write([]byte(want))
		buf := make([]byte, 100)
		if n, err := resp.Body.Read(buf); string(buf[:n]) != want || err != nil {
			t.Errorf("%q, %v; want %q", buf[:n], err, want)
		}
	}
	write.Close()
	if b, err := io.ReadAll(resp.Body); len(b) > 0 || err != nil {
		t.Errorf("at the end: %q, %v", b, err)
	}
}

func TestBodyThatFailsHalfwayBreaksOff(t *testing.T) {
	stub := serveLabs(t, func(context.Context, *durable.Request) (*durable.Response, error) {
		body := io.MultiReader(strings.NewReader("begun"), iotest.ErrReader(errors.New("the disk is on fire")))
		return &durable.Response{Status: 200, Body: body}, nil
	})
	resp, err := stub.Fetch(t.Context(), &durable.Request{Method: "GET", URL: "http://object/"})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%q ended as if it were complete", b)
	}
}

func TestFetchThatIsGivenUpIsCancelledInTheObject(t *testing.T) {
	ctx, giveUp := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	stub := serveLabs(t, func(ctx context.Context, _ *durable.Request) (*durable.Response, error) {
		giveUp()
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, ctx.Err()
	})
	if resp, err := stub.Fetch(ctx, &durable.Request{Method: "GET", URL: "http://object/"}); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller got %v, %v", resp, err)
	}
	wantGone(t, ended)
}

func wantGone(t *testing.T, ended <-chan error) {
	t.Helper()
	if cause := <-ended; cause == nil || cause.Error() != "the caller has disconnected" {
		t.Errorf("the handler's context ended with %v", cause)
	}
}

func TestBodyThatIsGivenUpIsCancelledInTheObject(t *testing.T) {
	ctx, giveUp := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	stub := serveLabs(t, func(ctx context.Context, _ *durable.Request) (*durable.Response, error) {
		return &durable.Response{Status: 200, Body: io.MultiReader(strings.NewReader("begun"), held{ctx, ended})}, nil
	})
	resp, err := stub.Fetch(ctx, &durable.Request{Method: "GET", URL: "http://object/"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, len("begun"))); err != nil {
		t.Fatal(err)
	}
	giveUp()
	if b, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller read %q, %v", b, err)
	}
	wantGone(t, ended)
}

// held is a body that ends when its request is given up.
type held struct {
	ctx   context.Context
	ended chan<- error
}

func (h held) Read([]byte) (int, error) {
	<-h.ctx.Done()
	h.ended <- context.Cause(h.ctx)
	return 0, io.EOF
}

func TestFetchThatReturnsNothingIsAnError(t *testing.T) {
	stub := serveLabs(t, func(context.Context, *durable.Request) (*durable.Response, error) { return nil, nil })
	_, err := stub.Fetch(t.Context(), &durable.Request{URL: "https://object.example/"})
	if err == nil || !strings.Contains(err.Error(), "neither a response nor an error") {
		t.Error(err)
	}
}

func TestStatusZeroIs200(t *testing.T) {
	for name, body := range map[string]io.Reader{"bytes": bytes.NewBufferString("text"), "a stream": strings.NewReader("text"), "none": nil} {
		stub := serveLabs(t, func(context.Context, *durable.Request) (*durable.Response, error) {
			return &durable.Response{Body: body}, nil
		})
		resp, err := stub.Fetch(t.Context(), &durable.Request{URL: "https://object.example/"})
		if err != nil {
			t.Fatal(name, err)
		}
		got := ""
		if resp.Body != nil {
			b, err := io.ReadAll(resp.Body)
			if got = string(b); err != nil {
				t.Error(name, err)
			}
		}
		if resp.Status != 200 || (got == "text") != (body != nil) {
			t.Errorf("%s: %d %q", name, resp.Status, got)
		}
	}
}
