package main

import (
	"context"
	"net/url"
	"strings"
	"sync"

	"flow.internal/capdo/durable"
)

// locks has a lock for each object, by name.
var locks sync.Map

var cycles = scenarioMap{
	// ring calls one object after another along path, which begins with this
	// object. Each object holds its lock during its call. The last object first
	// does what end says.
	"ring": func(ctx context.Context, c *call) (string, error) {
		me, rest, goesOn := strings.Cut(c.Get("path"), ",")
		if !goesOn && c.Get("end") != "" {
			return scenario(ctx, &call{c.env, c.state, url.Values{"m": {c.Get("end")}}})
		}
		lock, _ := locks.LoadOrStore(me, new(sync.Mutex))
		lock.(*sync.Mutex).Lock()
		defer lock.(*sync.Mutex).Unlock()
		if !goesOn {
			return "end", nil
		}
		if c.Get("in") != "block" {
			return ring(ctx, c, rest)
		}
		var out string
		return out, c.state.BlockConcurrencyWhile(ctx, func() (err error) {
			out, err = ring(ctx, c, rest)
			return err
		})
	},
}

// ring calls the next object of a ring.
func ring(ctx context.Context, c *call, rest string) (string, error) {
	next, _, _ := strings.Cut(rest, ",")
	query := url.Values{"m": {"ring"}, "path": {rest}, "end": {c.Get("end")},
		"by": {c.Get("by")}}.Encode()
	if c.Get("by") != "fetch" {
		return c.run(ctx, next, query)
	}
	stub := c.stub(next)
	_, err := stub.Fetch(ctx, &durable.Request{Method: "GET", URL: "http://ring/?" + query})
	return "", err
}

// serveRing is ring for calls by fetch.
func (l *Lab) serveRing(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, err
	}
	out, err := scenario(ctx, &call{l.env, l.state, u.Query()})
	return &durable.Response{Status: 200, Body: strings.NewReader(out)}, err
}
