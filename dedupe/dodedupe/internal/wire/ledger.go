package wire

import (
	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/dedupe/dodedupe/internal/entry"
)

// Methods of an object that keeps entries. A message has, after its version,
// the following; the key is empty if the object keeps one key only:
//
//	claim      key, owner, fingerprint (texts), lease, TTL (ms); and the object's
//	           name (text) if the object cannot know it
//	awaitKey   key, fingerprint (texts), limit (ms)
//	complete   key, owner (texts), fence, result (the rest)
//	extend     key, owner (texts), fence, lease (ms)
//	release    key, owner (texts), fence
//	look       key (text)
//	forget     key (text), what there is, its fence
//	next       key, owner, payload hash (texts), TTL (ms)
//	reserve    key, owner (texts), TTL (ms)
//
// the replies have
//
//	claim      an outcome
//	awaitKey   an outcome; a key that is free is in progress for 0 ms
//	look       what there is, its fence
//	next       number, first seen (ms), inserted (0 or 1)
//	reserve    inserted (0 or 1)
//	others     nothing
//
// and an outcome is
//
//	1          acquired: fence, attempt, taken over (0 or 1)
//	2          replay: attempt, completed (ms), result (the rest)
//	3          in progress: attempt, retry after (ms)
const (
	MethodClaim    = "claim"
	MethodAwait    = "awaitKey"
	MethodComplete = "complete"
	MethodExtend   = "extend"
	MethodRelease  = "release"
	MethodLook     = "look"
	MethodForget   = "forget"
	MethodNext     = "next"
	MethodReserve  = "reserve"
)

// Message begins a message with its texts.
func Message(texts ...string) []byte {
	n := 1
	for _, s := range texts {
		n += 2 + len(s)
	}
	b := append(make([]byte, 0, n+16), messageVersion)
	for _, s := range texts {
		b = codec.AppendText(b, s)
	}
	return b
}

// Read begins to read a message.
func Read(msg []byte) (*codec.Reader, error) {
	b, err := content(msg)
	if err != nil {
		return nil, effect.None(err)
	}
	return &codec.Reader{Rest: b}, nil
}

// End returns the error of a message that has not been read to its end, or that
// is malformed.
func End(m *codec.Reader) error {
	if err := m.End(); err != nil {
		return effect.None(err)
	}
	return nil
}

// EncodeAnswer returns an outcome.
func EncodeAnswer(a *entry.Answer) []byte {
	b := codec.AppendNumbers(make([]byte, 0, 32+len(a.Entry.Result)), int64(a.Outcome))
	switch a.Outcome {
	case dedupe.Acquired:
		takenOver := codec.Bool(a.Entry.TakenOver)
		return codec.AppendNumbers(b, a.Entry.Number, a.Entry.Attempt, takenOver)
	case dedupe.Replay:
		return append(codec.AppendNumbers(b, a.Entry.Attempt, a.Entry.Until), a.Entry.Result...)
	}
	return codec.AppendNumbers(b, a.Entry.Attempt, a.RetryAfter)
}

// DecodeAnswer reads an outcome.
func DecodeAnswer(body []byte) (a entry.Answer, err error) {
	r := codec.Reader{Rest: body}
	a.Outcome = dedupe.Outcome(r.Number())
	switch a.Outcome {
	case dedupe.Acquired:
		a.Entry.Number, a.Entry.Attempt, a.Entry.TakenOver = r.Number(), r.Number(), r.Bool()
	case dedupe.Replay:
		a.Entry.Attempt, a.Entry.Until = r.Number(), r.Number()
		a.Entry.Result, r.Rest = r.Rest, nil
	case dedupe.InProgress:
		a.Entry.Attempt, a.RetryAfter = r.Number(), r.Number()
	default:
		return entry.Answer{}, codec.ErrMalformed
	}
	if err := r.End(); err != nil {
		return entry.Answer{}, err
	}
	return a, nil
}
