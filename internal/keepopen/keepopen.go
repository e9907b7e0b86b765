// Package keepopen keeps a Worker's invocation open for work that continues
// after the response was sent or the client has left.
package keepopen

import "context"

// Key is the context key of the invocation.
type Key struct{}

// invocation is implemented by package jsrt's Invocation.
type invocation interface {
	Go(fn func(context.Context))
}

// Invocation keeps the invocation of ctx open until done is called. The
// platform still ends it after about 30 s. Outside of a Worker it does nothing.
func Invocation(ctx context.Context) (done func()) {
	i, ok := ctx.Value(Key{}).(invocation)
	if !ok {
		return func() {}
	}
	over := make(chan struct{})
	i.Go(func(context.Context) { <-over })
	return func() { close(over) }
}
