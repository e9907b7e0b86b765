package dodedupe

import (
	"context"
	"errors"
	"runtime"

	"flow.internal/capdo/durable"
)

// Records keeps the records of a [Store], a [Ledger] and a [Sequencer] in
// objects of your own class, which may have other objects for other things. A
// class only for records needs only [RegisterStore] or [RegisterLedger].
//
//	durable.Register("Shop", NewShop,
//		dodedupe.RecordMethods((*Shop).Records)...)
//
//	func (s *Shop) Alarm(
//		ctx context.Context, info durable.AlarmInfo,
//	) error {
//		if mine, err := s.records.Alarm(ctx); mine {
//			return err
//		}
//		…
//	}
//
// In a class with key-value storage only a [Store] per key works. The names of
// the objects that have records begin with [RecordPrefix]. Store nothing else
// in such an object: it is emptied when its records have expired.
type Records struct {
	store  *storeObject
	ledger *ledgerObject
}

// RecordPrefix begins the names of all objects that have records.
const RecordPrefix = "capdo."

const opRecords = "NewRecords"

// NewRecords returns the records of an object. Call it in the constructor of
// the class. Natively it fails with an error of kind
// [dedupe.RuntimeUnavailable].
func NewRecords(
	ctx context.Context, state *durable.State, env *durable.Env,
) (*Records, error) {
	if runtime.GOOS != "js" {
		return nil, fail(opRecords, errors.ErrUnsupported)
	}
	store, err := newStoreObject(ctx, state, env)
	if err != nil {
		return nil, fail(opRecords, err)
	}
	ledger, err := newLedgerObject(state, env, nil)
	if err != nil {
		return nil, fail(opRecords, err)
	}
	return &Records{store, ledger}, nil
}

// RecordMethods returns the RPC methods that a [Store], a [Ledger] and a
// [Sequencer] call, for [durable.Register]. records returns an object's
// records.
func RecordMethods[T any](records func(T) *Records) []durable.RPCMethod[T] {
	var methods []durable.RPCMethod[T]
	add := func(name string, handle func(*Records, context.Context, []byte) ([]byte, error)) {
		serve := func(object T, ctx context.Context, msg []byte) ([]byte, error) {
			return handle(records(object), ctx, msg)
		}
		methods = append(methods, durable.Method(name, serve).Retryable())
	}
	for _, m := range storeMethods {
		add(m.name, func(r *Records, ctx context.Context, msg []byte) ([]byte, error) {
			return m.handle(r.store, ctx, msg)
		})
	}
	for _, m := range ledgerMethods {
		add(m.name, func(r *Records, ctx context.Context, msg []byte) ([]byte, error) {
			return m.serve(r.ledger, ctx, msg)
		})
	}
	return methods
}

// Alarm removes expired records if the object has records. If mine is false,
// the object has none, the alarm is the class's own, and Alarm has done
// nothing.
func (r *Records) Alarm(ctx context.Context) (mine bool, err error) {
	some, err := r.ledger.holdsSome()
	if err != nil {
		return true, err
	}
	if some {
		return true, r.ledger.Alarm(ctx, durable.AlarmInfo{})
	}
	if _, some, err := r.store.key.Look(); err != nil || some {
		if err == nil {
			err = r.store.key.Alarm(ctx)
		}
		return true, err
	}
	return false, nil
}

// holdsSome reports whether the object keeps entries.
func (o *ledgerObject) holdsSome() (bool, error) {
	switch {
	case o.unusable != nil:
		return false, nil
	case o.holdsMany.Load():
		return true, nil
	}
	_, some, err := o.one.Backend.Get("")
	return some, err
}
