package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"flow.internal/capdo/durable/durablehttp"
)

// serveThrough passes a request on to an object's fetch.
func serveThrough(c *call, w http.ResponseWriter, r *http.Request) {
	stub, err := c.stub(c.Get("o"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), r.Body)
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

// flusher passes on at once what it gets.
type flusher struct{ http.ResponseWriter }

func (f flusher) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	f.ResponseWriter.(http.Flusher).Flush()
	return n, err
}

// serveObject is the object's HTTP side.
func serveObject(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch q.Get("do") {
	case "ticks": // one line at a time, as they happen
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
		time.Sleep(50 * time.Millisecond) // let it arrive
		panic("stream boom")
	case "empty":
		w.WriteHeader(http.StatusNoContent)
	case "panic":
		panic("http boom")
	}
}
