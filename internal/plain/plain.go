// Package plain stores text and bytes without the conversions that other values
// need. Those conversions make a Worker 90 KiB larger (gzip). Package durable
// sets its functions.
package plain

import "context"

// Get is the Get of a *durable.KV. The stored value may be of any type.
var Get func(kv any, key string) (value any, ok bool, err error)

// GetAsync is the Get of a *durable.Storage. The stored value may be of any
// type.
var GetAsync func(ctx context.Context, storage any, key string) (value any, ok bool, err error)

// Put is the Put of a *durable.KV for a string or a non-nil []byte.
var Put func(kv any, key string, value any) error

// PutAsync is the Put of a *durable.Storage for a string or a non-nil []byte.
var PutAsync func(ctx context.Context, storage any, key string, value any) error
