package cases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Env is the environment of a case.
type Env struct {
	context.Context
	*http.Client        // without a timeout, a jar or a policy
	URL          string // of the server
}

// Case is something that programs do. Its results are compared.
type Case struct {
	Name string
	Run  func(e Env) string
}

// show formats an outcome as text.
func show(resp *http.Response, err error) string {
	if err != nil {
		return failure(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	text := string(body)
	if len(text) > 1000 {
		text = fmt.Sprint(len(text), " bytes")
	}
	s := fmt.Sprintf("%s, length %d, uncompressed %v", resp.Status, resp.ContentLength, resp.Uncompressed)
	for _, name := range []string{"Content-Encoding", "Content-Length", "Content-Type", "Location", "X-Empty", "X-Lower"} {
		if v, ok := resp.Header[name]; ok {
			s += fmt.Sprintf(", %s %q", name, v)
		}
	}
	s += fmt.Sprintf(", long %d, cookies %d, of %s %s\n", len(resp.Header.Get("X-Long")), len(resp.Cookies()), resp.Request.Method, resp.Request.URL.Path)
	if err != nil {
		return s + "body: " + failure(err)
	}
	return s + text
}

// failure describes an error as programs see it: by errors.Is, as a timeout,
// and by the text if net/http or the case made it.
func failure(err error) string {
	s := "error"
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		s += " timeout"
	}
	for name, target := range map[string]error{"canceled": context.Canceled, "deadline": context.DeadlineExceeded, "unexpected EOF": io.ErrUnexpectedEOF} {
		if errors.Is(err, target) {
			return s + " " + name
		}
	}
	var u *url.Error
	if errors.As(err, &u) {
		s += " " + u.Op
		err = u.Err
	}
	text := err.Error()
	for _, own := range []string{"http: ContentLength", "failed on purpose"} { // the rest of the text depends on the platform
		if i := strings.Index(text, own); i >= 0 {
			text = text[i:]
		}
	}
	if strings.Contains(text, "http: ") || strings.Contains(text, "on purpose") || strings.Contains(text, "stopped after") || strings.Contains(text, "unsupported protocol") {
		s += " " + text
	}
	return s
}

func (e Env) get(path string) string {
	return e.do("GET", path, nil, nil)
}

func (e Env) do(method, path string, body io.Reader, change func(*http.Request)) string {
	r, err := http.NewRequestWithContext(e, method, e.URL+path, body)
	if err != nil {
		return "no request: " + err.Error()
	}
	if change != nil {
		change(r)
	}
	return show(e.Do(r))
}

func get(path string) func(Env) string { return func(e Env) string { return e.get(path) } }

func do(method, path, body string, change func(*http.Request)) func(Env) string {
	return func(e Env) string {
		if body == "" {
			return e.do(method, path, nil, change)
		}
		return e.do(method, path, strings.NewReader(body), change)
	}
}

func header(pairs ...string) func(*http.Request) {
	return func(r *http.Request) {
		for i := 0; i < len(pairs); i += 2 {
			r.Header.Add(pairs[i], pairs[i+1])
		}
	}
}

// unsized hides the type of a reader.
type unsized struct{ io.Reader }

// redirect returns a case that sends a request to a redirect.
func redirect(code int, method, body string) func(Env) string {
	return do(method, fmt.Sprintf("/redirect/%d?to=/echo?x", code), body, header("X-Own", "kept", "Authorization", "Bearer a"))
}

// within returns a case in which the client gives up after a time.
func within(d time.Duration, path string) func(Env) string {
	return func(e Env) string {
		e.Client.Timeout = d
		return e.get(path)
	}
}

// errEnded is the cause of a context that ends.
var errEnded = errors.New("ended on purpose")

// ended returns a case whose context ends, with a cause, before the header.
func ended(path string) func(Env) string {
	return func(e Env) string {
		ctx, cancel := context.WithCancelCause(e.Context)
		e.Context = ctx
		time.AfterFunc(200*time.Millisecond, func() { cancel(errEnded) })
		return e.get(path)
	}
}

// endedInBody returns a case whose context ends, with a cause, while the client
// reads the body.
func endedInBody(path string, cause error) func(Env) string {
	return func(e Env) string {
		ctx, cancel := context.WithCancelCause(e.Context)
		defer cancel(nil)
		r, err := http.NewRequestWithContext(ctx, "GET", e.URL+path, nil)
		if err != nil {
			return "no request: " + err.Error()
		}
		resp, err := e.Do(r)
		time.AfterFunc(100*time.Millisecond, func() { cancel(cause) })
		return show(resp, err)
	}
}

// All lists the cases.
var All = []Case{
	{"GET", get("/echo")},
	{"a query and escapes", get("/echo/a%2Fb%20c?q=%C3%A4&q=2")},
	{"a fragment", get("/echo#part")},
	{"HEAD", do("HEAD", "/bytes/70000", "", nil)},
	{"HEAD of something encoded", do("HEAD", "/encoded/gzip", "", nil)},
	{"DELETE", do("DELETE", "/echo", "", nil)},
	{"DELETE with a body", do("DELETE", "/echo", "body", nil)},
	{"OPTIONS", do("OPTIONS", "/echo", "", nil)},
	{"an odd method", do("PURGE", "/echo", "", nil)},
	{"an invalid method", do("A B", "/echo", "", nil)},
	{"no method", do("GET", "/echo", "", func(r *http.Request) { r.Method = "" })},
	{"headers", do("GET", "/echo", "", header("X-Own", "a", "X-Own", "b", "Accept", "text/*"))},
	{"an invalid header name", do("GET", "/echo", "", func(r *http.Request) { r.Header["X Bad"] = []string{"a"} })},
	{"an invalid header value", do("GET", "/echo", "", header("X-Own", "a\r\nX-Injected: b"))},
	{"a value that is not ASCII", do("GET", "/echo", "", header("X-Umlaut", "grün €"))},
	{"a User-Agent", do("GET", "/echo", "", header("User-Agent", "own/1"))},
	{"basic authentication", do("GET", "/echo", "", func(r *http.Request) { r.SetBasicAuth("user", "pass") })},
	{"a user in the URL", do("GET", "/echo", "", func(r *http.Request) { r.URL.User = url.UserPassword("user", "pass") })},
	{"a Content-Length in the header", do("POST", "/echo", "body", header("Content-Length", "99"))},
	{"a Transfer-Encoding in the header", do("POST", "/echo", "body", header("Transfer-Encoding", "gzip"))},
	{"Expect", do("POST", "/echo", "body", header("Expect", "100-continue"))},
	{"cookies in the header", do("GET", "/echo", "", header("Cookie", "a=1", "Cookie", "b=2"))},
	{"a Host in the header", do("GET", "/echo", "", header("Host", "other.example"))},

	{"POST without a body", do("POST", "/echo", "", nil)},
	{"POST of NoBody", func(e Env) string { return e.do("POST", "/echo", http.NoBody, nil) }},
	{"POST of text", do("POST", "/echo", "hello", nil)},
	{"PUT of bytes", func(e Env) string { return e.do("PUT", "/echo", bytes.NewReader([]byte("hello")), nil) }},
	{"PUT of a buffer", func(e Env) string { return e.do("PUT", "/echo", bytes.NewBufferString("hello"), nil) }},
	{"PATCH", do("PATCH", "/echo", "hello", nil)},
	{"POST of 1 MB", func(e Env) string { return e.do("POST", "/echo", strings.NewReader(strings.Repeat("x", 1<<20)), nil) }},
	{"a body of unknown length", func(e Env) string { return e.do("POST", "/echo", unsized{strings.NewReader("hello")}, nil) }},
	{"a body of 1 MB of unknown length", func(e Env) string {
		return e.do("POST", "/echo", unsized{strings.NewReader(strings.Repeat("x", 1<<20))}, nil)
	}},
	{"a body with a stated length", func(e Env) string {
		return e.do("POST", "/echo", unsized{strings.NewReader("hello")}, func(r *http.Request) { r.ContentLength = 5 })
	}},
	{"a body shorter than its stated length", func(e Env) string {
		return e.do("POST", "/echo", unsized{strings.NewReader("hello")}, func(r *http.Request) { r.ContentLength = 9 })
	}},
	{"a body longer than its stated length", func(e Env) string {
		// A server that answers would race with the client's error.
		return e.do("POST", "/read", unsized{strings.NewReader("hello")}, func(r *http.Request) { r.ContentLength = 3 })
	}},
	{"a body that fails", func(e Env) string {
		return e.do("POST", "/echo", io.MultiReader(strings.NewReader("hello"), failing{}), nil)
	}},
	{"a body that fails at once, of known length", func(e Env) string {
		return e.do("POST", "/echo", failing{}, func(r *http.Request) { r.ContentLength = 5 })
	}},
	{"a form", func(e Env) string { return show(e.PostForm(e.URL+"/echo", url.Values{"a": {"1"}, "b": {"2 3"}})) }},
	{"a body that is not read", func(e Env) string {
		return e.do("POST", "/unread", strings.NewReader(strings.Repeat("x", 1<<20)), nil)
	}},
	{"the body is closed", func(e Env) string {
		c := &closer{Reader: strings.NewReader("hello")}
		s := e.do("POST", "/echo", c, nil)
		return fmt.Sprint(s, c.closed)
	}},

	{"200", get("/bytes/10")},
	{"nothing", get("/bytes/0")},
	{"1 MB", get("/bytes/1000000")},
	{"a stream", get("/stream")},
	{"201", get("/status/201")},
	{"204", get("/status/204")},
	{"304", get("/status/304")},
	{"404", get("/status/404")},
	{"499", get("/status/499")},
	{"503", get("/status/503")},
	{"headers of a response", get("/headers")},
	{"a body that is closed unread", func(e Env) string {
		resp, err := e.Get(e.URL + "/bytes/1000000")
		if err != nil {
			return failure(err)
		}
		resp.Body.Close()
		_, err = resp.Body.Read(make([]byte, 1))
		return fmt.Sprint(err != nil && err != io.EOF, resp.Body.Close()) + e.get("/bytes/1")
	}},

	{"gzip, transparently", get("/encoded/gzip")},
	{"gzip, asked for", do("GET", "/encoded/gzip", "", header("Accept-Encoding", "gzip"))},
	{"identity requested, gzip sent", do("GET", "/encoded/gzip", "", header("Accept-Encoding", "identity"))},
	{"a range requested, gzip sent", do("GET", "/encoded/gzip", "", header("Range", "bytes=0-"))},
	{"br comes", get("/encoded/br")},
	{"br, asked for", do("GET", "/encoded/br", "", header("Accept-Encoding", "br"))},
	{"zstd comes", get("/encoded/zstd")},
	{"a body wrongly marked as gzip", get("/encoded/gzip?")},

	{"301", redirect(301, "GET", "")},
	{"301 of a POST", redirect(301, "POST", "body")},
	{"302 of a POST", redirect(302, "POST", "body")},
	{"303 of a PUT", redirect(303, "PUT", "body")},
	{"307 of a POST", redirect(307, "POST", "body")},
	{"308 of a PUT", redirect(308, "PUT", "body")},
	{"307 of a body that cannot be sent again", func(e Env) string {
		return e.do("POST", "/redirect/307?to=/echo", unsized{strings.NewReader("body")}, nil)
	}},
	{"302 of HEAD", redirect(302, "HEAD", "")},
	{"a redirection without Location", get("/nowhere")},
	{"redirections without end", get("/loop")},
	{"the last response", func(e Env) string {
		e.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		return e.get("/redirect/302?to=/echo")
	}},
	{"a redirection that is refused", func(e Env) string {
		e.CheckRedirect = func(*http.Request, []*http.Request) error { return errors.New("refused on purpose") }
		return e.get("/redirect/302?to=/echo")
	}},
	{"a redirection to another scheme", get("/redirect/302?to=ftp://example.com/")},
	{"cookies", func(e Env) string {
		e.Jar, _ = cookiejar.New(nil)
		return e.get("/login")
	}},

	{"a timeout before the header", within(200*time.Millisecond, "/slow/header")},
	{"a timeout in the body", within(time.Second, "/slow/body")},
	{"a deadline", func(e Env) string {
		ctx, cancel := context.WithTimeout(e.Context, 200*time.Millisecond)
		defer cancel()
		e.Context = ctx
		return e.get("/slow/header")
	}},
	{"a context that has ended", func(e Env) string {
		ctx, cancel := context.WithCancel(e.Context)
		cancel()
		e.Context = ctx
		return e.get("/echo")
	}},
	{"a context that ends in the body", endedInBody("/slow/body", nil)},
	{"a context that has ended, with a cause", func(e Env) string {
		ctx, cancel := context.WithCancelCause(e.Context)
		cancel(errEnded)
		e.Context = ctx
		return e.get("/echo")
	}},
	{"a context that ends before the header, with a cause", ended("/slow/header")},
	{"a context that ends in the body, with a cause", endedInBody("/slow/body", errEnded)},
	{"abort before the header", get("/abort/now")},
	{"abort in a body of known length", get("/abort/length")},
	{"abort in a stream", get("/abort/stream")},
	{"abort in a gzip body", get("/abort/encoded")},
	{"many at once", func(e Env) string {
		got := make([]string, 20)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() { got[i] = e.get(fmt.Sprint("/bytes/", i*1000)) })
		}
		wg.Wait()
		return strings.Join(got, "\n")
	}},
	{"many unread bodies at once", func(e Env) string {
		for range 10 {
			resp, err := e.Get(e.URL + "/bytes/100000")
			if err != nil {
				return failure(err)
			}
			defer resp.Body.Close()
		}
		return e.get("/bytes/5")
	}},
	{"no scheme", func(e Env) string { return show(e.Get("example.com")) }},
	{"another scheme", func(e Env) string { return show(e.Get("ftp://example.com/")) }},
	{"no host", func(e Env) string { return show(e.Get("http:///path")) }},
	{"a trailer", do("POST", "/echo", "body", func(r *http.Request) { r.Trailer = http.Header{"X-Sum": nil} })},
	{"a Host of its own", do("GET", "/echo", "", func(r *http.Request) { r.Host = "other.example" })},
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("failed on purpose") }

type closer struct {
	io.Reader
	closed bool
}

func (c *closer) Close() error { c.closed = true; return nil }
