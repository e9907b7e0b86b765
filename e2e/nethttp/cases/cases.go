// Package cases contains net/http handlers, each with a request. net/http's own
// server and a Worker must give the same answers.
package cases

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing/fstest"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// Case is a handler with a request.
type Case struct {
	Name    string
	Request string // method and target; "GET /" when ""
	Header  http.Header
	Body    string
	Chunked bool // the body is sent without its length
	Notes   int  // number to wait for: the handler may continue after its client has the response
	Handler http.HandlerFunc
}

// Handler serves the case that the header X-Case names.
func Handler() http.Handler {
	byName := map[string]http.HandlerFunc{"events on demand": onDemand}
	for _, c := range All {
		byName[c.Name] = c.Handler
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Notes") != "" {
			io.WriteString(w, takeNotes(r.Header.Get("X-Notes")))
			return
		}
		if id := r.Header.Get("X-Next"); id != "" {
			mu.Lock()
			next[id]++
			mu.Unlock()
			return
		}
		byName[r.Header.Get("X-Case")](w, r)
	})
}

var (
	mu    sync.Mutex
	notes = map[string]string{}
	next  = map[string]int{} // number of events that the client has requested
)

// note records what a handler sees, so that the test can compare it.
func note(r *http.Request, format string, args ...any) {
	mu.Lock()
	defer mu.Unlock()
	notes[r.Header.Get("X-Id")] += fmt.Sprintf(format, args...) + "\n"
}

func takeNotes(id string) string {
	mu.Lock()
	defer mu.Unlock()
	defer delete(notes, id)
	return notes[id]
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, s) }
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(code)
		_, err := io.WriteString(w, body)
		note(r, "%v", err)
	}
}

func header(name string, values ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header()[name] = values
		io.WriteString(w, "text")
	}
}

func of(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func zip(s string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, s)
	z.Close()
	return b.Bytes()
}

var (
	long  = strings.Repeat("0123456789abcdef", 20_000)
	files = fstest.MapFS{
		"index.html":  {Data: []byte("<html>index</html>"), ModTime: time.Unix(1_700_000_000, 0)},
		"a.txt":       {Data: []byte("text of a"), ModTime: time.Unix(1_700_000_000, 0)},
		"sub/data.js": {Data: []byte("let x = 1"), ModTime: time.Unix(1_700_000_000, 0)},
		"sub/large":   {Data: []byte(long), ModTime: time.Unix(1_700_000_000, 0)},
	}
)

// content serves a text with http.ServeContent.
func content(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", `"v1"`)
	http.ServeContent(w, r, "a.txt", time.Unix(1_700_000_000, 0), strings.NewReader("The quick brown fox jumps over the lazy dog"))
}

// upstream is a transport without a network.
type upstream func(*http.Request) (*http.Response, error)

func (u upstream) RoundTrip(r *http.Request) (*http.Response, error) { return u(r) }

// broken is a body that ends early.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = errors.New("the upstream closed the connection")
	}
	return n, err
}

func proxy(u upstream) http.HandlerFunc {
	p := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "upstream", Path: "/base"})
	p.Transport = u
	p.ErrorLog = quiet
	return p.ServeHTTP
}

func answer(code int, body io.Reader, pairs ...string) upstream {
	return func(r *http.Request) (*http.Response, error) {
		b, ok := body.(io.ReadSeeker)
		if ok {
			b.Seek(0, io.SeekStart)
		}
		return &http.Response{
			StatusCode: code, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: of(pairs...), Body: io.NopCloser(body), ContentLength: -1, Request: r,
		}, nil
	}
}

// compress is a typical compression middleware.
func compress(next http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Add("Vary", "Accept-Encoding")
		z := gzip.NewWriter(w)
		defer z.Close()
		next.ServeHTTP(zipped{w, z}, r)
	}
}

type zipped struct {
	http.ResponseWriter
	z *gzip.Writer
}

func (w zipped) Write(p []byte) (int, error) { return w.z.Write(p) }
func (w zipped) Flush() {
	w.z.Flush()
	w.ResponseWriter.(http.Flusher).Flush()
}

func events(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range n {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			time.Sleep(2 * time.Millisecond)
		}
	}
}

// onDemand sends an event for each request with the header X-Next, until the
// client disconnects.
func onDemand(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(200)
	w.(http.Flusher).Flush()
	for sent, id := 0, r.Header.Get("X-Id"); r.Context().Err() == nil; time.Sleep(5 * time.Millisecond) {
		mu.Lock()
		wanted := next[id]
		mu.Unlock()
		for ; sent < wanted; sent++ {
			fmt.Fprintf(w, "data: %d\n\n", sent)
			w.(http.Flusher).Flush()
		}
	}
	note(r, "%v", r.Context().Err())
}

var page = template.Must(template.New("").Parse("<p>{{.}}</p>"))

var mux = func() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /items/{id}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "item", r.PathValue("id"), r.Pattern) })
	m.HandleFunc("POST /items", text("created"))
	m.HandleFunc("/tree/", text("tree"))
	m.HandleFunc("GET /rest/{path...}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.PathValue("path")) })
	m.Handle("/strip/", http.StripPrefix("/strip", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Path) })))
	return m
}()

var router = func() http.Handler {
	m := chi.NewRouter()
	m.Use(middleware.RequestID, middleware.Compress(5), middleware.StripSlashes)
	m.Get("/users/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, "user ", chi.URLParam(r, "id"))
	})
	m.Route("/admin", func(r chi.Router) { r.Delete("/{what:[a-z]+}", text("deleted")) })
	m.NotFound(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no such page", http.StatusNotFound) })
	return m
}()

// All lists the cases.
var All = []Case{
	// Statuses.
	{Name: "nothing", Handler: func(http.ResponseWriter, *http.Request) {}},
	{Name: "200", Handler: status(200, "ok")},
	{Name: "201", Handler: status(201, "created")},
	{Name: "202 without a body", Handler: status(202, "")},
	{Name: "204", Handler: status(204, "")},
	{Name: "204 with a body", Handler: status(204, "text")},
	{Name: "204, then Flush", Handler: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204); w.(http.Flusher).Flush() }},
	{Name: "205", Handler: status(205, "")},
	{Name: "299", Handler: status(299, "odd")},
	{Name: "304", Handler: func(w http.ResponseWriter, r *http.Request) { w.Header().Set("ETag", `"x"`); w.WriteHeader(304) }},
	{Name: "304 with a body, then Flush", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(304)
		_, err := io.WriteString(w, "text")
		note(r, "%v", err)
		w.(http.Flusher).Flush()
	}},
	{Name: "400", Handler: status(400, "bad")},
	{Name: "418", Handler: status(418, "teapot")},
	{Name: "499", Handler: status(499, "odd")},
	{Name: "500", Handler: status(500, "failed")},
	{Name: "503 with Retry-After", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3")
		http.Error(w, "later", http.StatusServiceUnavailable)
	}},
	{Name: "599", Handler: status(599, "odd")},
	{Name: "600", Handler: status(600, "very odd")},
	{Name: "an invalid status", Handler: func(w http.ResponseWriter, r *http.Request) {
		defer func() { note(r, "%v", recover()); w.WriteHeader(400) }()
		w.WriteHeader(99)
	}},
	{Name: "an informational status first", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(103)
		io.WriteString(w, "final")
	}},
	{Name: "WriteHeader twice", Handler: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(201); w.WriteHeader(500) }},
	{Name: "WriteHeader after Write", Handler: func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "text"); w.WriteHeader(500) }},

	// Headers.
	{Name: "several values", Handler: header("X-Multi", "a", "b")},
	{Name: "cookies", Handler: func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1", Path: "/", HttpOnly: true})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2", MaxAge: 60})
	}},
	{Name: "an empty value", Handler: header("X-Empty", "")},
	{Name: "no values", Handler: header("X-None")},
	{Name: "a value with a line end", Handler: header("X-Lines", "a\r\nX-Injected: b\nc")},
	{Name: "a value with space around", Handler: header("X-Space", "  a b\t ")},
	{Name: "a value that is not ASCII", Handler: header("X-Umlaut", "grün €")},
	{Name: "an invalid name", Handler: header("X Bad", "a")},
	{Name: "a name that is not canonical", Handler: header("x-lower", "a")},
	{Name: "a header after WriteHeader", Handler: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(200); w.Header().Set("X-Late", "a") }},
	{Name: "a header after Write", Handler: func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "text"); w.Header().Set("X-Late", "a") }},
	{Name: "a header that is deleted", Handler: func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-A", "a"); w.Header().Del("X-A") }},
	{Name: "no Content-Type", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = nil
		io.WriteString(w, "<html>")
	}},
	{Name: "an HTML page is recognized", Handler: text("<html><body>hello")},
	{Name: "a page in pieces is recognized", Handler: func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<ht"); io.WriteString(w, "ml>") }},
	{Name: "an image is recognized", Handler: text("\x89PNG\r\n\x1a\n and more")},
	{Name: "an encoded body is not recognized", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(zip("<html>"))
	}},
	{Name: "a Content-Length", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "4")
		io.WriteString(w, "text")
	}},
	{Name: "a Content-Length, streamed", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(long)))
		io.WriteString(w, long)
	}},
	{Name: "less than the Content-Length", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "9")
		io.WriteString(w, "text")
	}},
	{Name: "more than the Content-Length", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "4")
		io.WriteString(w, "text")
		_, err := io.WriteString(w, "more")
		note(r, "%v", err)
	}},
	{Name: "an invalid Content-Length", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "four")
		io.WriteString(w, "text")
	}},
	{Name: "the connection's headers", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Transfer-Encoding", "identity")
		io.WriteString(w, "text")
	}},

	// Bodies.
	{Name: "a long body", Handler: text(long)},
	{Name: "many small writes", Handler: func(w http.ResponseWriter, r *http.Request) {
		e := json.NewEncoder(w)
		for i := range 4000 {
			e.Encode(map[string]int{"row": i})
		}
	}},
	{Name: "flushes", Handler: events(20)},
	{Name: "a Flush before anything", Handler: func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); io.WriteString(w, "text") }},
	{Name: "io.Copy", Handler: func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(w, strings.NewReader(long))
		note(r, "%d %v", n, err)
	}},
	{Name: "a template", Handler: func(w http.ResponseWriter, r *http.Request) { page.Execute(w, "<hello>") }},
	{Name: "http.Error", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "999")
		http.Error(w, "sorry", http.StatusUnprocessableEntity)
	}},
	{Name: "http.NotFound", Handler: http.NotFound},
	{Name: "http.Redirect", Request: "GET /a/b?c=d", Handler: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "../x?y", http.StatusFound) }},
	{Name: "gzip middleware", Header: of("Accept-Encoding", "gzip"), Handler: compress(text(long))},
	{Name: "gzip middleware, flushed", Header: of("Accept-Encoding", "gzip"), Handler: compress(events(5))},
	{Name: "gzip middleware, not asked for", Handler: compress(text("plain"))},
	{Name: "br", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		io.WriteString(w, "\x0b\x02\x80hello\x03")
	}},
	{Name: "deflate", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "deflate")
		w.Write([]byte("\x01\x05\x00\xfa\xffhello"))
	}},
	{Name: "zstd", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "zstd")
		w.Write([]byte("\x28\xb5\x2f\xfd bytes"))
	}},
	{Name: "an unknown encoding", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "x-own")
		io.WriteString(w, "bytes")
	}},

	// Responses that end early.
	{Name: "abort before the header", Handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	{Name: "abort after a Flush", Handler: func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "some")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}},
	{Name: "abort after much", Handler: func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, long); panic(http.ErrAbortHandler) }},
	{Name: "panic after a Flush", Handler: func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "some")
		w.(http.Flusher).Flush()
		panic("on purpose")
	}},
	{Name: "a panic", Handler: func(http.ResponseWriter, *http.Request) { panic("on purpose") }},

	// HEAD.
	{Name: "HEAD", Request: "HEAD /", Handler: text("text")},
	{Name: "HEAD of nothing", Request: "HEAD /", Handler: func(http.ResponseWriter, *http.Request) {}},
	{Name: "HEAD of much", Request: "HEAD /", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "320000")
		io.WriteString(w, long)
	}},
	{Name: "HEAD, flushed", Request: "HEAD /", Handler: func(w http.ResponseWriter, r *http.Request) {
		n, err := io.WriteString(w, "text")
		note(r, "%d %v", n, err)
		w.(http.Flusher).Flush()
	}},
	{Name: "HEAD of content", Request: "HEAD /", Handler: content},

	// Content.
	{Name: "content", Handler: content},
	{Name: "a range", Header: of("Range", "bytes=4-8"), Handler: content},
	{Name: "a range from the end", Header: of("Range", "bytes=-3"), Handler: content},
	{Name: "an impossible range", Header: of("Range", "bytes=100-"), Handler: content},
	{Name: "If-None-Match", Header: of("If-None-Match", `"v1"`), Handler: content},
	{Name: "If-Modified-Since", Header: of("If-Modified-Since", "Tue, 14 Nov 2023 22:13:20 GMT"), Handler: content},
	{Name: "If-Range that holds", Header: of("If-Range", `"v1"`, "Range", "bytes=0-2"), Handler: content},
	{Name: "If-Range that does not match", Header: of("If-Range", `"v0"`, "Range", "bytes=0-2"), Handler: content},
	{Name: "If-Match that does not match", Header: of("If-Match", `"v0"`), Handler: content},
	{Name: "a file", Request: "GET /sub/data.js", Handler: http.FileServerFS(files).ServeHTTP},
	{Name: "a long file", Request: "GET /sub/large", Handler: http.FileServerFS(files).ServeHTTP},
	{Name: "an index", Handler: http.FileServerFS(files).ServeHTTP},
	{Name: "a folder", Request: "GET /sub", Handler: http.FileServerFS(files).ServeHTTP},
	{Name: "no such file", Request: "GET /nothing", Handler: http.FileServerFS(files).ServeHTTP},

	// Handlers of the standard library, and routers of others.
	{Name: "TimeoutHandler in time", Handler: http.TimeoutHandler(text("text"), 30*time.Second, "too late").ServeHTTP},
	{Name: "TimeoutHandler", Notes: 1, Handler: http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		var err error
		for err == nil { // TimeoutHandler may see the end later than its handler
			_, err = io.WriteString(w, "late")
			runtime.Gosched()
		}
		note(r, "%v", err)
	}), 50*time.Millisecond, "too late").ServeHTTP},
	{Name: "MaxBytesHandler", Request: "POST /", Body: "0123456789", Handler: http.MaxBytesHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		note(r, "%q %v", b, err)
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
	}), 4).ServeHTTP},
	{Name: "a proxy", Request: "GET /x?y=z", Handler: proxy(answer(203, strings.NewReader("from upstream"), "X-Up", "1", "Content-Type", "text/plain"))},
	{Name: "a proxy whose upstream breaks off", Handler: proxy(func(r *http.Request) (*http.Response, error) {
		return answer(200, broken{strings.NewReader(long)}, "Content-Type", "text/plain")(r)
	})},
	{Name: "a proxy whose upstream breaks off early", Handler: proxy(func(r *http.Request) (*http.Response, error) {
		return answer(200, broken{strings.NewReader("half")}, "Content-Type", "text/event-stream")(r)
	})},
	{Name: "a proxy without an upstream", Handler: proxy(func(*http.Request) (*http.Response, error) { return nil, errors.New("refused") })},
	{Name: "mux with a value", Request: "GET /items/a%2Fb", Handler: mux.ServeHTTP},
	{Name: "mux, wrong method", Request: "DELETE /items/1", Handler: mux.ServeHTTP},
	{Name: "mux, slash added", Request: "GET /tree", Handler: mux.ServeHTTP},
	{Name: "mux, path cleaned", Request: "GET /tree//a/../b", Handler: mux.ServeHTTP},
	{Name: "mux, rest of the path", Request: "GET /rest/a/b%20c", Handler: mux.ServeHTTP},
	{Name: "StripPrefix", Request: "GET /strip/a/b", Handler: mux.ServeHTTP},
	{Name: "chi", Request: "GET /users/7/", Handler: router.ServeHTTP},
	{Name: "chi, gzip", Request: "GET /users/7", Header: of("Accept-Encoding", "gzip"), Handler: router.ServeHTTP},
	{Name: "chi, subroute", Request: "DELETE /admin/all", Handler: router.ServeHTTP},
	{Name: "chi, not found", Request: "GET /nothing", Handler: router.ServeHTTP},

	// Requests.
	{Name: "the request in a handler", Request: "GET /a%20b//c?q=%C3%A4&q=2", Header: of("X-Own", "1", "X-Multi", "a", "X-Multi", "b", "Cookie", "a=1; b=2"), Handler: func(w http.ResponseWriter, r *http.Request) {
		note(r, "%s %s %s %q %q %q", r.Method, r.RequestURI, r.Proto, r.URL.Path, r.URL.RawPath, r.URL.String())
		note(r, "%q %v %v %d %v", r.Form, r.URL.IsAbs(), r.TLS == nil, r.ContentLength, r.Body == http.NoBody)
		note(r, "%q %q %q", r.Header["X-Own"], strings.Join(r.Header["X-Multi"], ", "), r.FormValue("q"))
		_, _, err := net.SplitHostPort(r.RemoteAddr)
		note(r, "%v %v", err, r.Context().Value(http.ServerContextKey) != nil)
		c, err := r.Cookie("b")
		note(r, "%v %v", c, err)
	}},
	{Name: "an invalid escape in the query", Request: "GET /?a=%zz&b=1", Handler: func(w http.ResponseWriter, r *http.Request) {
		note(r, "%v %q", r.ParseForm(), r.Form)
	}},
	{Name: "an invalid escape in the path", Request: "GET /%zz", Handler: text("reached")},
	{Name: "basic authentication", Header: of("Authorization", "Basic dXNlcjpwYXNz"), Handler: func(w http.ResponseWriter, r *http.Request) {
		user, pass, ok := r.BasicAuth()
		note(r, "%s %s %v", user, pass, ok)
	}},
	{Name: "a body", Request: "POST /", Body: "hello", Handler: echo},
	{Name: "a long body up", Request: "PUT /", Body: long, Handler: echo},
	{Name: "a body without its length", Request: "POST /", Body: long, Chunked: true, Handler: echo},
	{Name: "an empty body", Request: "POST /", Handler: echo},
	{Name: "PATCH", Request: "PATCH /", Body: "patch", Handler: echo},
	{Name: "DELETE with a body", Request: "DELETE /", Body: "delete", Handler: echo},
	{Name: "OPTIONS", Request: "OPTIONS /x", Handler: echo},
	{Name: "an odd method", Request: "PURGE /x", Handler: echo},
	{Name: "a form", Request: "POST /?a=1", Body: "a=2&b=3", Header: of("Content-Type", "application/x-www-form-urlencoded"), Handler: func(w http.ResponseWriter, r *http.Request) {
		note(r, "%v %q %q", r.ParseForm(), r.Form, r.PostForm)
	}},
	{Name: "multipart", Request: "POST /", Body: multi, Header: of("Content-Type", "multipart/form-data; boundary=XX"), Handler: func(w http.ResponseWriter, r *http.Request) {
		note(r, "%v", r.ParseMultipartForm(1<<20))
		f, h, err := r.FormFile("file")
		if err != nil {
			note(r, "%v", err)
			return
		}
		b, err := io.ReadAll(f)
		note(r, "%q %q %q %v", r.FormValue("field"), h.Filename, b, err)
	}},
	{Name: "multipart beyond memory", Request: "POST /", Body: multi, Header: of("Content-Type", "multipart/form-data; boundary=XX"), Handler: func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1); err != nil {
			note(r, "%v", err)
			return
		}
		defer r.MultipartForm.RemoveAll()
		f, _, err := r.FormFile("file")
		if err != nil {
			note(r, "%v", err)
			return
		}
		b, err := io.ReadAll(f)
		note(r, "%q %v", b, err)
	}},
	{Name: "MultipartReader", Request: "POST /", Body: multi, Header: of("Content-Type", "multipart/form-data; boundary=XX"), Handler: func(w http.ResponseWriter, r *http.Request) {
		m, err := r.MultipartReader()
		for err == nil {
			p, e := m.NextPart()
			if err = e; e == nil {
				b, e := io.ReadAll(p)
				note(r, "%s %q %v", p.FormName(), b, e)
			}
		}
		note(r, "%v", err)
	}},
	{Name: "MaxBytesReader", Request: "POST /", Body: "0123456789", Handler: func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 5)
		b, err := io.ReadAll(r.Body)
		note(r, "%q %v", b, err)
		w.WriteHeader(413)
	}},
	{Name: "an answer before the body is read", Request: "POST /", Body: long, Handler: status(401, "no")},
	{Name: "reading after writing", Request: "POST /", Body: "hello", Handler: func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "got ")
		io.Copy(w, r.Body)
	}},
	{Name: "a closed body", Request: "POST /", Body: "hello", Handler: func(w http.ResponseWriter, r *http.Request) {
		r.Body.Close()
		_, err := r.Body.Read(make([]byte, 1))
		note(r, "%v", err != nil && err != io.EOF)
	}},
	{Name: "Expect", Request: "POST /", Body: "hello", Header: of("Expect", "100-continue"), Handler: echo},

	// ResponseController.
	{Name: "ResponseController Flush", Handler: func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "text")
		note(r, "%v", http.NewResponseController(w).Flush())
	}},
	{Name: "ResponseController full duplex", Request: "POST /", Body: "hello", Handler: func(w http.ResponseWriter, r *http.Request) {
		note(r, "%v", http.NewResponseController(w).EnableFullDuplex())
		w.(http.Flusher).Flush()
		io.Copy(w, r.Body)
	}},
	{Name: "ResponseController deadlines", Handler: func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		note(r, "%v %v", c.SetReadDeadline(time.Now().Add(time.Hour)), c.SetWriteDeadline(time.Now().Add(time.Hour)))
	}},
	{Name: "ResponseController Hijack", Handler: func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			note(r, "%v", errors.Is(err, http.ErrNotSupported))
			w.WriteHeader(501)
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		conn.Close()
	}},
	{Name: "a trailer", Handler: func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "text")
		w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
	}},
	{Name: "a trailer that is announced", Handler: func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "text")
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", "1")
	}},
	{Name: "the context ends with the handler", Handler: func(w http.ResponseWriter, r *http.Request) {
		note(r, "%v", context.Cause(r.Context()))
	}},
}

func echo(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	note(r, "%d %d %v", len(b), r.ContentLength, err)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write(b)
}

const multi = "--XX\r\nContent-Disposition: form-data; name=\"field\"\r\n\r\nvalue\r\n" +
	"--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\ncontent of a\r\n--XX--\r\n"

var quiet = log.New(io.Discard, "", 0)
