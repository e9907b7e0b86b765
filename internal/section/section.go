// Package section lets package dodedupe take part in the critical sections of
// package durable's objects, without that being part of its API.
package section

import (
	"context"
	"time"
)

// Enter waits until no goroutine is in a critical section of the object that a
// durable.Storage is of, such as a transaction that may wait, and enters it;
// leave leaves it. In a section of the same goroutine it does nothing, and says
// so. Package durable sets it.
var Enter func(ctx context.Context, storage any) (inside bool, leave func(), err error)

type scheduledKey struct{}

// WithScheduled returns the context of an alarm's handler: it says for when the
// alarm was set.
func WithScheduled(ctx context.Context, at time.Time) context.Context {
	return context.WithValue(ctx, scheduledKey{}, at)
}

// Scheduled returns what WithScheduled was told, the zero time if nothing.
func Scheduled(ctx context.Context) time.Time {
	at, _ := ctx.Value(scheduledKey{}).(time.Time)
	return at
}
