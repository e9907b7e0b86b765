package dodedupe

import (
	"context"
	"errors"
	"sync/atomic"

	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/engine"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/budget"
	"flow.internal/capdo/internal/plain"
)

// LedgerClassOptions configures the class of [RegisterLedger]. Nil means the
// defaults.
type LedgerClassOptions struct {
	// OnExpired, if set, is called by the object's alarm soon after a
	// claim's lease ran out before its holder completed or released it. It
	// can recover the work: it may run it again, as [dedupe.Do] does,
	// through a ledger on env. It may be called more than once for a claim,
	// and for several claims at the same time.
	//
	// If it returns an error or panics, or the program ends meanwhile, it
	// is called again: first after 1 s, then at longer intervals, for an
	// hour after the lease's end. The error is also the alarm's. After 5
	// minutes its ctx ends, and nothing waits for it any more, which counts
	// as an error. No call delays another.
	OnExpired func(ctx context.Context, env *durable.Env, claim Expired) error
}

// RegisterLedger declares the Durable Object class that keeps the records of a
// [Ledger], a [Sequencer], and a [Store] in buckets, under its name in the
// wrangler config. The class must be SQLite-backed: with key-value storage all
// calls fail with [ErrNeedsSQLite]. RegisterLedger panics like
// [durable.Register].
func RegisterLedger(class string, opts *LedgerClassOptions) {
	construct := func(
		_ context.Context, state *durable.State, env *durable.Env,
	) (*ledgerObject, error) {
		return newLedgerObject(state, env, opts)
	}
	var methods []durable.RPCMethod[*ledgerObject]
	for _, m := range ledgerMethods {
		methods = append(methods, durable.Method(m.name, m.serve).Retryable())
	}
	durable.Register(class, construct, methods...)
}

// MaxWaiters is the largest number of callers that wait at once in all objects
// of an isolate, in ledgers of any scope. A scope may use at most as many as it
// leaves to the others: half, if it is alone. More callers get
// [dedupe.ErrOverloaded]. 3,000 callers took 95 MiB of wasm memory, including
// their own part, of the 128 MB that an isolate has.
//
// https://developers.cloudflare.com/workers/platform/limits/#memory
const MaxWaiters = 1000

// isolateWaiters is shared by the isolate's objects, which are one program.
var isolateWaiters = budget.New(MaxWaiters)

// ledgerMethod is a method of the ledger's object.
type ledgerMethod struct {
	name   string
	handle func(o *ledgerObject, ctx context.Context, m *codec.Reader) ([]byte, error)
}

// ledgerMethods are the object's methods. All may be delivered again: those
// that change something carry the claim's owner, or the record that was seen.
var ledgerMethods = []ledgerMethod{
	{wire.MethodClaim, (*ledgerObject).claim},
	{wire.MethodAwait, (*ledgerObject).await},
	{wire.MethodComplete, (*ledgerObject).complete},
	{wire.MethodExtend, (*ledgerObject).extend},
	{wire.MethodRelease, (*ledgerObject).release},
	{wire.MethodLook, (*ledgerObject).look},
	{wire.MethodForget, (*ledgerObject).forget},
	{wire.MethodNext, (*ledgerObject).next},
	{wire.MethodReserve, (*ledgerObject).reserve},
}

// Calls with these names allocate less.
var _ = []string{
	plain.Constant(defaultLedgerBinding),
	plain.Constant(wire.MethodClaim),
	plain.Constant(wire.MethodComplete),
	plain.Constant(wire.MethodExtend),
	plain.Constant(wire.MethodNext),
	plain.Constant(wire.MethodReserve),
}

func (m ledgerMethod) serve(o *ledgerObject, ctx context.Context, msg []byte) ([]byte, error) {
	if o.unusable != nil {
		return wire.Reply(nil, effect.None(o.unusable))
	}
	r, err := wire.Read(msg)
	if err != nil {
		return wire.Reply(nil, err)
	}
	body, err := m.handle(o, ctx, r)
	return wire.Reply(body, err)
}

// ledgerObject is a Durable Object that keeps the entry of one key, or those of
// many keys. Its first message decides which, permanently.
type ledgerObject struct {
	one, many *engine.Engine
	holdsMany atomic.Bool
	unusable  error // of a class with key-value storage
}

func newLedgerObject(
	state *durable.State, env *durable.Env, opts *LedgerClassOptions,
) (*ledgerObject, error) {
	storage := state.Storage()
	some, err := engine.HasEntries(storage)
	if errors.Is(err, durable.ErrNoSQL) {
		return &ledgerObject{unusable: ErrNeedsSQLite}, nil
	}
	if err != nil {
		return nil, err
	}
	o := &ledgerObject{}
	// Few objects need their id, and reading it takes time.
	tenant := func() (string, error) {
		id, err := state.ID()
		if err != nil {
			return "", err
		}
		return tenantOf(id), nil
	}
	config := engine.Config{Clock: unixMilli, Waiters: isolateWaiters, Tenant: tenant}
	if opts != nil && opts.OnExpired != nil {
		config.Notify = func(ctx context.Context, key string, e *entry.Entry) error {
			id, err := state.ID()
			if err != nil {
				return err
			}
			name, err := o.name(id, key)
			if err != nil {
				return err
			}
			return opts.OnExpired(ctx, env, newExpired(name, key, e))
		}
	}
	config.Backend = engine.Single(storage)
	o.one = engine.New(config)
	config.Backend, config.Many = engine.SQL(storage), true
	o.many = engine.New(config)
	o.holdsMany.Store(some)
	return o, nil
}

// tenantOf returns the tenant of an object's callers: the scope of the ledger,
// or else the object itself.
func tenantOf(id *durable.ID) string {
	if scope, isLedger := objectScope(id.Name()); isLedger {
		return "scope " + scope
	}
	return "object " + id.String()
}

// name returns the object's name.
func (o *ledgerObject) name(id *durable.ID, key string) (string, error) {
	if name := id.Name(); name != "" {
		return name, nil
	}
	return o.engine(key).Name().Stored()
}

// engine returns the engine that has a key's entry. The key is empty in an
// object that keeps a single entry.
func (o *ledgerObject) engine(key string) *engine.Engine {
	if key == "" {
		return o.one
	}
	o.holdsMany.Store(true)
	return o.many
}

func (o *ledgerObject) claim(ctx context.Context, m *codec.Reader) ([]byte, error) {
	key, name := m.Text(), ""
	r := entry.Request{Owner: m.Text(), Fingerprint: m.Text(), Lease: m.Number(), TTL: m.Number()}
	if len(m.Rest) > 0 {
		name = m.Text()
		m.Failed = m.Failed || !isLongName(name)
	}
	if err := wire.End(m); err != nil {
		return nil, err
	}
	e := o.engine(key)
	if err := e.Name().Store(ctx, name); err != nil {
		return nil, err
	}
	a, err := e.Claim(ctx, key, r)
	if err != nil {
		return nil, err
	}
	return wire.EncodeAnswer(&a), nil
}

func (o *ledgerObject) await(ctx context.Context, m *codec.Reader) ([]byte, error) {
	key, fingerprint, limit := m.Text(), m.Text(), m.Number()
	if err := wire.End(m); err != nil {
		return nil, err
	}
	a, err := o.engine(key).Wait(ctx, key, fingerprint, limit)
	if err != nil {
		return nil, err
	}
	return wire.EncodeAnswer(&a), nil
}

func (o *ledgerObject) complete(ctx context.Context, m *codec.Reader) ([]byte, error) {
	key, h := m.Text(), entry.Holder{Owner: m.Text(), Fence: m.Number()}
	if m.Failed {
		return nil, effect.None(ErrMalformed)
	}
	return nil, o.engine(key).Complete(ctx, key, h, m.Rest)
}

func (o *ledgerObject) extend(ctx context.Context, m *codec.Reader) ([]byte, error) {
	key, h, lease := m.Text(), entry.Holder{Owner: m.Text(), Fence: m.Number()}, m.Number()
	if err := wire.End(m); err != nil {
		return nil, err
	}
	return nil, o.engine(key).Extend(ctx, key, h, lease)
}

func (o *ledgerObject) release(ctx context.Context, m *codec.Reader) ([]byte, error) {
	key, h := m.Text(), entry.Holder{Owner: m.Text(), Fence: m.Number()}
	if err := wire.End(m); err != nil {
		return nil, err
	}
	return nil, o.engine(key).Release(ctx, key, h)
}

func (o *ledgerObject) look(ctx context.Context, m *codec.Reader) ([]byte, error) {
	key := m.Text()
	if err := wire.End(m); err != nil {
		return nil, err
	}
	found, err := o.engine(key).Look(ctx, key)
	return codec.AppendNumbers(nil, int64(found.What), found.Fence), err
}

func (o *ledgerObject) forget(ctx context.Context, m *codec.Reader) ([]byte, error) {
	key, found := m.Text(), entry.Found{What: entry.What(m.Number()), Fence: m.Number()}
	if err := wire.End(m); err != nil {
		return nil, err
	}
	return nil, o.engine(key).Forget(ctx, key, found)
}

func (o *ledgerObject) next(ctx context.Context, m *codec.Reader) ([]byte, error) {
	key, r := m.Text(), entry.Request{Owner: m.Text(), Fingerprint: m.Text(), TTL: m.Number()}
	if err := wire.End(m); err != nil {
		return nil, err
	}
	o.holdsMany.Store(true)
	e, inserted, err := o.many.Sequence().Next(ctx, key, r)
	return codec.AppendNumbers(nil, e.Number, e.FirstSeen, codec.Bool(inserted)), err
}

func (o *ledgerObject) reserve(ctx context.Context, m *codec.Reader) ([]byte, error) {
	key, r := m.Text(), entry.Request{Owner: m.Text(), TTL: m.Number()}
	if err := wire.End(m); err != nil {
		return nil, err
	}
	inserted, err := o.engine(key).Reserve(ctx, key, r)
	return wire.EncodeBool(inserted), err
}

// Alarm removes expired records, and calls OnExpired for holders that died.
func (o *ledgerObject) Alarm(ctx context.Context, _ durable.AlarmInfo) error {
	switch {
	case o.unusable != nil:
		return nil
	case o.holdsMany.Load():
		return o.many.Alarm(ctx)
	}
	return o.one.Alarm(ctx)
}
