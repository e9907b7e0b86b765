package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"flow.internal/capdo/internal/loadtest"
)

// requestFlags are the flags that define a request.
type requestFlags struct {
	method, body, bodyFile string
	headers                []string
	keyHeader              string
	keys                   loadtest.Keys
}

// keyMark is replaced by the request's key.
const keyMark = "{key}"

type newRequest = func(ctx context.Context, serial int64) (*http.Request, error)

// build returns a function that makes the requests. atOnce of them may exist at
// the same time. build has made one request, so that later ones do not fail.
func (f *requestFlags) build(target string, remote bool, atOnce int) (newRequest, error) {
	body, err := f.readBody()
	if err != nil {
		return nil, err
	}
	header, host, err := f.header()
	if err != nil {
		return nil, err
	}
	method := strings.ToUpper(f.method)
	switch {
	case method == "" && body != nil:
		method = http.MethodPost
	case method == "":
		method = http.MethodGet
	}
	if err := f.checkKeys(target, body); err != nil {
		return nil, err
	}
	hasKey := bytes.Contains(body, []byte(keyMark))
	if hasKey && len(body)*atOnce > maxBodies {
		return nil, fmt.Errorf("%d bodies of %d bytes at once take over 1 GiB"+
			"\nhint: use fewer --callers or a lower --max-in-flight, "+
			"or send the key with --key-header, so that the body is in memory only once",
			atOnce, len(body))
	}
	request := func(ctx context.Context, serial int64) (*http.Request, error) {
		key, content := f.keys.Of(serial), body
		to := strings.ReplaceAll(target, keyMark, url.PathEscape(key))
		if hasKey {
			content = bytes.ReplaceAll(body, []byte(keyMark), []byte(key))
		}
		req, err := http.NewRequestWithContext(ctx, method, to, bytes.NewReader(content))
		if err != nil {
			return nil, err
		}
		req.Host = host
		for name, values := range header {
			for _, v := range values {
				req.Header.Add(name, strings.ReplaceAll(v, keyMark, key))
			}
		}
		if f.keyHeader != "" {
			req.Header.Set(f.keyHeader, key)
		}
		return req, nil
	}
	first, err := request(context.Background(), 0)
	if err != nil {
		return nil, fmt.Errorf("cannot make a request: %w"+
			"\nhint: capdo bench http://127.0.0.1:8787/", err)
	}
	return request, checkTarget(first.URL, remote)
}

// checkTarget refuses URLs that are not of a server, and servers on other
// machines.
func checkTarget(u *url.URL, remote bool) error {
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return fmt.Errorf("%s is not the URL of a server"+
			"\nhint: use a URL that begins with http:// or https://, "+
			"such as http://127.0.0.1:8787/", u.Redacted())
	}
	ip := net.ParseIP(u.Hostname())
	if remote || u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("%s is not on this machine"+
		"\nhint: load costs the server's owner money; if you are the owner, add --remote",
		u.Hostname())
}

func (f *requestFlags) checkKeys(target string, body []byte) error {
	used := f.keyHeader != "" || strings.Contains(target, keyMark) ||
		bytes.Contains(body, []byte(keyMark)) ||
		strings.Contains(strings.Join(f.headers, "\n"), keyMark)
	switch {
	case f.keys.Duplicates >= 1:
		return fmt.Errorf(
			"--duplicates must be below 1 (100%%): the first request of a key is not a duplicate")
	case f.keys.Duplicates > 0 && !used:
		return fmt.Errorf("--duplicates repeats keys, but the requests have no key" +
			"\nhint: send the key as a header with --key-header, " +
			"or put {key} into the URL or the body")
	case used && !strings.Contains(f.keys.Template, "{n}"):
		return fmt.Errorf("--key %s is the same for all requests"+
			"\nhint: put {n} into it", f.keys.Template)
	case !validHeader(f.keyHeader, f.keys.Template):
		return fmt.Errorf("--key-header %q with --key %q is not a header",
			f.keyHeader, f.keys.Template)
	}
	return nil
}

// readBody returns nil if there is no body.
func (f *requestFlags) readBody() ([]byte, error) {
	switch {
	case f.body != "" && f.bodyFile != "":
		return nil, fmt.Errorf("--body and --body-file exclude each other")
	case len(f.body) > maxBody:
		return nil, fmt.Errorf("--body is over 16 MiB")
	case f.body != "":
		return []byte(f.body), nil
	case f.bodyFile == "":
		return nil, nil
	}
	file, err := os.Open(f.bodyFile)
	if err != nil {
		return nil, fmt.Errorf("--body-file: %w", err)
	}
	defer file.Close()
	body, err := io.ReadAll(io.LimitReader(file, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("--body-file: %w", err)
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("--body-file %s is over 16 MiB", f.bodyFile)
	}
	return body, nil
}

// header returns the headers of each request, and the host if a Host header is
// given.
func (f *requestFlags) header() (header http.Header, host string, err error) {
	header = http.Header{"User-Agent": {"capdo bench"}}
	for _, line := range f.headers {
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case !ok || name == "" || !validHeader(name, value):
			return nil, "", fmt.Errorf("--header %q is not a header"+
				"\nhint: write 'Name: value'", line)
		case strings.EqualFold(name, "Host"):
			host = value
		case strings.EqualFold(name, "User-Agent"):
			header.Set(name, value)
		default:
			header.Add(name, value)
		}
	}
	return header, host, nil
}

// validHeader reports whether a header can be sent. An empty name means no
// header.
func validHeader(name, value string) bool {
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, rune(c)) {
			return false
		}
	}
	return !strings.ContainsAny(value, "\x00\r\n")
}

// parseStatuses parses statuses and classes of statuses, such as 204 and 4xx.
func parseStatuses(texts []string) (isOK func(status int) bool, err error) {
	ok := map[int]bool{} // a number below 10 is a class
	for _, text := range texts {
		digits, class := strings.CutSuffix(strings.ToLower(text), "xx")
		n, err := strconv.Atoi(digits)
		if err != nil || class && (n < 1 || n > 5) || !class && (n < 100 || n > 599) {
			return nil, fmt.Errorf("--ok %q is not a status"+
				"\nhint: use a list such as 200,409 or 2xx,409", text)
		}
		ok[n] = true
	}
	return func(status int) bool { return ok[status] || ok[status/100] }, nil
}

// benchClient keeps as many connections as there may be requests in flight. It
// does not follow redirects, because a redirect is an answer, too.
func benchClient(connections int) (client *http.Client, done func()) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost, t.DisableCompression = 0, connections, true
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, t.CloseIdleConnections
}
