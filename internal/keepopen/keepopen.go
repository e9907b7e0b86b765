// Package keepopen keeps the invocation of a Worker open while work of it goes
// on that its response, or its client, does not wait for.
package keepopen

import "context"

// Begin keeps the invocation that ctx belongs to open until done is called.
// Package durable sets it; a program without it has no invocations.
var Begin func(ctx context.Context) (done func())

// Invocation keeps the invocation that ctx belongs to open until done is called.
// The platform ends it all the same after about 30 s. Elsewhere it does nothing.
func Invocation(ctx context.Context) (done func()) {
	if Begin == nil {
		return func() {}
	}
	return Begin(ctx)
}
