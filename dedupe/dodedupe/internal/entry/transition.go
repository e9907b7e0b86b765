package entry

import (
	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
)

// Request is a request to claim, to reserve, or for a number.
type Request struct {
	Owner, Fingerprint string
	Lease, TTL         int64
}

// Check returns the error of an invalid claim.
func (r *Request) Check() error {
	switch {
	case r.Lease < 1 || r.Lease > MaxLease:
		return dedupe.ErrInvalidLease
	case r.Owner == "" || len(r.Owner) > dedupe.MaxOwnerSize:
		return dedupe.ErrOwnerTooLarge
	}
	return r.CheckRecord()
}

// CheckRecord returns the error of a request that cannot be stored.
func (r *Request) CheckRecord() error {
	switch {
	case r.TTL < 1 || r.TTL > codec.MaxTTL:
		return dedupe.ErrInvalidTTL
	case len(r.Fingerprint) > dedupe.MaxFingerprintSize:
		return dedupe.ErrFingerprintTooLarge
	}
	return nil
}

// Holder identifies a claim to change.
type Holder struct {
	Owner string
	Fence int64
}

// Answer is the result of a claim.
type Answer struct {
	Outcome dedupe.Outcome
	Entry   Entry
	// RetryAfter is the time until the lease ends, if in progress; 0 if the key
	// can be claimed now.
	RetryAfter int64
}

// Claim returns the entry after a claim, and the claim's outcome. fence is the
// claim's fence if it acquires the key.
func (e Entry) Claim(r Request, now, fence int64) (Entry, dedupe.Outcome, error) {
	e = e.At(now)
	leased := e.State == Held && now < e.Until
	switch {
	case (e.State == Held || e.State == Done) && e.Fingerprint != r.Fingerprint:
		return e, 0, dedupe.ErrMismatch
	case e.State == Done:
		return e, dedupe.Replay, nil
	case leased && e.Owner == r.Owner:
		return e, dedupe.Acquired, nil
	case leased:
		return e, dedupe.InProgress, nil
	}
	next := Entry{
		State:       Held,
		TakenOver:   e.State == Held,
		Number:      fence,
		Attempt:     e.Attempt + 1,
		FirstSeen:   now,
		TTL:         r.TTL,
		Until:       now + r.Lease,
		Owner:       r.Owner,
		Fingerprint: r.Fingerprint,
	}
	if e.State != Absent { // the window's base is when the key was first seen
		next.FirstSeen, next.TTL = e.FirstSeen, e.TTL
	}
	return next, dedupe.Acquired, nil
}

// HeldBy reports whether h made the last claim.
func (e *Entry) HeldBy(h Holder) bool { return e.Number == h.Fence && e.Owner == h.Owner }

// Complete returns the entry with its result, or unchanged if the holder has
// already completed it.
func (e Entry) Complete(h Holder, result []byte, now int64) (next Entry, changed bool, err error) {
	e = e.At(now)
	switch {
	case len(result) > dedupe.MaxResultSize:
		return e, false, dedupe.ErrResultTooLarge
	case e.State == Done && e.HeldBy(h):
		return e, false, nil
	case e.State != Held || !e.HeldBy(h):
		return e, false, dedupe.ErrFenced
	}
	kept := now + dedupe.KeptAfter(e.TTL)
	// The window is over: keep the result at least until the end of the lease.
	if now >= e.FirstSeen+e.TTL {
		kept = max(kept, e.Until)
	}
	e.TTL = min(max(e.TTL, kept-e.FirstSeen), codec.MaxTTL)
	e.State, e.Until, e.NotifyAt, e.Result = Done, now, 0, result
	return e, true, nil
}

// Extend returns the entry with a lease that lasts from now, or unchanged if
// that would shorten it.
func (e Entry) Extend(h Holder, lease, now int64) (next Entry, changed bool, err error) {
	e = e.At(now)
	if e.State != Held || !e.HeldBy(h) {
		return e, false, dedupe.ErrFenced
	}
	changed = now+lease > e.Until
	e.Until = max(e.Until, now+lease)
	return e, changed, nil
}

// Release returns the free entry, or unchanged if the holder has already
// released it.
func (e Entry) Release(h Holder, now int64) (next Entry, changed bool, err error) {
	e = e.At(now)
	switch {
	case e.State == Free && e.HeldBy(h):
		return e, false, nil
	case e.State != Held || !e.HeldBy(h):
		return e, false, dedupe.ErrFenced
	}
	e.State, e.Until, e.NotifyAt, e.TakenOver = Free, 0, 0, false
	return e, true, nil
}

// Enter returns the entry with a number, and whether this owner's call made it.
func (e Entry) Enter(r Request, now, number int64) (next Entry, inserted bool, err error) {
	e = e.At(now)
	if e.State != Absent {
		if e.Fingerprint != r.Fingerprint {
			return e, false, dedupe.ErrMismatch
		}
		return e, e.Owner == r.Owner, nil
	}
	next = Entry{
		State:       Numbered,
		Number:      number,
		FirstSeen:   now,
		TTL:         r.TTL,
		Owner:       r.Owner,
		Fingerprint: r.Fingerprint,
	}
	return next, true, nil
}
