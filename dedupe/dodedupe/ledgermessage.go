package dodedupe

import (
	"encoding/binary"

	"flow.internal/capdo/dedupe"
)

// Messages between Ledger or Sequencer and object. Each begins with its version; then follows, where a text has its length in front, a
// number is a uvarint, and the key is empty if the object keeps one key only,
//
//	claim      key, owner, fingerprint (texts), lease, TTL (ms),  reply   outcome
//	           the object's name (text) if it cannot know it
//	await      key, fingerprint (texts), limit (ms)               reply   outcome; a key that is free is in progress for 0 ms
//	complete   key, owner (texts), fence, result (the rest)       reply   nothing
//	extend     key, owner (texts), fence, lease (ms)              reply   nothing
//	release    key, owner (texts), fence                          reply   nothing
//	seek       key (text)                                         reply   what there is, its fence
//	drop       key (text), what there is, its fence               reply   nothing
//	next       key, owner, payload hash (texts), TTL (ms)         reply   number, first seen (ms), inserted (0 or 1)
//	reserve    key, owner (texts), TTL (ms)                       reply   0 or 1: inserted
//
// and an outcome is
//
//	1   fence, attempt, taken over (0 or 1)                       acquired
//	2   attempt, completed (ms), result (the rest)                replay
//	3   attempt, retry after (ms)                                 in progress
const (
	methodClaim    = "claim"
	methodAwait    = "awaitKey"
	methodComplete = "complete"
	methodExtend   = "extend"
	methodRelease  = "release"
	methodSeek     = "seek"
	methodDrop     = "drop"
	methodNext     = "next"
	methodReserve  = "reserve"
)

// message begins a message with its texts.
func message(texts ...string) []byte {
	n := 1
	for _, s := range texts {
		n += 2 + len(s)
	}
	b := append(make([]byte, 0, n+16), messageVersion)
	for _, s := range texts {
		b = appendText(b, s)
	}
	return b
}

func appendNumbers(b []byte, numbers ...int64) []byte {
	for _, n := range numbers {
		b = binary.AppendUvarint(b, uint64(n))
	}
	return b
}

func number(v bool) int64 {
	if v {
		return 1
	}
	return 0
}

// unpack begins to read a message.
func unpack(msg []byte) (*reader, error) {
	b, err := content(msg)
	if err != nil {
		return nil, undone{err}
	}
	return &reader{rest: b}, nil
}

func encodeAnswer(a *answer) []byte {
	b := appendNumbers(make([]byte, 0, 32+len(a.entry.result)), int64(a.outcome))
	switch a.outcome {
	case dedupe.Acquired:
		return appendNumbers(b, a.entry.number, a.entry.attempt, number(a.entry.takenOver))
	case dedupe.Replay:
		return append(appendNumbers(b, a.entry.attempt, a.entry.until), a.entry.result...)
	}
	return appendNumbers(b, a.entry.attempt, a.retryAfter)
}

func decodeAnswer(body []byte) (a answer, err error) {
	r := reader{rest: body}
	a.outcome = dedupe.Outcome(r.number())
	switch a.outcome {
	case dedupe.Acquired:
		a.entry.number, a.entry.attempt, a.entry.takenOver = r.number(), r.number(), r.bool()
	case dedupe.Replay:
		a.entry.attempt, a.entry.until = r.number(), r.number()
		a.entry.result, r.rest = r.rest, nil
	case dedupe.InProgress:
		a.entry.attempt, a.retryAfter = r.number(), r.number()
	default:
		return answer{}, ErrMalformed
	}
	if err := r.end(); err != nil {
		return answer{}, err
	}
	return a, nil
}
