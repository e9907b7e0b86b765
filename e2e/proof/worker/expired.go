package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strconv"

	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

// expired reports a dead holder to the test, and then does what the test
// answers.
func expired(ctx context.Context, env *durable.Env, target string, e dodedupe.Expired) error {
	q := url.Values{"target": {target}, "key": {string(e.Key)},
		"fence": {strconv.FormatInt(e.Fence, 10)}}
	what, err := report(ctx, env, "/expired", q)
	if err != nil {
		return err
	}
	switch what {
	case "ok":
		return nil
	case "panic":
		panic("the test says so")
	case "goexit":
		runtime.Goexit()
	case "crash":
		os.Exit(3)
	}
	return errors.New(what)
}

// report asks the test what to do.
func report(ctx context.Context, env *durable.Env, path string, q url.Values) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost,
		"http://test"+path+"?"+q.Encode(), nil)
	if err != nil {
		return "", err
	}
	resp, err := (&http.Client{Transport: durablehttp.Outbound(env)}).Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}
