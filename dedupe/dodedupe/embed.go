package dodedupe

import (
	"context"
	"errors"
	"runtime"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/engine"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/reservation"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/section"
)

// Embedded is a ledger within an object of any class, in the object's own
// SQLite storage. The object's writes and the ledger's are one transaction, so
// an effect on the object happens exactly once. It is a [dedupe.Ledger] whose
// calls do not leave the object. All handlers of the object share it.
//
//	func NewAccount(
//		ctx context.Context, state *durable.State, env *durable.Env,
//	) (*Account, error) {
//		ledger, err := dodedupe.Embed(state, nil)
//		return &Account{state, ledger}, err
//	}
//
//	func (a *Account) Deposit(
//		ctx context.Context, d Deposit,
//	) (string, error) {
//		add := func(int64) ([]byte, error) { return a.add(d.Amount) }
//		balance, _, err := a.ledger.Once(ctx, []byte(d.ID), nil, add)
//		return string(balance), err
//	}
//
//	func (a *Account) Alarm(
//		ctx context.Context, info durable.AlarmInfo,
//	) error {
//		return a.ledger.Alarm(ctx, a.remind)
//	}
//
// The ledger shares the object's one alarm. So the class implements
// [durable.Alarmer] as above. It calls SetAlarm, GetAlarm, DeleteAlarm and
// DeleteAll of Embedded instead of those of [durable.Storage]. The names of the
// ledger's tables and keys begin with "_capdo_".
//
// Within a [durable.Storage.Transaction] the ledger's calls are part of it, and
// are rolled back with it. Calls of other goroutines wait until it is over, so
// its function must not wait for them. Within a
// [durable.Storage.TransactionSync] a call that has to set an alarm fails with
// [durable.ErrTransactionParked], and the transaction is rolled back. Use Once
// instead.
type Embedded struct {
	*Ledger
	engine *engine.Embedded
}

// EmbedOptions configures an [Embedded] ledger. Nil means the defaults.
type EmbedOptions struct {
	// DefaultTTL is what a TTL of 0 means; [dedupe.DefaultTTL] when 0.
	DefaultTTL time.Duration
	// OnExpired is as in [LedgerClassOptions].
	OnExpired func(ctx context.Context, claim Expired) error
}

var _ dedupe.Ledger = (*Embedded)(nil)

const (
	opEmbed      = "Embed"
	opOnce       = "Once"
	opCompleteTx = "CompleteTx"
)

// Embed returns the ledger of an object. Call it in the constructor of the
// class. It fails with [ErrNeedsSQLite] in a class with key-value storage, with
// [dedupe.ErrInvalidTTL], and natively with an error of kind
// [dedupe.RuntimeUnavailable].
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
	if _, err := engine.HasEntries(state.Storage()); err != nil {
		if errors.Is(err, durable.ErrNoSQL) {
			err = ErrNeedsSQLite
		}
		return nil, err
	}
	id, err := state.ID()
	if err != nil {
		return nil, err
	}
	tenant := func() (string, error) { return tenantOf(id), nil }
	config := engine.Config{Clock: unixMilli, Waiters: isolateWaiters, Tenant: tenant}
	config.Enter = func(ctx context.Context) (bool, func(), error) {
		return section.Enter(ctx, state.Storage())
	}
	if opts.OnExpired != nil {
		config.Notify = func(ctx context.Context, key string, e *entry.Entry) error {
			return opts.OnExpired(ctx, newExpired("", key, e))
		}
	}
	embedded := engine.NewEmbedded(state.Storage(), config)
	object := &ledgerObject{many: embedded.Engine}
	identity := providerName + ":embedded:" + id.String()
	ledger := &Ledger{
		call:     object.call,
		ttl:      opts.DefaultTTL,
		mapping:  Buckets(1),
		identity: identity,
	}
	return &Embedded{ledger, embedded}, nil
}

// OnceOptions configure [Embedded.Once]. Nil means the defaults.
type OnceOptions struct {
	Fingerprint []byte        // as in [dedupe.ClaimOptions]
	TTL         time.Duration // as in [dedupe.ClaimOptions]
}

// Once runs a key's work unless it has been done, and stores its result, at
// most [dedupe.MaxResultSize] bytes, in the same transaction: the object's
// storage has the writes of work if and only if it has the result. If the key
// is already completed, Once returns its result and does not run work.
//
// work is like the function of [durable.Storage.TransactionSync]: it must not
// wait, and must not use the ledger. If it fails, nothing has changed, and Once
// returns its error. Once fails like [dedupe.Ledger.Claim], and with a
// [*dedupe.InProgressError] while another owner holds the key by a claim.
func (e *Embedded) Once(
	ctx context.Context, key []byte, opts *OnceOptions,
	work func(fence int64) ([]byte, error),
) (result []byte, replayed bool, err error) {
	if opts == nil {
		opts = &OnceOptions{}
	}
	ttl, err := e.checkOnce(ctx, key, opts)
	if err != nil {
		return nil, false, fail(opOnce, err)
	}
	owner := reservation.NewOwner()
	r := entry.Request{
		Owner:       string(owner[:]),
		Fingerprint: string(opts.Fingerprint),
		Lease:       entry.MaxLease,
		TTL:         ttl,
	}
	done, err := e.engine.Transactions().Once(ctx, string(key), r, work)
	switch {
	case done.Failed != nil:
		return nil, false, done.Failed
	case err != nil:
		return nil, false, fail(opOnce, err)
	}
	return done.Value, done.Replayed, nil
}

// checkOnce returns the TTL in ms, or what is wrong with a call of Once.
func (e *Embedded) checkOnce(
	ctx context.Context, key []byte, opts *OnceOptions,
) (ms int64, err error) {
	ms, err = dedupe.TTLMillis(opts.TTL, e.ttl)
	if err != nil {
		return 0, err
	}
	claim := dedupe.ClaimOptions{Fingerprint: opts.Fingerprint, Lease: dedupe.MaxLease}
	if err := claim.Check(key); err != nil {
		return 0, err
	}
	return ms, context.Cause(ctx)
}

// CompleteTx completes a claim with the result of work, in the same transaction
// as the writes of work to the object's storage. Once describes work. If the
// holder has already completed the claim, CompleteTx returns that result and
// does not run work. It fails like [dedupe.Ledger.Complete].
func (e *Embedded) CompleteTx(
	ctx context.Context, claim dedupe.Claim, work func() ([]byte, error),
) (result []byte, err error) {
	if err := claim.Check(e.identity); err != nil {
		return nil, fail(opCompleteTx, err)
	}
	h := entry.Holder{Owner: claim.Owner, Fence: claim.Fence}
	done, err := e.engine.Transactions().Complete(ctx, string(claim.Key), h, work)
	switch {
	case done.Failed != nil:
		return nil, done.Failed
	case err != nil:
		return nil, fail(opCompleteTx, err)
	}
	return done.Value, nil
}

// DeleteAll deletes everything that the object has stored, with the ledger and
// all alarms, and wakes waiting callers. Fences continue to grow while the
// object stays in memory; after that they grow as the clock does.
func (e *Embedded) DeleteAll(ctx context.Context) error { return e.engine.DeleteAll(ctx) }

// SetAlarm sets the object's own alarm, and replaces an earlier one; see
// [durable.AsyncKV.SetAlarm]. It works within a [durable.Storage.Transaction],
// and is rolled back with it.
func (e *Embedded) SetAlarm(ctx context.Context, at time.Time) error {
	return e.engine.SetAlarm(ctx, at)
}

// GetAlarm returns when the object's own alarm is due. It returns the zero time
// if none is set, and while the alarm is being delivered. It fails with
// [ErrVersion] if a newer program has set the alarm.
func (e *Embedded) GetAlarm() (time.Time, error) { return e.engine.GetAlarm() }

// DeleteAlarm deletes the object's own alarm, if one is set.
func (e *Embedded) DeleteAlarm(ctx context.Context) error { return e.engine.DeleteAlarm(ctx) }

// Alarm handles the ledger's alarm, and calls user if the object's own alarm is
// due. The class's Alarm method calls it. The object's own alarm is delivered
// as the platform delivers alarms: at least once, and again after errors,
// panics and crashes, up to 6 times, the first time after 2 s. A class that
// sets no alarms may pass nil. user and [EmbedOptions.OnExpired] may run at the
// same time.
func (e *Embedded) Alarm(
	ctx context.Context,
	user func(ctx context.Context, info durable.AlarmInfo) error,
) error {
	return e.engine.Alarm(ctx, user)
}

// call is a caller for the object itself.
func (o *ledgerObject) call(ctx context.Context, _, method string, msg []byte) ([]byte, error) {
	for _, m := range ledgerMethods {
		if m.name == method {
			reply, err := m.serve(o, ctx, msg)
			return withCause(ctx, reply, err)
		}
	}
	return nil, effect.None(ErrMalformed)
}

// withCause returns a reply, or the cause of ctx itself if the reply only has
// its text: the object shares ctx with its caller, who looks for the cause.
func withCause(ctx context.Context, reply []byte, err error) ([]byte, error) {
	if err != nil || ctx.Err() == nil {
		return reply, err
	}
	cause := context.Cause(ctx)
	if _, refused := wire.DecodeReply(reply); refused != nil && refused.Error() == cause.Error() {
		return nil, effect.None(cause)
	}
	return reply, nil
}
