// Package keepopen keeps the invocation of a Worker open while work of it goes
// on that its response, or its client, does not wait for.
package keepopen

import "context"

// Key is under what a context has its invocation.
type Key struct{}

// invocation is that of package jsrt.
type invocation interface {
	Go(fn func(context.Context))
}

// Invocation keeps the invocation that ctx belongs to open until done is
// called. The platform ends it all the same after about 30 s. Elsewhere it does
// nothing.
func Invocation(ctx context.Context) (done func()) {
	i, ok := ctx.Value(Key{}).(invocation)
	if !ok {
		return func() {}
	}
	over := make(chan struct{})
	i.Go(func(context.Context) { <-over })
	return func() { close(over) }
}
