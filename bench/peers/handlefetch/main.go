// This peer serves its requests with durable.HandleFetch.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/url"

	"flow.internal/capdo/bench/peers/app"
	"flow.internal/capdo/durable"
)

func main() {
	app.Register()
	durable.HandleFetch(serve)
	durable.Run()
}

var megabyte = bytes.Repeat([]byte("0123456789abcdef"), 1<<16)

func serve(ctx context.Context, env *durable.Env, r *durable.Request) (*durable.Response, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, err
	}
	switch u.Path {
	case "/hello":
		return &durable.Response{Status: 200, Body: bytes.NewBufferString("hello")}, nil
	case "/down":
		return &durable.Response{Status: 200, Body: bytes.NewBuffer(megabyte)}, nil
	case "/ws":
		return app.Echo(env).Fetch(ctx, r)
	case "/up":
		n, err := io.Copy(io.Discard, r.Body)
		return answer(map[string]int64{"n": n}, err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	return answer(app.Post(ctx, env, u.Path, body))
}

func answer(v any, err error) (*durable.Response, error) {
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return &durable.Response{Status: 200,
		Header: map[string][]string{"Content-Type": {"application/json"}},
		Body:   bytes.NewBuffer(b)}, nil
}
