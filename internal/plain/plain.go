// Package plain stores text and bytes without the conversions of other values,
// which make a Worker 90 KiB larger (gzip). Package durable sets its functions.
package plain

import "context"

// Get is the Get of a *durable.KV: the value may be of any kind.
var Get func(kv any, key string) (value any, ok bool, err error)

// GetAsync is the Get of a *durable.Storage, likewise.
var GetAsync func(ctx context.Context, storage any, key string) (value any, ok bool, err error)

// Put is the Put of a *durable.KV, for a string or a []byte that is not nil.
var Put func(kv any, key string, value any) error

// PutAsync is the Put of a *durable.Storage, likewise.
var PutAsync func(ctx context.Context, storage any, key string, value any) error
