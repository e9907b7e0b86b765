package dodedupe

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/engine"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
	"flow.internal/capdo/dedupe/dodedupe/internal/reservation"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
	"flow.internal/capdo/durable"
)

// LedgerOptions configures a [Ledger] or a [Sequencer]. Nil means the defaults.
type LedgerOptions struct {
	// Binding is the Durable Object binding of the class that
	// [RegisterLedger] declared; "LEDGER" when empty.
	Binding string
	// Scope separates the keys of several users of one class: any bytes,
	// none by default. Another scope is another ledger, which starts empty.
	Scope string
	// DefaultTTL is what a TTL of 0 means; [dedupe.DefaultTTL] when 0.
	DefaultTTL time.Duration
	// Mapping says which object keeps a key: [PerKey], the default, or
	// [Buckets]. Sequencers have an object per stream.
	Mapping Mapping
}

// Ledger is a [dedupe.Ledger] on Durable Objects. It belongs to the invocation
// of its env.
type Ledger struct {
	call     caller
	scope    string
	ttl      time.Duration
	mapping  Mapping
	identity string
}

var _ dedupe.Ledger = (*Ledger)(nil)

// Names of operations, for errors.
const (
	opNewLedger    = "NewLedger"
	opNewSequencer = "NewSequencer"
	opClaim        = "Claim"
	opComplete     = "Complete"
	opExtend       = "Extend"
	opRelease      = "Release"
	opNext         = "Next"
	opNextAs       = "NextAs"
)

// NewLedger returns the ledger behind a binding. It fails with
// [durable.ErrNoBinding], [dedupe.ErrInvalidTTL] and [ErrBuckets], and natively
// with an error of kind [dedupe.RuntimeUnavailable]. It sends nothing.
func NewLedger(env *durable.Env, opts *LedgerOptions) (*Ledger, error) {
	call, err := opts.caller(env)
	if err != nil {
		return nil, fail(opNewLedger, err)
	}
	return newLedger(call, opts)
}

func newLedger(call caller, opts *LedgerOptions) (*Ledger, error) {
	if opts == nil {
		opts = &LedgerOptions{}
	}
	if opts.Mapping.invalid != 0 {
		return nil, fail(opNewLedger, ErrBuckets)
	}
	identity := identityOf(opts.binding(), opts.Scope, opts.Mapping)
	return &Ledger{call, opts.Scope, opts.DefaultTTL, opts.Mapping, identity}, nil
}

// lastIdentity is the identity of the last ledger: most programs make the same
// one for each request.
var lastIdentity atomic.Pointer[identified]

type identified struct {
	binding, scope string
	mapping        Mapping
	identity       string
}

// identityOf returns the identity of a ledger, which its claims carry.
func identityOf(binding, scope string, m Mapping) string {
	last := lastIdentity.Load()
	if last == nil || last.binding != binding || last.scope != scope || last.mapping != m {
		text := base64.RawURLEncoding.EncodeToString([]byte(scope))
		last = &identified{binding, scope, m,
			providerName + ":" + binding + ":" + text + ":" + m.String()}
		lastIdentity.Store(last)
	}
	return last.identity
}

func (o *LedgerOptions) binding() string {
	if o == nil || o.Binding == "" {
		return defaultLedgerBinding
	}
	return o.Binding
}

func (o *LedgerOptions) caller(env *durable.Env) (caller, error) {
	if runtime.GOOS != "js" {
		return nil, errors.ErrUnsupported
	}
	if o != nil {
		if _, err := dedupe.TTLMillis(0, o.DefaultTTL); err != nil {
			return nil, err
		}
	}
	namespace, err := env.Namespace(o.binding())
	if err != nil {
		return nil, err
	}
	return namespaceCaller(namespace), nil
}

const defaultLedgerBinding = "LEDGER"

// Name returns "dedupe.durable_objects".
func (l *Ledger) Name() string { return providerName }

// Claim asks for the right to do a key's work; see [dedupe.Ledger]. If the
// answer is lost, it repeats the call with the same owner: once, or until ctx's
// deadline if there is one (see "Lost calls" in the package's documentation). A
// wait is a separate call, in which the object claims nothing. A wait that ends
// with ctx has no effect.
func (l *Ledger) Claim(
	ctx context.Context, key []byte, opts dedupe.ClaimOptions,
) (dedupe.Claim, error) {
	ttl, err := dedupe.TTLMillis(opts.TTL, l.ttl)
	if err != nil {
		return dedupe.Claim{}, fail(opClaim, err)
	}
	if err := opts.Check(key); err != nil {
		return dedupe.Claim{}, fail(opClaim, err)
	}
	if opts.Owner == "" {
		o := reservation.NewOwner()
		opts.Owner = string(o[:])
	}
	a, err := l.claim(ctx, key, &opts, ttl)
	claim := dedupe.Claim{Ledger: l.identity, Key: bytes.Clone(key), Owner: opts.Owner}
	if errors.Is(err, dedupe.ErrUnknownOutcome) {
		return claim, fail(opClaim, err)
	}
	if err != nil {
		return dedupe.Claim{}, fail(opClaim, err)
	}
	claim.Outcome, claim.Attempt = a.Outcome, int(a.Entry.Attempt)
	switch a.Outcome {
	case dedupe.Acquired:
		claim.Fence, claim.TakenOver = a.Entry.Number, a.Entry.TakenOver
	case dedupe.Replay:
		claim.Result, claim.CompletedAt = a.Entry.Result, time.UnixMilli(a.Entry.Until)
	case dedupe.InProgress:
		claim.RetryAfter = time.Duration(a.RetryAfter) * time.Millisecond
	}
	return claim, nil
}

// claim claims, waits for a slice of time, and claims again, until the key is
// free or completed or the wait is over. A lost wait changes nothing, and the
// last claim's outcome is known, so claim then claims again. If two waits in
// succession are lost, it stops waiting.
func (l *Ledger) claim(
	ctx context.Context, key []byte, opts *dedupe.ClaimOptions, ttl int64,
) (entry.Answer, error) {
	object, innerKey := l.mapping.locate(kindLedger, l.scope, key)
	end := time.Now().Add(opts.Wait)
	for lost := 0; ; {
		a, err := l.askClaim(ctx, object, innerKey, opts, ttl)
		left := time.Until(end).Milliseconds()
		if err != nil || a.Outcome != dedupe.InProgress || left <= 0 || lost == 2 {
			return a, err
		}
		msg := wire.Message(innerKey, string(opts.Fingerprint))
		msg = codec.AppendNumbers(msg, min(left, engine.WaitSlice))
		waited, err := ask(l.call.wait(ctx, object, msg))
		switch {
		case err == nil && waited.Outcome == dedupe.Replay:
			return waited, nil
		case err == nil:
			lost = 0
		case ctx.Err() != nil: // a wait claims nothing
			return entry.Answer{}, context.Cause(ctx)
		case effect.Definite(err):
			return entry.Answer{}, err
		default:
			lost++
		}
	}
}

// askClaim claims. The message has the object's name if the object cannot know
// it.
func (l *Ledger) askClaim(
	ctx context.Context, object, innerKey string, opts *dedupe.ClaimOptions, ttl int64,
) (entry.Answer, error) {
	lease, _ := dedupe.LeaseMillis(opts.Lease)
	msg := wire.Message(innerKey, opts.Owner, string(opts.Fingerprint))
	msg = codec.AppendNumbers(msg, lease, ttl)
	if isLongName(object) {
		msg = codec.AppendText(msg, object)
	}
	return ask(l.call.deliver(ctx, object, wire.MethodClaim, msg))
}

// ask reads a reply that has an outcome.
func ask(body []byte, err error) (entry.Answer, error) {
	if err != nil {
		return entry.Answer{}, err
	}
	a, err := wire.DecodeAnswer(body)
	if err != nil {
		return entry.Answer{}, effect.Unknown(err)
	}
	return a, nil
}

// Complete stores a claim's result; see [dedupe.Ledger].
func (l *Ledger) Complete(
	ctx context.Context, claim dedupe.Claim, result []byte,
) error {
	if err := dedupe.CheckResult(result); err != nil {
		return fail(opComplete, err)
	}
	finish := func(msg []byte) []byte { return append(msg, result...) }
	return l.change(ctx, opComplete, wire.MethodComplete, &claim, finish)
}

// Extend extends a claim's lease; see [dedupe.Ledger].
func (l *Ledger) Extend(
	ctx context.Context, claim dedupe.Claim, lease time.Duration,
) error {
	ms, err := dedupe.LeaseMillis(lease)
	if err != nil {
		return fail(opExtend, err)
	}
	finish := func(msg []byte) []byte { return codec.AppendNumbers(msg, ms) }
	return l.change(ctx, opExtend, wire.MethodExtend, &claim, finish)
}

// Release gives a claim back; see [dedupe.Ledger].
func (l *Ledger) Release(ctx context.Context, claim dedupe.Claim) error {
	finish := func(msg []byte) []byte { return msg }
	return l.change(ctx, opRelease, wire.MethodRelease, &claim, finish)
}

// change sends a message about a claim, which finish completes.
func (l *Ledger) change(
	ctx context.Context, op, method string, claim *dedupe.Claim, finish func(msg []byte) []byte,
) error {
	if err := claim.Check(l.identity); err != nil {
		return fail(op, err)
	}
	if claim.Fence < 0 {
		return fail(op, dedupe.ErrFenced)
	}
	object, innerKey := l.mapping.locate(kindLedger, l.scope, claim.Key)
	msg := codec.AppendNumbers(wire.Message(innerKey, claim.Owner), claim.Fence)
	if _, err := l.call.deliver(ctx, object, method, finish(msg)); err != nil {
		return fail(op, err)
	}
	return nil
}

// Forget removes a key's record; see [dedupe.Ledger]. Like [Store.Forget] it
// makes two calls, and does not remove a later record.
func (l *Ledger) Forget(ctx context.Context, key []byte) error {
	if err := dedupe.CheckKey(key); err != nil {
		return fail(opForget, err)
	}
	object, innerKey := l.mapping.locate(kindLedger, l.scope, key)
	if err := l.call.forget(ctx, object, innerKey); err != nil {
		return fail(opForget, err)
	}
	return nil
}
