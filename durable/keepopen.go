package durable

import (
	"context"

	"flow.internal/capdo/internal/jsrt"
	"flow.internal/capdo/internal/keepopen"
)

func init() { keepopen.Begin = keepOpen }

// keepOpen is [keepopen.Begin].
func keepOpen(ctx context.Context) (done func()) {
	i := jsrt.FromContext(ctx)
	if i == nil {
		return func() {}
	}
	over := make(chan struct{})
	i.Go(func(context.Context) { <-over })
	return func() { close(over) }
}
