package dodedupe

import (
	"context"
	"errors"
	"sync/atomic"

	"flow.internal/capdo/durable"
)

// LedgerClass configures what [RegisterLedger] declares. Nil means the defaults.
type LedgerClass struct {
	// OnExpired, if set, is called by the object's alarm soon after a claim's lease ran out while its holder had neither completed nor
	// released it, so that recovery drives itself: it may do the work again, as [dedupe.Do] does, through a ledger on env. It may be
	// called more than once for a claim, and for several claims at the same time.
	//
	// After an error or a panic, or when the program ends meanwhile, it is
	// called again, after 1 s first, then at ever longer intervals, for an hour
	// after the lease's end; the error is also the alarm's. A call has 5
	// minutes: then its ctx ends, and nothing waits for it any more, which
	// counts as an error. No call delays another.
	OnExpired func(ctx context.Context, env *durable.Env, claim Expired) error
}

// RegisterLedger declares the Durable Object class that keeps what a [Ledger], a [Sequencer], and a [Store] in buckets know, under the name that the
// wrangler config knows it by. It works with either storage backend. RegisterLedger panics like [durable.Register].
func RegisterLedger(class string, opts *LedgerClass) {
	construct := func(ctx context.Context, state *durable.State, env *durable.Env) (*ledgerObject, error) {
		return newLedgerObject(ctx, state, env, opts)
	}
	var methods []durable.RPCMethod[*ledgerObject]
	for _, m := range ledgerMethods {
		methods = append(methods, durable.Method(m.name, m.handle).Retryable())
	}
	durable.Register(class, construct, methods...)
}

// ledgerMethods are the object's methods. All may be delivered again: those that change something say whose claim it is, and what was seen.
var ledgerMethods = []struct {
	name   string
	handle func(*ledgerObject, context.Context, []byte) ([]byte, error)
}{
	{methodClaim, (*ledgerObject).claim},
	{methodAwait, (*ledgerObject).await},
	{methodComplete, (*ledgerObject).complete},
	{methodExtend, (*ledgerObject).extend},
	{methodRelease, (*ledgerObject).release},
	{methodSeek, (*ledgerObject).seek},
	{methodDrop, (*ledgerObject).drop},
	{methodNext, (*ledgerObject).next},
	{methodReserve, (*ledgerObject).reserve},
}

// ledgerObject is a Durable Object that keeps the entry of one key, or those of many. Which it is shows in its first message, and is never
// another.
type ledgerObject struct {
	one, many book
	holdsMany atomic.Bool
}

func newLedgerObject(ctx context.Context, state *durable.State, env *durable.Env, opts *LedgerClass) (*ledgerObject, error) {
	storage := state.Storage()
	alarm := slotAlarm{storage}
	o := &ledgerObject{
		one:  book{table: single{alarm}, clock: unixMilli},
		many: book{table: newRows(storage), clock: unixMilli, many: true},
	}
	id, err := state.ID()
	if err != nil {
		return nil, err
	}
	for _, b := range []*book{&o.one, &o.many} {
		b.waiters, b.tenant = isolateWaiters, tenantOf(id)
	}
	if opts != nil && opts.OnExpired != nil {
		tell := func(ctx context.Context, key string, e *entry) error {
			name := id.Name()
			if name == "" {
				var err error
				if name, err = o.book(key).rememberedName(ctx); err != nil {
					return err
				}
			}
			return opts.OnExpired(ctx, env, newExpired(name, key, e))
		}
		o.one.tell, o.many.tell = tell, tell
	}
	some, err := hasRows(storage)
	if errors.Is(err, durable.ErrNoSQL) {
		o.one.table, o.many.table = chunked{alarm}, &indexed{slotAlarm: alarm}
		some, err = hasEntries(ctx, storage)
	}
	o.holdsMany.Store(some)
	return o, err
}

// tenantOf says whose the callers of an object are: those of a ledger with that
// scope, or else of this object.
func tenantOf(id *durable.ID) string {
	if scope, isLedger := objectScope(id.Name()); isLedger {
		return "scope " + scope
	}
	return "object " + id.String()
}

// book returns where a key's entry is: keys are empty in an object that keeps one.
func (o *ledgerObject) book(key string) *book {
	if key == "" {
		return &o.one
	}
	o.holdsMany.Store(true)
	return &o.many
}

func (o *ledgerObject) claim(ctx context.Context, msg []byte) ([]byte, error) {
	m, err := unpack(msg)
	if err != nil {
		return reply(nil, err)
	}
	key, r, name := m.text(), request{owner: m.text(), fingerprint: m.text(), lease: m.number(), ttl: m.number()}, ""
	if len(m.rest) > 0 {
		name = m.text()
		m.failed = m.failed || !isLongName(name)
	}
	if err := m.end(); err != nil {
		return reply(nil, undone{err})
	}
	b := o.book(key)
	if err := b.rememberName(ctx, name); err != nil {
		return reply(nil, err)
	}
	return replyAnswer(b.claim(ctx, key, r))
}

func (o *ledgerObject) await(ctx context.Context, msg []byte) ([]byte, error) {
	m, err := unpack(msg)
	if err != nil {
		return reply(nil, err)
	}
	key, fingerprint, limit := m.text(), m.text(), m.number()
	if err := m.end(); err != nil {
		return reply(nil, undone{err})
	}
	return replyAnswer(o.book(key).wait(ctx, key, fingerprint, limit))
}

func replyAnswer(a answer, err error) ([]byte, error) {
	if err != nil {
		return reply(nil, err)
	}
	return reply(encodeAnswer(&a), nil)
}

func (o *ledgerObject) complete(ctx context.Context, msg []byte) ([]byte, error) {
	m, err := unpack(msg)
	if err != nil {
		return reply(nil, err)
	}
	key, h := m.text(), holder{m.text(), m.number()}
	if m.failed {
		return reply(nil, undone{ErrMalformed})
	}
	return reply(nil, o.book(key).complete(ctx, key, h, m.rest))
}

func (o *ledgerObject) extend(ctx context.Context, msg []byte) ([]byte, error) {
	m, err := unpack(msg)
	if err != nil {
		return reply(nil, err)
	}
	key, h, lease := m.text(), holder{m.text(), m.number()}, m.number()
	if err := m.end(); err != nil {
		return reply(nil, undone{err})
	}
	return reply(nil, o.book(key).extend(ctx, key, h, lease))
}

func (o *ledgerObject) release(ctx context.Context, msg []byte) ([]byte, error) {
	m, err := unpack(msg)
	if err != nil {
		return reply(nil, err)
	}
	key, h := m.text(), holder{m.text(), m.number()}
	if err := m.end(); err != nil {
		return reply(nil, undone{err})
	}
	return reply(nil, o.book(key).release(ctx, key, h))
}

func (o *ledgerObject) seek(ctx context.Context, msg []byte) ([]byte, error) {
	m, err := unpack(msg)
	if err != nil {
		return reply(nil, err)
	}
	key := m.text()
	if err := m.end(); err != nil {
		return reply(nil, undone{err})
	}
	what, fence, err := o.book(key).look(ctx, key)
	return reply(appendNumbers(nil, what, fence), err)
}

func (o *ledgerObject) drop(ctx context.Context, msg []byte) ([]byte, error) {
	m, err := unpack(msg)
	if err != nil {
		return reply(nil, err)
	}
	key, what, fence := m.text(), m.number(), m.number()
	if err := m.end(); err != nil {
		return reply(nil, undone{err})
	}
	return reply(nil, o.book(key).forget(ctx, key, what, fence))
}

func (o *ledgerObject) next(ctx context.Context, msg []byte) ([]byte, error) {
	m, err := unpack(msg)
	if err != nil {
		return reply(nil, err)
	}
	key, r := m.text(), request{owner: m.text(), fingerprint: m.text(), ttl: m.number()}
	if err := m.end(); err != nil {
		return reply(nil, undone{err})
	}
	o.holdsMany.Store(true)
	e, inserted, err := o.many.next(ctx, key, r)
	return reply(appendNumbers(nil, e.number, e.firstSeen, number(inserted)), err)
}

func (o *ledgerObject) reserve(ctx context.Context, msg []byte) ([]byte, error) {
	m, err := unpack(msg)
	if err != nil {
		return reply(nil, err)
	}
	key, r := m.text(), request{owner: m.text(), ttl: m.number()}
	if err := m.end(); err != nil {
		return reply(nil, undone{err})
	}
	inserted, err := o.book(key).reserve(ctx, key, r)
	return reply(encodeBool(inserted), err)
}

// Alarm removes what has expired.
func (o *ledgerObject) Alarm(ctx context.Context, _ durable.AlarmInfo) error {
	if o.holdsMany.Load() {
		return o.many.alarm(ctx)
	}
	return o.one.alarm(ctx)
}
