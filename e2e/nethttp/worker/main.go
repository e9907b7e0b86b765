// The program that the tests of e2e/nethttp serve: the handlers of package
// cases in the Worker, in an object, and in an object behind each way to reach
// it.
package main

import (
	"context"
	"net/http"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
	"flow.internal/capdo/e2e/nethttp/cases"
)

var handler = cases.Handler()

// Site is an object that serves the handlers.
type Site struct{}

// NewSite returns a Site.
func NewSite(context.Context, *durable.State, *durable.Env) (*Site, error) { return &Site{}, nil }

// Fetch implements durable.Fetcher.
func (*Site) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	return durablehttp.Serve(ctx, handler, r)
}

// plain is a writer that hides its type, like those of middleware.
type plain struct{ http.ResponseWriter }

func (p plain) Flush() { p.ResponseWriter.(http.Flusher).Flush() }

func main() {
	durable.Register("Site", NewSite)
	durable.HandleFetch(func(
		ctx context.Context, env *durable.Env, r *durable.Request,
	) (*durable.Response, error) {
		way := http.Header(r.Header).Get("X-Way")
		if way == "" {
			return durablehttp.Serve(ctx, handler, r)
		}
		stub := env.Object("SITE", "site")
		if way == "object" {
			return stub.Fetch(ctx, r)
		}
		return durablehttp.Serve(ctx, http.HandlerFunc(func(
			w http.ResponseWriter, r *http.Request,
		) {
			if way == "copied" {
				w = plain{w}
			}
			if err := durablehttp.Forward(w, r, stub); err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
			}
		}), r)
	})
	durable.Run()
}
