package dodedupe

import (
	"context"
	"time"

	"flow.internal/capdo/dedupe/dodedupe/internal/reservation"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
	"flow.internal/capdo/durable"
)

// RegisterStore declares the Durable Object class that keeps a [Store]'s
// records, under its name in the wrangler config. It works with either storage
// backend. RegisterStore panics like [durable.Register].
func RegisterStore(class string) {
	var methods []durable.RPCMethod[*storeObject]
	for _, m := range storeMethods {
		methods = append(methods, durable.Method(m.name, m.handle).Retryable())
	}
	durable.Register(class, newStoreObject, methods...)
}

// storeMethods are the object's methods. All may be delivered again.
var storeMethods = []struct {
	name   string
	handle func(*storeObject, context.Context, []byte) ([]byte, error)
}{
	{wire.MethodPut, (*storeObject).reserve},
	{wire.MethodLookKey, (*storeObject).look},
	{wire.MethodForgetKey, (*storeObject).forget},
}

// storeObject is a Durable Object that keeps one key's reservation.
type storeObject struct{ key reservation.Key }

func newStoreObject(_ context.Context, state *durable.State, _ *durable.Env) (*storeObject, error) {
	storage := reservation.In(state.Storage())
	return &storeObject{reservation.Key{Storage: storage, Clock: unixMilli}}, nil
}

func unixMilli() int64 { return time.Now().UnixMilli() }

func (o *storeObject) reserve(ctx context.Context, msg []byte) ([]byte, error) {
	owner, ttl, err := wire.DecodePut(msg)
	if err != nil {
		return wire.Reply(nil, err)
	}
	inserted, err := o.key.PutIfAbsent(ctx, owner, ttl)
	return wire.Reply(wire.EncodeBool(inserted), err)
}

func (o *storeObject) look(_ context.Context, msg []byte) ([]byte, error) {
	if _, err := wire.Content(msg); err != nil {
		return wire.Reply(nil, err)
	}
	record, ok, err := o.key.Look()
	return wire.Reply(append(wire.EncodeBool(ok), record...), err)
}

func (o *storeObject) forget(ctx context.Context, msg []byte) ([]byte, error) {
	seen, err := wire.Content(msg)
	if err != nil {
		return wire.Reply(nil, err)
	}
	return wire.Reply(nil, o.key.Forget(ctx, seen))
}

// Alarm deletes the record once it has expired.
func (o *storeObject) Alarm(ctx context.Context, _ durable.AlarmInfo) error {
	return o.key.Alarm(ctx)
}
