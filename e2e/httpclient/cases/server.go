// Package cases contains what programs do with an http.Client, and a server for
// it. A native program and a Worker use the same cases.
package cases

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Server returns the handler that the clients call.
func Server() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("/echo", echo)
	m.HandleFunc("/echo/", echo)
	m.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.PathValue("code"))
		w.WriteHeader(code)
	})
	m.HandleFunc("/bytes/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.PathValue("n"))
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(n))
		w.Write(bytes.Repeat([]byte("x"), n))
	})
	m.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		for i := range 5 {
			fmt.Fprintln(w, "line", i)
			w.(http.Flusher).Flush()
		}
	})
	m.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-Empty"] = []string{""}
		w.Header().Set("X-Long", strings.Repeat("x", 7000))
		w.Header().Set("x-lower", "a")
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
	})
	m.HandleFunc("/encoded/{how}", encoded)
	m.HandleFunc("/redirect/{code}", func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.PathValue("code"))
		http.Redirect(w, r, r.FormValue("to"), code)
	})
	m.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	m.HandleFunc("/nowhere", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusFound) })
	m.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "s1", Path: "/"})
		http.Redirect(w, r, "/echo", http.StatusSeeOther)
	})
	m.HandleFunc("/read", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		wait(r)
	})
	m.HandleFunc("/slow/header", func(w http.ResponseWriter, r *http.Request) { wait(r) })
	m.HandleFunc("/slow/body", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begun")
		w.(http.Flusher).Flush()
		wait(r)
	})
	m.HandleFunc("/abort/{when}", abort)
	m.HandleFunc("/unread", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "not read") })
	return m
}

// wait waits until the client has disconnected. It gives up after some time.
func wait(r *http.Request) {
	for range 500 { // workerd reports a disconnected client late
		if r.Context().Err() != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// echo answers with the request.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s\n", r.Method, r.Host, r.RequestURI)
	for _, name := range seen {
		if v, ok := r.Header[name]; ok {
			separator := ", "
			if name == "Cookie" {
				separator = "; " // one header or several are equivalent
			}
			fmt.Fprintf(w, "%s: %s\n", name, strings.Join(v, separator))
		}
	}
	if len(body) > 100 {
		body = fmt.Appendf(nil, "%d bytes", len(body))
	}
	fmt.Fprintf(w, "length %d, %q, %v\n", r.ContentLength, body, err)
}

// seen are the request headers that are compared. Other headers depend on the
// platform's connection.
var seen = []string{
	"Accept", "Accept-Encoding", "Authorization", "Content-Type", "Cookie", "Host", "Range",
	"Referer", "User-Agent", "X-Own", "X-Umlaut",
}

func encoded(w http.ResponseWriter, r *http.Request) {
	how := r.PathValue("how")
	w.Header().Set("Content-Encoding", how)
	w.Header().Set("Content-Type", "text/plain")
	switch how {
	case "gzip":
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, strings.Repeat("text", 100))
		z.Close()
		w.Write(b.Bytes())
	case "br":
		io.WriteString(w, "\x0b\x02\x80hello\x03")
	default:
		io.WriteString(w, "bytes of an encoding")
	}
}

// abort ends the response early.
func abort(w http.ResponseWriter, r *http.Request) {
	switch r.PathValue("when") {
	case "length":
		w.Header().Set("Content-Length", "1000000")
	case "stream":
	case "encoded":
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(slices.Concat([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"), make([]byte, 100)))
	default:
		panic(http.ErrAbortHandler)
	}
	w.Write(bytes.Repeat([]byte("half"), 10_000))
	w.(http.Flusher).Flush()
	time.Sleep(50 * time.Millisecond) // until the response was sent
	panic(http.ErrAbortHandler)
}
