package dodedupe

import (
	"context"
	"errors"
	"runtime"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/section"
)

// Embedded is a ledger within an object of any class, in the object's own SQLite storage: what the object stores and what the ledger knows
// of it are one transaction, so that an effect on the object happens exactly once. It is a [dedupe.Ledger] whose calls do not leave the object,
// shared by all of its handlers.
//
//	func NewAccount(ctx context.Context, state *durable.State, env *durable.Env) (*Account, error) {
//		ledger, err := dodedupe.Embed(state, nil)
//		return &Account{state, ledger}, err
//	}
//
//	func (a *Account) Deposit(ctx context.Context, d Deposit) (string, error) {
//		balance, _, err := a.ledger.Once(ctx, []byte(d.ID), nil, func(int64) ([]byte, error) { return a.add(d.Amount) })
//		return string(balance), err
//	}
//
//	func (a *Account) Alarm(ctx context.Context, _ durable.AlarmInfo) error { return a.ledger.Alarm(ctx, a.remind) }
//
// The object has one alarm, which the ledger needs: its class implements [durable.Alarmer] as above, and sets alarms of its own with
// SetAlarm, GetAlarm and DeleteAlarm of Embedded in place of those of [durable.Storage]; likewise DeleteAll. The names of the ledger's
// tables and keys begin with "_capdo_".
//
// Within a [durable.Storage.Transaction] the ledger's calls are part of it, and
// are rolled back with it. Calls of other goroutines wait until it is over, so
// its function must not wait for one. Within a
// [durable.Storage.TransactionSync] a call that has to set an alarm fails with
// [durable.ErrTransactionParked], and all of it is rolled back: Once is there
// for that.
type Embedded struct {
	*Ledger
	storage *durable.Storage
	book    *book
	user    *appointments
}

// EmbedOptions configures an [Embedded] ledger. Nil means the defaults.
type EmbedOptions struct {
	// DefaultTTL is what a TTL of 0 means; [dedupe.DefaultTTL] when 0.
	DefaultTTL time.Duration
	// OnExpired is as in [LedgerClass].
	OnExpired func(ctx context.Context, claim Expired) error
}

var _ dedupe.Ledger = (*Embedded)(nil)

const (
	opEmbed      = "Embed"
	opOnce       = "Once"
	opCompleteTx = "CompleteTx"
)

// Embed returns the ledger of an object, for the constructor of its class to call. It fails with [durable.ErrNoSQL] in a class with key-value
// storage, with [dedupe.ErrInvalidTTL], and natively with an error of kind [dedupe.RuntimeUnavailable].
func Embed(state *durable.State, opts *EmbedOptions) (*Embedded, error) {
	e, err := embed(state, opts)
	if err != nil {
		return nil, fail(opEmbed, err)
	}
	return e, nil
}

func embed(state *durable.State, opts *EmbedOptions) (*Embedded, error) {
	if runtime.GOOS != "js" {
		return nil, errors.ErrUnsupported
	}
	if opts == nil {
		opts = &EmbedOptions{}
	}
	if _, err := dedupe.TTLMillis(0, opts.DefaultTTL); err != nil {
		return nil, err
	}
	if _, err := hasRows(state.Storage()); err != nil {
		return nil, err
	}
	id, err := state.ID()
	if err != nil {
		return nil, err
	}
	user := &appointments{rows: newRows(state.Storage())}
	object := &ledgerObject{many: book{table: user, clock: unixMilli, many: true, shared: true, waiters: isolateWaiters, tenant: tenantOf(id)}}
	object.many.section = func(ctx context.Context) (bool, func(), error) { return section.Enter(ctx, state.Storage()) }
	if opts.OnExpired != nil {
		object.many.tell = func(ctx context.Context, key string, e *entry) error {
			return opts.OnExpired(ctx, newExpired("", key, e))
		}
	}
	ledger := &Ledger{call: object.call, ttl: opts.DefaultTTL, mapping: Buckets(1), identity: "dedupe.durable_objects:embedded:" + id.String()}
	return &Embedded{ledger, state.Storage(), &object.many, user}, nil
}

// OnceOptions say how [Embedded.Once] does a key's work. Nil means the defaults.
type OnceOptions struct {
	Fingerprint []byte        // as in [dedupe.ClaimOptions]
	TTL         time.Duration // as in [dedupe.ClaimOptions]
}

// Once does a key's work unless it has been done, and stores its result, at most [dedupe.MaxResultSize] bytes, in the same transaction: whatever work
// has written to the object's storage is there if and only if the result is. Where the key is completed, Once returns its result,
// and work does not run.
//
// work is like the function of [durable.Storage.TransactionSync]: it must not wait, nor use the ledger. When it fails nothing has changed, and
// Once returns its error. Once fails like [dedupe.Ledger.Claim], and with a [*dedupe.InProgressError] while somebody else holds the key by a claim.
func (e *Embedded) Once(ctx context.Context, key []byte, opts *OnceOptions, work func(fence int64) ([]byte, error)) (result []byte, replayed bool, err error) {
	if opts == nil {
		opts = &OnceOptions{}
	}
	claim := dedupe.ClaimOptions{Fingerprint: opts.Fingerprint, Lease: dedupe.MaxLease}
	ttl, err := dedupe.TTLMillis(opts.TTL, e.ttl)
	if err == nil {
		err = claim.Check(key)
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, false, fail(opOnce, err)
	}
	owner := newOwner()
	r := request{string(owner[:]), string(opts.Fingerprint), maxLease, ttl}
	result, replayed, failed, err := e.book.once(ctx, string(key), r, work)
	switch {
	case failed != nil:
		return nil, false, failed
	case err != nil:
		return nil, false, fail(opOnce, err)
	}
	return result, replayed, nil
}

// CompleteTx completes a claim with what work returns, in the same transaction as what work writes to the object's storage; see Once for
// work. Where the holder has completed the claim before, it returns that result, and work does not run. It fails like
// [dedupe.Ledger.Complete].
func (e *Embedded) CompleteTx(ctx context.Context, claim dedupe.Claim, work func() ([]byte, error)) (result []byte, err error) {
	if err := claim.Check(e.identity); err != nil {
		return nil, fail(opCompleteTx, err)
	}
	result, failed, err := e.book.completeTx(ctx, string(claim.Key), holder{claim.Owner, claim.Fence}, work)
	switch {
	case failed != nil:
		return nil, failed
	case err != nil:
		return nil, fail(opCompleteTx, err)
	}
	return result, nil
}

// DeleteAll deletes everything that the object has stored, with the ledger and
// all alarms, and wakes who waits. Fences go on growing for as long as the
// object stays in memory, and after that as the clock does.
func (e *Embedded) DeleteAll(ctx context.Context) error {
	unlock, err := e.book.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	e.book.doubt()
	e.user.running = appointment{}
	defer e.book.wakeAll()
	return e.storage.DeleteAll(context.WithoutCancel(ctx), nil)
}

// call is a caller that does not leave the object.
func (o *ledgerObject) call(ctx context.Context, _, method string, msg []byte) ([]byte, error) {
	for _, m := range ledgerMethods {
		if m.name == method {
			return m.handle(o, ctx, msg)
		}
	}
	return nil, undone{ErrMalformed}
}

// once does a key's work and completes it, in one transaction. failed is the error of work.
func (b *book) once(ctx context.Context, key string, r request, work func(fence int64) ([]byte, error)) (result []byte, replayed bool, failed, err error) {
	unlock, err := b.lock(ctx)
	if err != nil {
		return nil, false, nil, err
	}
	defer unlock()
	ctx = context.WithoutCancel(ctx)
	stored, now, err := b.read(ctx, key)
	if err != nil {
		return nil, false, nil, err
	}
	fence, err := b.nextFence(ctx, &stored, now)
	if err != nil {
		return nil, false, nil, err
	}
	next, outcome, err := stored.claim(r, now, fence)
	switch {
	case err != nil:
		return nil, false, nil, err
	case outcome == dedupe.Replay:
		b.settle(ctx, next.due())
		return next.result, true, nil, nil
	case outcome == dedupe.InProgress:
		b.settle(ctx, next.due())
		return nil, false, nil, &dedupe.InProgressError{RetryAfter: time.Duration(next.until-now) * time.Millisecond, Attempt: int(next.attempt)}
	}
	b.fence = fence
	result, failed, err = b.completeBy(ctx, key, &next, &stored, now, func() ([]byte, error) { return work(fence) })
	return result, false, failed, err
}

// completeTx completes a claim with what work returns, in one transaction.
func (b *book) completeTx(ctx context.Context, key string, h holder, work func() ([]byte, error)) (result []byte, failed, err error) {
	unlock, err := b.lock(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	ctx = context.WithoutCancel(ctx)
	stored, now, err := b.read(ctx, key)
	if err != nil {
		return nil, nil, err
	}
	next, changes, err := stored.complete(h, nil, now)
	if err != nil || !changes {
		return next.result, nil, err
	}
	return b.completeBy(ctx, key, &stored, &stored, now, work)
}

// completeBy completes a held entry, which may be in the place of another.
func (b *book) completeBy(ctx context.Context, key string, e, before *entry, now int64, work func() ([]byte, error)) (result []byte, failed, err error) {
	var next entry
	err = b.table.transact(ctx, func() error {
		if result, failed = work(); failed != nil {
			return failed
		}
		var err error
		if next, _, err = e.complete(holder{e.owner, e.number}, result, now); err != nil {
			return err
		}
		return b.put(ctx, key, &next, before)
	})
	if failed != nil || err != nil {
		b.doubt()
		return nil, failed, err
	}
	return result, nil, afterWrite(b.arm(ctx, next.due()))
}
