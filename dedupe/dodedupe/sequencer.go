package dodedupe

import (
	"context"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/reservation"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
	"flow.internal/capdo/durable"
)

// Sequencer is a [dedupe.Sequencer] on Durable Objects, one object per stream.
// It belongs to the invocation of its env.
type Sequencer struct {
	call  caller
	scope string
	ttl   time.Duration
}

var _ dedupe.IdempotentSequencer = (*Sequencer)(nil)

// NewSequencer returns the sequencer behind a binding. It fails like
// [NewLedger]. It sends nothing.
func NewSequencer(env *durable.Env, opts *LedgerOptions) (*Sequencer, error) {
	call, err := opts.caller(env)
	if err != nil {
		return nil, fail(opNewSequencer, err)
	}
	return newSequencer(call, opts), nil
}

func newSequencer(call caller, opts *LedgerOptions) *Sequencer {
	if opts == nil {
		opts = &LedgerOptions{}
	}
	return &Sequencer{call, opts.Scope, opts.DefaultTTL}
}

// Name returns "dedupe.durable_objects".
func (s *Sequencer) Name() string { return providerName }

// Next returns the number of an entry; see [dedupe.Sequencer]. If the answer is
// lost it repeats the call, as [Ledger.Claim] does, and gets the same number.
func (s *Sequencer) Next(
	ctx context.Context, stream, key, payloadHash []byte, ttl time.Duration,
) (dedupe.Seq, error) {
	return s.next(ctx, opNext, "", stream, key, payloadHash, ttl)
}

// NextAs returns the number of an entry; see [dedupe.IdempotentSequencer]. It
// repeats the call as Next does.
func (s *Sequencer) NextAs(
	ctx context.Context, owner string,
	stream, key, payloadHash []byte, ttl time.Duration,
) (dedupe.Seq, error) {
	return s.next(ctx, opNextAs, owner, stream, key, payloadHash, ttl)
}

func (s *Sequencer) next(
	ctx context.Context, op, owner string, stream, key, payloadHash []byte, ttl time.Duration,
) (dedupe.Seq, error) {
	ms, err := s.checkNext(owner, stream, key, payloadHash, ttl)
	if err != nil {
		return dedupe.Seq{}, fail(op, err)
	}
	if owner == "" {
		random := reservation.NewOwner()
		owner = string(random[:])
	}
	msg := codec.AppendNumbers(wire.Message(string(key), owner, string(payloadHash)), ms)
	object := objectName(kindSequence, s.scope, stream)
	body, err := s.call.deliver(ctx, object, wire.MethodNext, msg)
	if err != nil {
		return dedupe.Seq{}, fail(op, err)
	}
	r := codec.Reader{Rest: body}
	seq := dedupe.Seq{N: r.Number(), FirstSeen: time.UnixMilli(r.Number()), Inserted: r.Bool()}
	if err := r.End(); err != nil {
		return dedupe.Seq{}, fail(op, effect.Unknown(err))
	}
	return seq, nil
}

// checkNext returns the TTL in ms, or what is wrong with a call of next.
func (s *Sequencer) checkNext(
	owner string, stream, key, payloadHash []byte, ttl time.Duration,
) (ms int64, err error) {
	ms, err = dedupe.TTLMillis(ttl, s.ttl)
	if err != nil {
		return 0, err
	}
	for _, k := range [][]byte{stream, key} {
		if err := dedupe.CheckKey(k); err != nil {
			return 0, err
		}
	}
	if len(payloadHash) > dedupe.MaxFingerprintSize {
		return 0, dedupe.ErrFingerprintTooLarge
	}
	return ms, dedupe.CheckOwner(owner)
}
