package entry

import (
	"encoding/binary"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
)

// A stored entry is
//
//	version (1 byte), state (1 byte, with flags),
//	number, attempt, first seen, TTL, until (numbers), notify at (a number, if flagged),
//	owner, fingerprint (texts), result (the rest)
//
// Later versions have the same beginning up to the number, so an older program
// that removes a record that it cannot read can keep its fence.
const (
	Version       = 2
	takenOverFlag = 0x80
	notifyFlag    = 0x40
)

// Encode returns the entry as it is stored.
func (e *Entry) Encode() []byte {
	b := make([]byte, 0, 48+len(e.Owner)+len(e.Fingerprint)+len(e.Result))
	b = append(b, Version, byte(e.State))
	if e.TakenOver {
		b[1] |= takenOverFlag
	}
	b = codec.AppendNumbers(b, e.Number, e.Attempt, e.FirstSeen, e.TTL, e.Until)
	if e.NotifyAt != 0 {
		b[1] |= notifyFlag
		b = codec.AppendNumbers(b, e.NotifyAt)
	}
	b = codec.AppendText(codec.AppendText(b, e.Owner), e.Fingerprint)
	return append(b, e.Result...)
}

// Decode fails with [codec.ErrVersion] or [codec.ErrCorrupt]. The entry's
// result is part of b.
func Decode(b []byte) (Entry, error) {
	if _, err := codec.Versioned(b, Version); err != nil {
		return Entry{}, err
	}
	if len(b) < 2 {
		return Entry{}, codec.ErrCorrupt
	}
	e := Entry{State: stateOf(b[1]), TakenOver: b[1]&takenOverFlag != 0}
	r := codec.Reader{Rest: b[2:]}
	e.Number, e.Attempt = r.Number(), r.Number()
	e.FirstSeen, e.TTL, e.Until = r.Number(), r.Number(), r.Number()
	if b[1]&notifyFlag != 0 {
		e.NotifyAt = r.Number()
		r.Failed = r.Failed || e.NotifyAt == 0
	}
	e.Owner, e.Fingerprint = r.Text(), r.Text()
	e.Result = r.Rest
	if r.Failed || !e.valid() {
		return Entry{}, codec.ErrCorrupt
	}
	return e, nil
}

func stateOf(b byte) State { return State(b &^ (takenOverFlag | notifyFlag)) }

func (e *Entry) valid() bool {
	const lastUntil = Never + MaxLease
	switch {
	case e.State < Free || e.State > Counting || e.Number > FenceAt(Never):
		return false
	case e.FirstSeen > codec.MaxNow || e.TTL < 1 || e.TTL > codec.MaxTTL || e.Until > lastUntil:
		return false
	case e.NotifyAt != 0 && (e.State != Held || e.NotifyAt > lastUntil):
		return false
	case len(e.Result) > 0 && e.State != Done || len(e.Result) > dedupe.MaxResultSize:
		return false
	}
	return len(e.Owner) <= dedupe.MaxOwnerSize && len(e.Fingerprint) <= dedupe.MaxFingerprintSize
}

// HeadSize is how much of a record [FenceOf] reads.
const HeadSize = 2 + binary.MaxVarintLen64

// FenceOf returns the fence from the beginning of a record, even a newer one,
// or 0 if there is none.
func FenceOf(head []byte) int64 {
	if len(head) < 2 || head[0] < Version {
		return 0
	}
	r := codec.Reader{Rest: head[2:]}
	e := Entry{State: stateOf(head[1]), Number: r.Number()}
	if head[0] > Version {
		return e.Number
	}
	return e.Fence()
}
