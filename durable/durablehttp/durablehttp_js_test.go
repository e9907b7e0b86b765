package durablehttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/durable/durabletest"
)

// Site is an object that serves HTTP with the handler that the test has set.
type Site struct{}

var site http.HandlerFunc

func NewSite(context.Context, *durable.State, *durable.Env) (Site, error) { return Site{}, nil }

func (Site) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	return durablehttp.Serve(ctx, site, r)
}

// pass is the stateless Worker. It forwards each request to the object whose
// name is the host.
func pass(w http.ResponseWriter, r *http.Request) {
	stub := durablehttp.Env(r).Object("SITE", r.Host)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: r.Host})
	proxy.Transport = durablehttp.Transport(stub)
	proxy.ServeHTTP(w, r)
}

func TestMain(m *testing.M) {
	durable.Register("Site", NewSite)
	durablehttp.Handle(http.HandlerFunc(pass))
	m.Run()
}

// clients makes sites serve h. It returns clients that reach a site in every
// possible way.
func clients(t *testing.T, h http.HandlerFunc) map[string]*http.Client {
	site = h
	return map[string]*http.Client{
		"the object":            {Transport: durablehttp.Transport(durabletest.New(t, "SITE"))},
		"the object via Worker": {Transport: durablehttp.Transport(durabletest.Worker(t))},
	}
}

func TestRequestsAndResponsesKeepBodiesAndHeaders(t *testing.T) {
	for name, client := range clients(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request", r.Method+" "+r.Host+" "+r.RequestURI)
		w.Header().Add("X-Multi", "a")
		w.Header().Add("X-Multi", "b")
		w.Header().Add("Set-Cookie", "a=1") // the only header whose values are not joined
		w.Header().Add("Set-Cookie", "b=2")
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		w.WriteHeader(http.StatusCreated)
		io.Copy(w, r.Body)
	}) {
		for _, size := range []int{0, 1, 100, 64 << 10, 64<<10 + 1, 5 << 20} {
			t.Run(fmt.Sprint(size, " bytes to ", name), func(t *testing.T) {
				body := random(size)
				r, err := http.NewRequestWithContext(t.Context(), "PUT", "http://site/path?q=%20", bytes.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/x-random")
				resp, err := client.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				if err != nil || !bytes.Equal(got, body) || resp.StatusCode != http.StatusCreated {
					t.Errorf("status %d, %d bytes, %v", resp.StatusCode, len(got), err)
				}
				wantHeader(t, resp.Header, "X-Request", "PUT site /path?q=%20")
				wantHeader(t, resp.Header, "X-Multi", "a, b")
				wantHeader(t, resp.Header, "Set-Cookie", "a=1, b=2")
				wantHeader(t, resp.Header, "Content-Type", "application/x-random")
			})
		}
	}
}

func random(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

func wantHeader(t *testing.T, h http.Header, key, want string) {
	t.Helper()
	if got := strings.Join(h.Values(key), ", "); got != want {
		t.Errorf("%s is %q, want %q", key, got, want)
	}
}

func TestHandlersRequestIsLikeThatOfANetHTTPServer(t *testing.T) {
	for _, c := range []struct {
		name   string
		body   io.Reader
		header http.Header
		length int64
		want   string
	}{
		{"without a body", nil, nil, 0, ""},
		{"with a body", strings.NewReader("12345"), nil, -1, "12345"},
		{"with a body of a length", strings.NewReader("12345"), http.Header{"Content-Length": {"5"}}, 5, "12345"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &durable.Request{Method: "POST", URL: "http://host:80/a%20b?q=1", Header: c.header, Body: c.body}
			resp, err := durablehttp.Serve(t.Context(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if b, err := io.ReadAll(r.Body); string(b) != c.want || err != nil || r.ContentLength != c.length {
					t.Errorf("body %q, %v, length %d", b, err, r.ContentLength)
				}
				if r.Host != "host:80" || r.RequestURI != "/a%20b?q=1" || r.URL.Path != "/a b" || r.Method != "POST" {
					t.Errorf("%s %s %s %s", r.Method, r.Host, r.RequestURI, r.URL.Path)
				}
			}), r)
			if err != nil || resp.Status != http.StatusOK {
				t.Errorf("%v, %v", resp, err)
			}
		})
	}
}

func TestCanceledRequestEndsHandlersContext(t *testing.T) {
	ended := make(chan error, 1)
	var giveUp context.CancelFunc
	for name, client := range clients(t, func(w http.ResponseWriter, r *http.Request) {
		giveUp()
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	}) {
		t.Run(name, func(t *testing.T) {
			var ctx context.Context
			ctx, giveUp = context.WithCancel(t.Context())
			if resp, err := get(ctx, client); !errors.Is(err, context.Canceled) {
				t.Errorf("the caller got %v, %v", resp, err)
			}
			wantGone(t, ended)
		})
	}
}

func TestCanceledResponseEndsHandlersContext(t *testing.T) {
	ended := make(chan error, 1)
	for name, client := range clients(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begun")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	}) {
		t.Run(name, func(t *testing.T) {
			ctx, giveUp := context.WithCancel(t.Context())
			resp, err := get(ctx, client)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.ReadFull(resp.Body, make([]byte, len("begun"))); err != nil {
				t.Fatal(err)
			}
			giveUp()
			if b, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
				t.Errorf("the caller read %q, %v", b, err)
			}
			wantGone(t, ended)
		})
	}
}

func get(ctx context.Context, client *http.Client) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", "http://site/", nil)
	if err != nil {
		return nil, err
	}
	return client.Do(r)
}

func wantGone(t *testing.T, ended <-chan error) {
	t.Helper()
	if cause := <-ended; cause == nil || cause.Error() != "the caller has disconnected" {
		t.Errorf("the handler's context ended with %v", cause)
	}
}
