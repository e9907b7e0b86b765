// Package entry has the record of a key in a ledger or a sequencer, and the
// transitions between its states. The transitions only decide; they store
// nothing, and get the time from their caller. All times are Unix times in ms,
// by the object's clock.
package entry

import (
	"errors"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
)

// Entry is the record of a key. The zero Entry is that of a key that has not
// been seen.
type Entry struct {
	State     State
	TakenOver bool  // the lease of the holder before ran out
	Number    int64 // the fence of the last claim, or the number in a sequence
	Attempt   int64 // claims within the window
	FirstSeen int64
	TTL       int64
	Until     int64 // Held: the end of the lease; Done: when it was completed
	NotifyAt  int64 // Held: when to notify that the holder has died; 0: never
	Owner     string
	// Fingerprint is that of the payload. It stays after the completion,
	// because later claims are compared with it.
	Fingerprint string
	Result      []byte // Done only
}

// State is the state of a key.
type State byte

// States.
const (
	Absent   State = iota
	Free           // released
	Held           // also when the lease is over, until it is taken over
	Done           // completed
	Numbered       // in a sequence, or reserved in a store
	Counting       // a sequence's last number
)

const (
	MaxLease = int64(dedupe.MaxLease / time.Millisecond)
	// Never is later than every time that an entry may have.
	Never = codec.MaxNow + codec.MaxTTL
	// ClockSlack is how much, in ms, the clocks of an object's successive
	// machines may differ, and how far a clock may be set back: then time
	// stands still. If the difference is larger, the clock was wrong before, or
	// is wrong now: entries with later times are dated anew.
	ClockSlack = 60_000
	// NewerRetry is the time, in ms, after which a program tries again to read
	// a newer program's record.
	NewerRetry = 60_000
)

// Keyed is an entry with its key.
type Keyed struct {
	Key   string
	Entry Entry
}

// Found is the record that a Forget saw and should remove.
type Found struct {
	What  What
	Fence int64
}

// What says whether a key has a record, and whether it can be read.
type What int64

// Values of What.
const (
	Nothing    What = iota // no record
	Readable               // a record, with a fence
	Unreadable             // a record that cannot be read
)

// Expires is the time when the entry stops counting, because its window is
// over. A held entry whose lease ran out counts for some time after that,
// because the next holder must know that the work may have been done in part.
func (e *Entry) Expires() int64 {
	end := e.FirstSeen + e.TTL
	if e.State == Held {
		end = max(end, e.Until+dedupe.KeptAfter(e.TTL))
	}
	return min(end, Never-1)
}

// Kept is the time until which the entry stays stored; 0 for a key not seen.
func (e *Entry) Kept() int64 {
	switch e.State {
	case Absent:
		return 0
	case Counting:
		return Never
	}
	return e.Expires()
}

// Due is the time when the alarm must handle the entry: first to give notice of
// its holder, later to remove it.
func (e *Entry) Due() int64 {
	if e.NotifyAt != 0 {
		return e.NotifyAt
	}
	return e.Kept()
}

// Fence is the entry's fence, or 0 if its number is not a fence.
func (e *Entry) Fence() int64 {
	if e.State == Free || e.State == Held || e.State == Done {
		return e.Number
	}
	return 0
}

// FenceAt is the smallest fence that may be given at a time: that time in µs.
func FenceAt(now int64) int64 { return now * 1000 }

// At returns the entry as it counts at a time. The entry of a holder that died
// counts until the alarm has given notice of it, or until it is taken over.
func (e Entry) At(now int64) Entry {
	if e.State == Absent || now >= e.Expires() && e.NotifyAt == 0 {
		return Entry{}
	}
	return e
}

// Latest is the latest time in the entry, which the object's clock has shown.
func (e *Entry) Latest() int64 {
	if e.State == Done {
		return max(e.FirstSeen, e.Until)
	}
	return e.FirstSeen
}

// Ahead reports whether the entry has an impossible time, so that the clock was
// wrong when it was written, or is wrong now.
func (e *Entry) Ahead(now int64) bool {
	return e.Latest() > now+ClockSlack || e.State == Held && e.Until > now+ClockSlack+MaxLease
}

// Rebased returns an entry that is ahead as if it had been written now, with a
// lease of the same length. If the key was first seen before that, the length
// is unknown: the lease is at most MaxLease.
func (e Entry) Rebased(now int64) Entry {
	if ahead := e.FirstSeen - now; ahead > ClockSlack {
		e.FirstSeen = now
		if e.State == Held {
			e.Until = max(e.Until-ahead, 1)
		}
	}
	switch e.State {
	case Held:
		e.Until = min(e.Until, now+MaxLease)
	case Done:
		e.Until = min(e.Until, now)
	}
	if e.NotifyAt != 0 {
		e.NotifyAt = min(e.NotifyAt, e.Until)
	}
	return e
}

// Postpone returns when an unreadable record that is due for a notice is due
// again: a newer program's record later, a corrupt one never.
func Postpone(unreadable error, now int64) (notify bool, due int64) {
	if errors.Is(unreadable, codec.ErrVersion) {
		return true, now + NewerRetry
	}
	return false, Never
}
