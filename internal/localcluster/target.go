package localcluster

import (
	"context"
	"net/url"
)

// target is the key of a request's node in its context.
type target struct{}

func withTarget(ctx context.Context, hostPort string) context.Context {
	return context.WithValue(ctx, target{}, &url.URL{Scheme: "http", Host: hostPort})
}
