package dodedupe

import (
	"encoding/binary"
	"math"
	"time"

	"flow.internal/capdo/dedupe"
)

// entry is what a ledger or a sequencer knows of a key. Its methods are the transitions: they decide and change nothing, and know the time
// only from their caller. The zero entry is that of a key nobody has seen.
type entry struct {
	state     state
	takenOver bool  // the lease of the holder before ran out
	number    int64 // the fence of the last claim, or the number in a sequence
	attempt   int64 // claims within the window
	firstSeen int64 // Unix time in ms, as all times here, by the object's clock
	ttl       int64
	until     int64 // held: the end of the lease; done: when it was completed
	watch     int64 // held: when to tell that the holder has died; 0: not
	owner     string
	// fingerprint of the payload; it outlives the completion, with which claims are compared, too.
	fingerprint string
	result      []byte // done only
}

type state byte

const (
	absent   state = iota
	free           // released
	held           // until the lease is over, and then until somebody takes it over
	done           // completed
	numbered       // in a sequence, or reserved in a store
	counting       // a sequence's last number
)

const (
	maxLease = int64(dedupe.MaxLease / time.Millisecond)
	maxWait  = int64(dedupe.MaxWait / time.Millisecond)
	// never is beyond every time that an entry may have.
	never = maxNow + maxTTL
)

// request is a claim, or what Next asks.
type request struct {
	owner, fingerprint string
	lease, ttl         int64
}

// holder says whose claim is to be changed.
type holder struct {
	owner string
	fence int64
}

// expires is when the entry stops to count: when its window is over. If it is
// held, a lease that ran out counts for some time after that: a successor has
// to know that the work may have been done in part.
func (e *entry) expires() int64 {
	end := e.firstSeen + e.ttl
	if e.state == held {
		end = max(end, e.until+dedupe.KeptAfter(e.ttl))
	}
	return min(end, never-1)
}

// kept is until when the entry stays stored; 0 for a key nobody has seen.
func (e *entry) kept() int64 {
	switch e.state {
	case absent:
		return 0
	case counting:
		return never
	}
	return e.expires()
}

// due is when the alarm has something to do for the entry: to tell of its holder, and then to remove it.
func (e *entry) due() int64 {
	if e.watch != 0 {
		return e.watch
	}
	return e.kept()
}

// fenced is the entry's fence, if its number is one that a holder was given.
func (e *entry) fenced() int64 {
	if e.state == free || e.state == held || e.state == done {
		return e.number
	}
	return 0
}

// at returns the entry as it counts at a time. That of a holder who has died
// counts until somebody has been told of it, by the alarm, or because he takes
// over.
func (e entry) at(now int64) entry {
	if e.state == absent || now >= e.expires() && e.watch == 0 {
		return entry{}
	}
	return e
}

// latest is a time that the object's clock has shown.
func (e *entry) latest() int64 {
	if e.state == done {
		return max(e.firstSeen, e.until)
	}
	return e.firstSeen
}

// ahead reports whether the entry has a time that cannot be, so that the clock
// was wrong when it was written, or is now.
func (e *entry) ahead(now int64) bool {
	return e.latest() > now+clockSlack || e.state == held && e.until > now+clockSlack+maxLease
}

// rebased returns an entry that is ahead as if what it says had happened now:
// its lease is as long as it was, but for one that somebody claimed whose key
// was first seen earlier, of which it is only known that it is not longer than
// a lease may be.
func (e entry) rebased(now int64) entry {
	if ahead := e.firstSeen - now; ahead > clockSlack {
		e.firstSeen = now
		if e.state == held {
			e.until = max(e.until-ahead, 1)
		}
	}
	switch e.state {
	case held:
		e.until = min(e.until, now+maxLease)
	case done:
		e.until = min(e.until, now)
	}
	if e.watch != 0 {
		e.watch = min(e.watch, e.until)
	}
	return e
}

// claim returns what becomes of the entry, and of the claim. fence is the one to give if it acquires.
func (e entry) claim(r request, now, fence int64) (entry, dedupe.Outcome, error) {
	e = e.at(now)
	leased := e.state == held && now < e.until
	switch {
	case (e.state == held || e.state == done) && e.fingerprint != r.fingerprint:
		return e, 0, dedupe.ErrMismatch
	case e.state == done:
		return e, dedupe.Replay, nil
	case leased && e.owner == r.owner:
		return e, dedupe.Acquired, nil
	case leased:
		return e, dedupe.InProgress, nil
	}
	next := entry{
		state: held, takenOver: e.state == held, number: fence, attempt: e.attempt + 1, firstSeen: now, ttl: r.ttl, until: now + r.lease,
		owner: r.owner, fingerprint: r.fingerprint,
	}
	if e.state != absent { // the window's base is when the key was first seen
		next.firstSeen, next.ttl = e.firstSeen, e.ttl
	}
	return next, dedupe.Acquired, nil
}

// holds reports whether the last claim was h's.
func (e *entry) holds(h holder) bool { return e.number == h.fence && e.owner == h.owner }

// complete returns the entry with its result. The second time it returns it as it is.
func (e entry) complete(h holder, result []byte, now int64) (next entry, changed bool, err error) {
	e = e.at(now)
	switch {
	case len(result) > dedupe.MaxResultSize:
		return e, false, dedupe.ErrResultTooLarge
	case e.state == done && e.holds(h):
		return e, false, nil
	case e.state != held || !e.holds(h):
		return e, false, dedupe.ErrFenced
	}
	kept := now + dedupe.KeptAfter(e.ttl)
	if now >= e.firstSeen+e.ttl { // the window is over: the result is kept as long as the lease would have lasted, at least
		kept = max(kept, e.until)
	}
	e.ttl = min(max(e.ttl, kept-e.firstSeen), maxTTL)
	e.state, e.until, e.watch, e.result = done, now, 0, result
	return e, true, nil
}

// extend returns the entry with a lease that lasts from now, or as it is if that would be shorter.
func (e entry) extend(h holder, lease, now int64) (next entry, changed bool, err error) {
	e = e.at(now)
	if e.state != held || !e.holds(h) {
		return e, false, dedupe.ErrFenced
	}
	changed = now+lease > e.until
	e.until = max(e.until, now+lease)
	return e, changed, nil
}

// release returns the entry free. The second time it returns it as it is.
func (e entry) release(h holder, now int64) (next entry, changed bool, err error) {
	e = e.at(now)
	switch {
	case e.state == free && e.holds(h):
		return e, false, nil
	case e.state != held || !e.holds(h):
		return e, false, dedupe.ErrFenced
	}
	e.state, e.until, e.watch, e.takenOver = free, 0, 0, false
	return e, true, nil
}

// enter returns the entry with a number, and whether it is this owner's call that made it.
func (e entry) enter(r request, now, number int64) (next entry, inserted bool, err error) {
	e = e.at(now)
	if e.state != absent {
		if e.fingerprint != r.fingerprint {
			return e, false, dedupe.ErrMismatch
		}
		return e, e.owner == r.owner, nil
	}
	return entry{state: numbered, number: number, firstSeen: now, ttl: r.ttl, owner: r.owner, fingerprint: r.fingerprint}, true, nil
}

// A stored entry is
//
//	version (1 byte), state (1 byte, with flags), number, attempt, firstSeen, ttl, until (uvarints), watch (uvarint, if flagged),
//	owner, fingerprint (1 byte of length each, and so many bytes), result (the rest)
//
// Version 1 is that of Store's records, which ledgers never meet. Later
// versions begin likewise up to the number: an older program that removes a
// record that it cannot read keeps its fence.
const (
	entryVersion  = 2
	takenOverFlag = 0x80
	watchFlag     = 0x40
)

func (e *entry) encode() []byte {
	b := make([]byte, 0, 48+len(e.owner)+len(e.fingerprint)+len(e.result))
	b = append(b, entryVersion, byte(e.state))
	if e.takenOver {
		b[1] |= takenOverFlag
	}
	b = appendNumbers(b, e.number, e.attempt, e.firstSeen, e.ttl, e.until)
	if e.watch != 0 {
		b[1] |= watchFlag
		b = appendNumbers(b, e.watch)
	}
	b = appendText(appendText(b, e.owner), e.fingerprint)
	return append(b, e.result...)
}

// decodeEntry fails with ErrVersion or ErrCorrupt. The entry's result is part of b.
func decodeEntry(b []byte) (entry, error) {
	if _, err := versioned(b, entryVersion); err != nil {
		return entry{}, err
	}
	if len(b) < 2 {
		return entry{}, ErrCorrupt
	}
	e := entry{state: state(b[1] &^ (takenOverFlag | watchFlag)), takenOver: b[1]&takenOverFlag != 0}
	r := reader{rest: b[2:]}
	e.number, e.attempt, e.firstSeen, e.ttl, e.until = r.number(), r.number(), r.number(), r.number(), r.number()
	if b[1]&watchFlag != 0 {
		e.watch = r.number()
		r.failed = r.failed || e.watch == 0
	}
	e.owner, e.fingerprint = r.text(), r.text()
	e.result = r.rest
	if r.failed || !e.valid() {
		return entry{}, ErrCorrupt
	}
	return e, nil
}

func (e *entry) valid() bool {
	return e.state >= free && e.state <= counting && e.number <= seed(never) && e.firstSeen <= maxNow && e.ttl >= 1 && e.ttl <= maxTTL && e.until <= never+maxLease &&
		(e.watch == 0 || e.state == held && e.watch <= never+maxLease) && (len(e.result) == 0 || e.state == done) && len(e.result) <= dedupe.MaxResultSize &&
		len(e.owner) <= dedupe.MaxOwnerSize && len(e.fingerprint) <= dedupe.MaxFingerprintSize
}

// headSize is how much of a record has what givenFence reads.
const headSize = 2 + binary.MaxVarintLen64

// givenFence returns the fence of a record by its beginning, also that of a
// newer one; 0 if there is none.
func givenFence(head []byte) int64 {
	if len(head) < 2 || head[0] < entryVersion {
		return 0
	}
	r := reader{rest: head[2:]}
	e := entry{state: state(head[1] &^ (takenOverFlag | watchFlag)), number: r.number()}
	if head[0] > entryVersion {
		return e.number
	}
	return e.fenced()
}

// appendText appends a text of at most 127 bytes, with its length in front.
func appendText[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader takes a message or a record apart. Once it has failed it returns zeros.
type reader struct {
	rest   []byte
	failed bool
}

// versioned begins to read what is stored in a format of its own, which begins
// with its version. It fails with ErrVersion for a newer one, and with
// ErrCorrupt.
func versioned(b []byte, version byte) (*reader, error) {
	switch {
	case len(b) > 0 && b[0] > version:
		return nil, ErrVersion
	case len(b) == 0 || b[0] != version:
		return nil, ErrCorrupt
	}
	return &reader{rest: b[1:]}, nil
}

// number reads a uvarint in its shortest form, at most 2^63-1.
func (r *reader) number() int64 {
	n, size := binary.Uvarint(r.rest)
	if r.failed || size <= 0 || n > math.MaxInt64 || size > 1 && r.rest[size-1] == 0 {
		r.failed = true
		return 0
	}
	r.rest = r.rest[size:]
	return int64(n)
}

func (r *reader) text() string {
	n := r.number()
	if r.failed || n > int64(len(r.rest)) {
		r.failed = true
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}

func (r *reader) bool() bool {
	n := r.number()
	r.failed = r.failed || n > 1
	return n == 1
}

// end returns ErrMalformed unless everything has been read, and well.
func (r *reader) end() error {
	if r.failed || len(r.rest) > 0 {
		return ErrMalformed
	}
	return nil
}
