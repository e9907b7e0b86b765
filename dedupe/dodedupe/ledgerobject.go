package dodedupe

import (
	"context"
	"errors"
	"sync/atomic"

	"flow.internal/capdo/durable"
)

// RegisterLedger declares the Durable Object class that keeps what a [Ledger] and a [Sequencer] know, under the name that the wrangler config knows
// it by. A ledger that maps keys [PerKey] works with either storage backend, [Buckets] and sequencers need SQLite. RegisterLedger panics
// like [durable.Register].
func RegisterLedger(class string) {
	durable.Register(class, newLedgerObject,
		durable.Method(methodClaim, (*ledgerObject).claim),
		durable.Method(methodAwait, (*ledgerObject).await),
		durable.Method(methodComplete, (*ledgerObject).complete),
		durable.Method(methodExtend, (*ledgerObject).extend),
		durable.Method(methodRelease, (*ledgerObject).release),
		durable.Method(methodSeek, (*ledgerObject).seek),
		durable.Method(methodDrop, (*ledgerObject).drop),
		durable.Method(methodNext, (*ledgerObject).next))
}

// ledgerObject is a Durable Object that keeps the entry of one key, or those of many. Which it is shows in its first message, and is never
// another.
type ledgerObject struct {
	one, many book
	holdsMany atomic.Bool
}

func newLedgerObject(_ context.Context, state *durable.State, _ *durable.Env) (*ledgerObject, error) {
	storage := state.Storage()
	o := &ledgerObject{
		one:  book{table: single{storage}, clock: unixMilli},
		many: book{table: newRows(storage), clock: unixMilli},
	}
	switch c, err := storage.SQL().Exec("SELECT 1 FROM sqlite_master WHERE name = '_capdo_entries'"); {
	case errors.Is(err, durable.ErrNoSQL):
		o.one.table = chunked{single{storage}}
	case err != nil:
		return nil, err
	default:
		o.holdsMany.Store(c.Next())
	}
	return o, nil
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
	key, r := m.text(), request{owner: m.text(), fingerprint: m.text(), lease: m.number(), ttl: m.number()}
	if err := m.end(); err != nil {
		return reply(nil, undone{err})
	}
	return replyAnswer(o.book(key).claim(ctx, key, r))
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

// Alarm removes what has expired.
func (o *ledgerObject) Alarm(ctx context.Context, _ durable.AlarmInfo) error {
	if o.holdsMany.Load() {
		return o.many.alarm(ctx)
	}
	return o.one.alarm(ctx)
}
