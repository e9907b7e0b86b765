package localcluster

import (
	"context"
	"net/url"
)

// target is the context key of a request's node.
type target struct{}

func withTarget(ctx context.Context, hostPort string) context.Context {
	return context.WithValue(ctx, target{}, &url.URL{Scheme: "http", Host: hostPort})
}
