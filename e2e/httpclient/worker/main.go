// The program that the tests of e2e/httpclient serve. It runs the cases in the
// Worker and in an object, against an external server and one in an object.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/e2e/httpclient/cases"
)

// Site is an object that is the server and can run cases itself.
type Site struct{ env *durable.Env }

// NewSite returns a Site.
func NewSite(_ context.Context, _ *durable.State, env *durable.Env) (*Site, error) {
	return &Site{env}, nil
}

var server = cases.Server()

// Fetch implements durable.Fetcher.
func (s *Site) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	if http.Header(r.Header).Get("X-Case") != "" {
		return durablehttp.Serve(ctx, handler(s.env), r)
	}
	return durablehttp.Serve(ctx, server, r)
}

// handler runs the case that X-Case names, in the way that X-Way names.
func handler(env *durable.Env) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, way := r.Header.Get("X-Case"), r.Header.Get("X-Way")
		e := cases.Env{Context: r.Context(), Client: &http.Client{}, URL: r.Header.Get("X-Server")}
		stub := env.Object("SITE", way)
		switch way {
		case "in an object":
			r.Header.Set("X-Way", "default")
			if err := durablehttp.Forward(w, r, stub); err != nil {
				panic(err)
			}
			return
		case "without a context":
			e.Context = context.Background()
		case "copy":
			e.Client.Transport = http.DefaultTransport.(*http.Transport).Clone()
		case "outbound":
			e.Client.Transport = durablehttp.Outbound(env)
		case "object":
			e.Client.Transport = durablehttp.Transport(stub)
		}
		switch name {
		case "hold":
			hold(w, e)
			return
		case "given up":
			io.WriteString(w, giveUp(e))
			return
		case "turn":
			select {
			case turns <- true:
			default:
			}
			return
		}
		for _, c := range cases.All {
			if c.Name == name {
				io.WriteString(w, c.Run(e))
			}
		}
	})
}

// giveUp cancels a request while its body has nothing to send. The body must be
// closed, so that its writer learns that no one reads. (With net/http's own
// transport the writer waits for ever, although http.RoundTripper promises that
// the body is closed.)
func giveUp(e cases.Env) string {
	ctx, cancel := context.WithTimeout(e.Context, 100*time.Millisecond)
	defer cancel()
	body, writer := io.Pipe()
	r, err := http.NewRequestWithContext(ctx, "POST", e.URL+"/echo", body)
	if err != nil {
		return err.Error()
	}
	_, err = e.Do(r)
	_, writeErr := writer.Write([]byte("late"))
	return fmt.Sprint(errors.Is(err, context.DeadlineExceeded), " ", writeErr)
}

// turns wakes a goroutine in the turn of another request, which then ends at
// once.
var turns = make(chan bool)

// hold makes requests in a goroutine without a context. Another request wakes
// it for each of them.
func hold(w http.ResponseWriter, e cases.Env) {
	done := make(chan string, 1)
	go func() {
		for range 8 {
			<-turns
			resp, err := http.Get(e.URL + "/bytes/70000")
			if err != nil {
				done <- err.Error()
				return
			}
			<-turns
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if len(b) != 70000 || err != nil {
				done <- fmt.Sprint("read ", len(b), " bytes, ", err)
				return
			}
		}
		done <- "done"
	}()
	for { // the timer keeps the request alive
		select {
		case text := <-done:
			io.WriteString(w, text)
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func main() {
	durable.Register("Site", NewSite)
	durable.HandleFetch(func(
		ctx context.Context, env *durable.Env, r *durable.Request,
	) (*durable.Response, error) {
		return durablehttp.Serve(ctx, handler(env), r)
	})
	durable.Run()
}
