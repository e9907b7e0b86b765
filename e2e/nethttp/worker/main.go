// The program that the tests of e2e/nethttp serve: the handlers of package cases
// in the Worker, in an object, and in an object behind each way to reach it.
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

// NewSite makes one.
func NewSite(context.Context, *durable.State, *durable.Env) (*Site, error) { return &Site{}, nil }

// Fetch implements durable.Fetcher.
func (*Site) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	return durablehttp.Serve(ctx, handler, r)
}

// plain is a writer that hides whose it is, as those of middleware do.
type plain struct{ http.ResponseWriter }

func (p plain) Flush() { p.ResponseWriter.(http.Flusher).Flush() }

func serve(w http.ResponseWriter, r *http.Request) error {
	ns, err := durablehttp.Env(r).Namespace("SITE")
	if err != nil {
		return err
	}
	stub, err := ns.GetByName("site", nil)
	if err != nil {
		return err
	}
	if r.Header.Get("X-Way") == "copied" {
		w = plain{w}
	}
	return durablehttp.Forward(w, r, stub)
}

func main() {
	durable.Register("Site", NewSite)
	durable.HandleFetch(func(ctx context.Context, env *durable.Env, r *durable.Request) (*durable.Response, error) {
		switch http.Header(r.Header).Get("X-Way") {
		case "":
			return durablehttp.Serve(ctx, handler, r)
		case "object":
			ns, err := env.Namespace("SITE")
			if err != nil {
				return nil, err
			}
			stub, err := ns.GetByName("site", nil)
			if err != nil {
				return nil, err
			}
			return stub.Fetch(ctx, r)
		}
		return durablehttp.Serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := serve(w, r); err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
			}
		}), r)
	})
	durable.Run()
}
