package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/e2e/internal/accept"
)

// serveThrough forwards a request to an object's fetch.
func serveThrough(c *call, w http.ResponseWriter, r *http.Request) {
	stub := c.stub(c.Get("o"))
	out, err := http.NewRequestWithContext(r.Context(), r.Method,
		"http://"+r.Host+r.URL.RequestURI(), r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	out.Header = r.Header
	resp, err := durablehttp.Transport(stub).RoundTrip(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(resp.StatusCode)
	if _, err := io.Copy(flusher{w}, resp.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// serveBody counts the bytes x in a request's body, and tells how it ends.
func serveBody(w http.ResponseWriter, r *http.Request) {
	n, buf := 0, make([]byte, 1000)
	for {
		got, err := r.Body.Read(buf)
		n += strings.Count(string(buf[:got]), "x")
		if err != nil {
			fmt.Fprintf(w, "%d x, then %v", n, err)
			return
		}
	}
}

// passOn lets an object's serveBody answer, without the body's length.
func passOn(c *call, w http.ResponseWriter, r *http.Request) {
	r.Header.Del("Content-Length")
	if err := durablehttp.Forward(w, r, c.stub("reader")); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

// flusher sends everything at once.
type flusher struct{ http.ResponseWriter }

func (f flusher) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	f.ResponseWriter.(http.Flusher).Flush()
	return n, err
}

// serveObject is the HTTP handler of the object.
func serveObject(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/passed" {
		serveBody(w, r)
		return
	}
	q := r.URL.Query()
	switch q.Get("do") {
	case "ticks": // one line at a time, as it happens
		for i := range 5 {
			fmt.Fprintln(w, i)
			w.(http.Flusher).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	case "big":
		n, _ := strconv.Atoi(q.Get("n"))
		chunk := make([]byte, 32<<10)
		for i := range chunk {
			chunk[i] = byte(i)
		}
		for range n / len(chunk) {
			w.Write(chunk)
		}
	case "break":
		fmt.Fprintln(w, "begun")
		w.(http.Flusher).Flush()
		time.Sleep(50 * time.Millisecond) // lets it arrive
		panic("stream boom")
	case "empty":
		w.WriteHeader(http.StatusNoContent)
	case "panic":
		panic("http boom")
	}
}

// raw answers with a status and a body that may not match.
func raw(r *durable.Request) (*durable.Response, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, err
	}
	status, _ := strconv.Atoi(u.Query().Get("status"))
	return &durable.Response{Status: status,
		Body: struct{ io.Reader }{strings.NewReader(strings.Repeat("b", 100_000))}}, nil
}

// acceptSocket accepts a WebSocket whose other side has a second to send
// something.
func acceptSocket(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	if strings.HasSuffix(r.URL, "late") {
		time.Sleep(50 * time.Millisecond)
	}
	return accept.WebSocket(ctx, func(conn *durable.Conn) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		conn.Read(ctx)
		conn.Close(4000, "idle for a second")
	})
}

var responses = scenarioMap{
	// getbody sends GET requests with a body, which JavaScript refuses. It
	// returns how many goroutines are left.
	"getbody": func(ctx context.Context, c *call) (string, error) {
		stub := c.stub("other")
		before := runtime.NumGoroutine()
		for range c.int("n") {
			body, w := io.Pipe()
			go func() {
				for { // as long as a reader reads
					if _, err := w.Write(make([]byte, 1000)); err != nil {
						return
					}
				}
			}()
			if _, err := stub.Fetch(ctx,
				&durable.Request{Method: "GET", URL: "http://other/", Body: body}); err == nil {
				return "", fmt.Errorf("a GET with a body was sent")
			}
		}
		for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before &&
			time.Now().Before(end); {
			time.Sleep(50 * time.Millisecond)
		}
		return fmt.Sprint(runtime.NumGoroutine() - before), nil
	},
	// dropsocket opens WebSockets without waiting for the answers.
	"dropsocket": func(ctx context.Context, c *call) (string, error) {
		stub := c.stub(c.Get("to"))
		for range c.int("n") {
			short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			stub.Fetch(short, &durable.Request{Method: "GET", URL: "http://other/late",
				Header: map[string][]string{"Upgrade": {"websocket"}}})
			cancel()
		}
		time.Sleep(200 * time.Millisecond)
		return "done", nil
	},
}
