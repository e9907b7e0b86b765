package durablehttp_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/durable/durabletest"
)

func TestHijackIsRefusedWithAReason(t *testing.T) {
	for name, client := range clients(t, func(w http.ResponseWriter, r *http.Request) {
		_, _, err := http.NewResponseController(w).Hijack()
		if !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Hijack: %v", err)
		}
		http.Error(w, err.Error(), http.StatusNotImplemented)
	}) {
		resp, err := client.Get("http://site/")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusNotImplemented || !strings.Contains(string(body), "no connection to take over") {
			t.Errorf("%s: %d %q", name, resp.StatusCode, body)
		}
	}
}

func TestTrailersAreLeftOutOfResponses(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"announced": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			io.WriteString(w, "body")
			w.Header().Set("X-Sum", "1")
		},
		"prefixed": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "body")
			w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
		},
		"with a prefix, after a Flush": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "body")
			http.NewResponseController(w).Flush()
			w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
		},
	} {
		for way, client := range clients(t, h) {
			resp, err := client.Get("http://site/")
			if err != nil {
				t.Fatal(name, way, err)
			}
			body, err := io.ReadAll(resp.Body)
			if string(body) != "body" || err != nil || resp.Header["Trailer"] != nil || resp.Header["X-Sum"] != nil {
				t.Errorf("%s, %s: %q, %v, %v", name, way, body, err, resp.Header)
			}
		}
	}
}

func TestTrailersOfRequestsAreRefused(t *testing.T) {
	client := clients(t, func(http.ResponseWriter, *http.Request) { t.Error("the request arrived") })["the object"]
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://site/", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	r.Trailer = http.Header{"X-Sum": nil}
	if _, err := client.Do(r); !errors.Is(err, http.ErrNotSupported) {
		t.Error(err)
	}
}

func TestResponsesWithoutBodyTakeNone(t *testing.T) {
	for _, status := range []int{http.StatusNoContent, http.StatusNotModified} {
		for name, client := range clients(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			if _, err := w.Write([]byte("text")); !errors.Is(err, http.ErrBodyNotAllowed) {
				t.Errorf("Write: %v", err)
			}
		}) {
			resp, err := client.Get("http://site/")
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(resp.Body); resp.StatusCode != status || len(body) > 0 || err != nil {
				t.Errorf("%s: %d %q, %v", name, resp.StatusCode, body, err)
			}
		}
	}
}

// The body is far larger than any buffer. So the writer must wait until the
// reader has read some of it.
func TestLargeBodyIsNotBuffered(t *testing.T) {
	const chunk, chunks = 64 << 10, 1024
	written := make(chan int, chunks)
	client := clients(t, func(w http.ResponseWriter, r *http.Request) {
		block := make([]byte, chunk)
		for i := range chunks {
			if _, err := w.Write(block); err != nil {
				return
			}
			written <- i
		}
	})["the object"]
	resp, err := client.Get("http://site/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for last, n := -1, len(written); n != last; last, n = n, len(written) { // until the writer waits
		<-time.After(20 * time.Millisecond)
	}
	if n := len(written); n > chunks/4 {
		t.Errorf("%d of %d chunks were written before any was read", n, chunks)
	}
	if n, err := io.Copy(io.Discard, resp.Body); n != chunk*chunks || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// A client in a test has no request context: the context of the environment is
// enough.
func TestOutboundRefusesInvalidURLs(t *testing.T) {
	client := http.Client{Transport: durablehttp.Outbound(durabletest.Env(t, nil))}
	if _, err := client.Get("nonsense://x"); err == nil {
		t.Error("no error")
	}
}
