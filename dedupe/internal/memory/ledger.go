package memory

import (
	"bytes"
	"context"
	"crypto/rand"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"flow.internal/capdo/dedupe"
)

// Ledger is a [dedupe.Ledger] in memory.
type Ledger struct {
	Now      func() time.Time
	Identity string

	Mu      sync.Mutex
	Latest  int64 // Unix time in ms
	Fence   int64
	Entries map[string]*Entry
	Changed chan struct{} // closed at each change
	sweepAt int
}

// Entry is a ledger's record of a key.
type Entry struct {
	Held, Done, TakenOver bool
	Owner                 string
	Fence                 int64
	Attempt               int
	Fingerprint, Result   []byte
	FirstSeen, TTL        int64
	LeaseEnd, CompletedAt int64
}

var _ dedupe.Ledger = (*Ledger)(nil)

var ledgers atomic.Int64

// NewLedger returns an empty ledger that reads the time from now; nil means
// [time.Now]. A wait always takes real time.
func NewLedger(now func() time.Time) *Ledger {
	if now == nil {
		now = time.Now
	}
	identity := "dedupe.memory/" + strconv.FormatInt(ledgers.Add(1), 10)
	return &Ledger{
		Now:      now,
		Identity: identity,
		Entries:  map[string]*Entry{},
		Changed:  make(chan struct{}),
	}
}

// Name returns "dedupe.memory".
func (l *Ledger) Name() string { return "dedupe.memory" }

// Claim asks for the right to do a key's work; see [dedupe.Ledger].
func (l *Ledger) Claim(
	ctx context.Context, key []byte, o dedupe.ClaimOptions,
) (dedupe.Claim, error) {
	ttl, err := checkClaim(ctx, key, &o)
	if err != nil {
		return dedupe.Claim{}, &dedupe.Error{Op: "Claim", Err: err}
	}
	if o.Owner == "" {
		o.Owner = rand.Text()
	}
	end := time.Now().Add(o.Wait)
	for {
		claim, changed, err := l.claim(key, o, ttl)
		if err != nil {
			return dedupe.Claim{}, &dedupe.Error{Op: "Claim", Err: err}
		}
		if claim.Outcome != dedupe.InProgress || time.Until(end) <= 0 {
			return claim, nil
		}
		timer := time.NewTimer(min(time.Until(end), claim.RetryAfter))
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return dedupe.Claim{}, &dedupe.Error{Op: "Claim", Err: context.Cause(ctx)}
		}
		timer.Stop()
	}
}

// checkClaim returns the TTL in ms, or what is wrong with a call of Claim.
func checkClaim(ctx context.Context, key []byte, o *dedupe.ClaimOptions) (ms int64, err error) {
	ms, err = dedupe.TTLMillis(o.TTL, 0)
	if err != nil {
		return 0, err
	}
	if err := o.Check(key); err != nil {
		return 0, err
	}
	return ms, context.Cause(ctx)
}

// claim makes one attempt to claim, without waiting.
func (l *Ledger) claim(
	key []byte, o dedupe.ClaimOptions, ttl int64,
) (dedupe.Claim, chan struct{}, error) {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	claim := dedupe.Claim{Ledger: l.Identity, Key: bytes.Clone(key), Owner: o.Owner}
	e := l.entry(key)
	if e != nil && (e.Held || e.Done) && !bytes.Equal(e.Fingerprint, o.Fingerprint) {
		return claim, nil, dedupe.ErrMismatch
	}
	switch {
	case e != nil && e.Done:
		claim.Outcome, claim.Result = dedupe.Replay, bytes.Clone(e.Result)
		claim.CompletedAt = time.UnixMilli(e.CompletedAt)
		claim.Attempt = e.Attempt
		return claim, nil, nil
	case e != nil && e.Held && l.Latest < e.LeaseEnd && e.Owner != o.Owner:
		claim.Outcome = dedupe.InProgress
		claim.RetryAfter = time.Duration(e.LeaseEnd-l.Latest) * time.Millisecond
		claim.Attempt = e.Attempt
		return claim, l.Changed, nil
	case e == nil || !e.Held || l.Latest >= e.LeaseEnd:
		e = l.acquire(key, e, o, ttl)
	}
	claim.Outcome, claim.Fence = dedupe.Acquired, e.Fence
	claim.Attempt, claim.TakenOver = e.Attempt, e.TakenOver
	return claim, nil, nil
}

func (l *Ledger) acquire(key []byte, before *Entry, o dedupe.ClaimOptions, ttl int64) *Entry {
	l.Fence++
	e := &Entry{
		Held: true, Owner: o.Owner, Fence: l.Fence, Attempt: 1,
		Fingerprint: bytes.Clone(o.Fingerprint), FirstSeen: l.Latest, TTL: ttl,
	}
	lease, _ := dedupe.LeaseMillis(o.Lease)
	e.LeaseEnd = l.Latest + lease
	if before != nil {
		e.Attempt, e.TakenOver = before.Attempt+1, before.Held
		e.FirstSeen, e.TTL = before.FirstSeen, before.TTL
	}
	l.Entries[string(key)] = e
	sweep(l.Entries, &l.sweepAt, func(e *Entry) bool { return e.over(l.Latest) })
	return e
}

// clockSlack is how far the clock may be set back, in ms. If it is set back
// further, the later times are considered wrong.
const clockSlack = 60_000

// steady returns the present time by a clock that does not run backwards,
// unless the later time was wrong.
func steady(latest, clock int64) int64 {
	if latest > clock+clockSlack {
		return clock
	}
	return max(latest, clock)
}

// entry returns the key's entry, or nil if it has expired, and moves the clock.
func (l *Ledger) entry(key []byte) *Entry {
	clock := l.Now().UnixMilli()
	l.Latest = steady(l.Latest, clock)
	e := l.Entries[string(key)]
	if e == nil {
		return nil
	}
	e.rebase(clock)
	if e.over(l.Latest) {
		return nil
	}
	return e
}

// over reports whether the entry has expired.
func (e *Entry) over(now int64) bool {
	return now >= e.FirstSeen+e.TTL && !(e.Held && now < e.LeaseEnd+dedupe.KeptAfter(e.TTL))
}

// rebase changes times that are ahead of the clock as if they had happened now.
func (e *Entry) rebase(clock int64) {
	if ahead := e.FirstSeen - clock; ahead > clockSlack {
		e.FirstSeen, e.LeaseEnd = clock, e.LeaseEnd-ahead
	}
	if e.LeaseEnd > clock+clockSlack+dedupe.MaxLease.Milliseconds() {
		e.LeaseEnd = clock + dedupe.MaxLease.Milliseconds()
	}
	if e.CompletedAt > clock+clockSlack {
		e.CompletedAt = clock
	}
}

// Complete stores a claim's result; see [dedupe.Ledger].
func (l *Ledger) Complete(ctx context.Context, claim dedupe.Claim, result []byte) error {
	if err := dedupe.CheckResult(result); err != nil {
		return &dedupe.Error{Op: "Complete", Err: err}
	}
	return l.update(ctx, "Complete", claim, func(e *Entry) error {
		if e.Done {
			return nil
		}
		if !e.Held {
			return dedupe.ErrFenced
		}
		kept := l.Latest + dedupe.KeptAfter(e.TTL)
		if l.Latest >= e.FirstSeen+e.TTL {
			kept = max(kept, e.LeaseEnd)
		}
		e.TTL = max(e.TTL, kept-e.FirstSeen)
		e.Held, e.Done, e.Result, e.CompletedAt = false, true, bytes.Clone(result), l.Latest
		return nil
	})
}

// Extend extends a claim's lease; see [dedupe.Ledger].
func (l *Ledger) Extend(ctx context.Context, claim dedupe.Claim, lease time.Duration) error {
	ms, err := dedupe.LeaseMillis(lease)
	if err != nil {
		return &dedupe.Error{Op: "Extend", Err: err}
	}
	return l.update(ctx, "Extend", claim, func(e *Entry) error {
		if !e.Held {
			return dedupe.ErrFenced
		}
		e.LeaseEnd = max(e.LeaseEnd, l.Latest+ms)
		return nil
	})
}

// Release gives a claim back; see [dedupe.Ledger].
func (l *Ledger) Release(ctx context.Context, claim dedupe.Claim) error {
	return l.update(ctx, "Release", claim, func(e *Entry) error {
		if e.Done {
			return dedupe.ErrFenced
		}
		e.Held = false
		return nil
	})
}

// update changes the entry that a claim holds, or was the last to hold.
func (l *Ledger) update(
	ctx context.Context, op string, claim dedupe.Claim, change func(*Entry) error,
) error {
	if err := l.changeEntry(ctx, claim, change); err != nil {
		return &dedupe.Error{Op: op, Err: err}
	}
	return nil
}

func (l *Ledger) changeEntry(
	ctx context.Context, claim dedupe.Claim, change func(*Entry) error,
) error {
	if err := claim.Check(l.Identity); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	l.Mu.Lock()
	defer l.Mu.Unlock()
	e := l.entry(claim.Key)
	if e == nil || e.Fence != claim.Fence || e.Owner != claim.Owner {
		return dedupe.ErrFenced
	}
	if err := change(e); err != nil {
		return err
	}
	l.wake()
	return nil
}

func (l *Ledger) wake() {
	close(l.Changed)
	l.Changed = make(chan struct{})
}

// Forget removes a key's record; see [dedupe.Ledger].
func (l *Ledger) Forget(ctx context.Context, key []byte) error {
	if err := check(ctx, key); err != nil {
		return &dedupe.Error{Op: "Forget", Err: err}
	}
	l.Mu.Lock()
	defer l.Mu.Unlock()
	delete(l.Entries, string(key))
	l.wake()
	return nil
}
