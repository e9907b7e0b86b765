// Package section lets package dodedupe use the critical sections of package
// durable's objects. This way they are not part of durable's API.
package section

import (
	"context"
	"time"
)

// Enter waits until the object of a durable.Storage has no critical section,
// for example a transaction that may wait, and enters one. Call leave to leave
// it. If the goroutine is already in a section, Enter does nothing and inside
// is true. Package durable sets it.
var Enter func(ctx context.Context, storage any) (inside bool, leave func(), err error)

type scheduledKey struct{}

// WithScheduled returns a context for an alarm's handler that holds the time
// for which the alarm was set.
func WithScheduled(ctx context.Context, at time.Time) context.Context {
	return context.WithValue(ctx, scheduledKey{}, at)
}

// Scheduled returns the time given to WithScheduled, or the zero time.
func Scheduled(ctx context.Context) time.Time {
	at, _ := ctx.Value(scheduledKey{}).(time.Time)
	return at
}
