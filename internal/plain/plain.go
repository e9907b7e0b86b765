// Package plain stores text and bytes without the conversions of other values,
// which make a Worker 90 KiB larger (gzip). Package durable sets its functions.
package plain

import "context"

// Put is the Put of a *durable.KV, for a string or a []byte that is not nil.
var Put func(kv any, key string, value any) error

// PutAsync is the Put of a *durable.Storage, likewise.
var PutAsync func(ctx context.Context, storage any, key string, value any) error
