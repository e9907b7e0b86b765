package dodedupe

import (
	"context"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
)

// Sequencer is a [dedupe.Sequencer] on Durable Objects, one object per stream. It belongs to the invocation that its env was handed to.
type Sequencer struct {
	call  caller
	scope string
	ttl   time.Duration
}

var _ dedupe.Sequencer = (*Sequencer)(nil)

// NewSequencer returns the sequencer that a binding leads to, and fails like [NewLedger]. It sends nothing.
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
func (s *Sequencer) Name() string { return "dedupe.durable_objects" }

// Next returns the number of an entry; see [dedupe.Sequencer]. When the answer is lost it repeats the call once, and is told the same
// again.
func (s *Sequencer) Next(ctx context.Context, stream, key, payloadHash []byte, ttl time.Duration) (dedupe.Seq, error) {
	ms, err := dedupe.TTLMillis(ttl, s.ttl)
	for _, k := range [][]byte{stream, key} {
		if err == nil {
			err = dedupe.CheckKey(k)
		}
	}
	switch {
	case err != nil:
	case len(payloadHash) > dedupe.MaxFingerprintSize:
		err = dedupe.ErrFingerprintTooLarge
	}
	if err != nil {
		return dedupe.Seq{}, fail(opNext, err)
	}
	owner := newOwner()
	msg := appendNumbers(message(string(key), string(owner[:]), string(payloadHash)), ms)
	body, err := s.call.deliver(ctx, objectName(kindSequence, s.scope, stream), methodNext, msg)
	if err != nil {
		return dedupe.Seq{}, fail(opNext, err)
	}
	r := reader{rest: body}
	seq := dedupe.Seq{N: r.number(), FirstSeen: time.UnixMilli(r.number()), Inserted: r.bool()}
	if err := r.end(); err != nil {
		return dedupe.Seq{}, fail(opNext, unknown(err))
	}
	return seq, nil
}
