package dodedupe

import (
	"context"
	"errors"
	"runtime"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/reservation"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/plain"
)

// StoreOptions configures a [Store]. Nil means the defaults.
type StoreOptions struct {
	// Binding is the Durable Object binding of the class that
	// [RegisterStore] declared; "DEDUPE" when empty. With [Buckets] it is
	// the binding of the class that [RegisterLedger] declared; "LEDGER"
	// when empty.
	Binding string
	// Scope separates the keys of several users of one class: any bytes,
	// none by default. Another scope is another store, which starts empty.
	Scope string
	// DefaultTTL is what a TTL of 0 means; [dedupe.DefaultTTL] when 0.
	DefaultTTL time.Duration
	// Mapping says which object keeps a key: [PerKey], the default, or
	// [Buckets]. Another mapping is another store, which starts empty.
	Mapping Mapping
}

// Store is a [dedupe.Store] on Durable Objects. It belongs to the invocation of
// its env.
type Store struct {
	call    caller
	scope   string
	ttl     time.Duration
	mapping Mapping
}

var _ dedupe.IdempotentStore = (*Store)(nil)

// providerName is the Name of this package's stores, ledgers and sequencers.
const providerName = "dedupe.durable_objects"

// Names of operations, for errors.
const (
	opNewStore = "NewStore"
	opPut      = "PutIfAbsent"
	opPutAs    = "PutIfAbsentAs"
	opForget   = "Forget"
)

// NewStore returns the store behind a binding. It fails with
// [durable.ErrNoBinding], [dedupe.ErrInvalidTTL] and [ErrBuckets], and natively
// with an error of kind [dedupe.RuntimeUnavailable]. It sends nothing.
func NewStore(env *durable.Env, opts *StoreOptions) (*Store, error) {
	if runtime.GOOS != "js" {
		return nil, fail(opNewStore, errors.ErrUnsupported)
	}
	namespace, err := env.Namespace(opts.binding())
	if err != nil {
		return nil, fail(opNewStore, err)
	}
	return newStore(namespaceCaller(namespace), opts)
}

func (o *StoreOptions) binding() string {
	switch {
	case o != nil && o.Binding != "":
		return o.Binding
	case o != nil && o.Mapping.buckets != 0:
		return defaultLedgerBinding
	}
	return defaultStoreBinding
}

const defaultStoreBinding = "DEDUPE"

// Calls with these names allocate less.
var _ = []string{plain.Constant(defaultStoreBinding), plain.Constant(wire.MethodPut)}

func newStore(call caller, opts *StoreOptions) (*Store, error) {
	if opts == nil {
		opts = &StoreOptions{}
	}
	if _, err := dedupe.TTLMillis(0, opts.DefaultTTL); err != nil {
		return nil, fail(opNewStore, err)
	}
	if opts.Mapping.invalid != 0 {
		return nil, fail(opNewStore, ErrBuckets)
	}
	return &Store{call, opts.Scope, opts.DefaultTTL, opts.Mapping}, nil
}

// Name returns "dedupe.durable_objects".
func (s *Store) Name() string { return providerName }

// PutIfAbsent reserves a key; see [dedupe.Store]. If the answer is lost it
// repeats the call, as [Ledger.Claim] does, with the same owner token, so the
// winner gets true again. false then means that another call holds the key.
func (s *Store) PutIfAbsent(
	ctx context.Context, key []byte, ttl time.Duration,
) (inserted bool, err error) {
	inserted, err = s.put(ctx, reservation.NewOwner(), key, ttl)
	if err != nil {
		err = fail(opPut, err)
	}
	return inserted, err
}

// PutIfAbsentAs reserves a key for an owner; see [dedupe.IdempotentStore]. It
// repeats the call as PutIfAbsent does.
func (s *Store) PutIfAbsentAs(
	ctx context.Context, owner string, key []byte, ttl time.Duration,
) (inserted bool, err error) {
	if err := dedupe.CheckOwner(owner); err != nil {
		return false, fail(opPutAs, err)
	}
	inserted, err = s.put(ctx, reservation.OwnerOf(owner), key, ttl)
	if err != nil {
		err = fail(opPutAs, err)
	}
	return inserted, err
}

func (s *Store) put(
	ctx context.Context, owner reservation.Owner, key []byte, ttl time.Duration,
) (inserted bool, err error) {
	ms, err := dedupe.TTLMillis(ttl, s.ttl)
	if err != nil {
		return false, err
	}
	if err := dedupe.CheckKey(key); err != nil {
		return false, err
	}
	object, innerKey := s.mapping.locate(kindStore, s.scope, key)
	method, msg := wire.MethodPut, wire.EncodePut(owner, ms)
	if innerKey != "" {
		method = wire.MethodReserve
		msg = codec.AppendNumbers(wire.Message(innerKey, string(owner[:])), ms)
	}
	body, err := s.call.deliver(ctx, object, method, msg)
	if err != nil {
		return false, err
	}
	inserted, _, err = wire.CutBool(body)
	if err != nil {
		return false, effect.Unknown(err)
	}
	return inserted, nil
}

// Forget removes a key's record; see [dedupe.Store]. It makes two calls if
// there is a record: it looks at the record, and then removes exactly that one.
// So a repetition or a late second call cannot remove a later record.
func (s *Store) Forget(ctx context.Context, key []byte) error {
	if err := dedupe.CheckKey(key); err != nil {
		return fail(opForget, err)
	}
	object, innerKey := s.mapping.locate(kindStore, s.scope, key)
	forget := s.call.forgetKey
	if innerKey != "" {
		forget = s.call.forget
	}
	if err := forget(ctx, object, innerKey); err != nil {
		return fail(opForget, err)
	}
	return nil
}
