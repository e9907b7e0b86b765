package dedupetest

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

// MemoryLedger is the reference [dedupe.Ledger]: what the others do, without what makes it hard. It is for tests; it forgets everything
// when the process ends, and frees nothing before.
type MemoryLedger struct {
	now      func() time.Time
	identity string

	mu      sync.Mutex
	latest  int64 // Unix time in ms
	fence   int64
	entries map[string]*memoryEntry
	changed chan struct{} // closed at each change
}

type memoryEntry struct {
	held, done, takenOver bool
	owner                 string
	fence                 int64
	attempt               int
	fingerprint, result   []byte
	firstSeen, ttl        int64
	leaseEnd, completed   int64
}

var _ dedupe.Ledger = (*MemoryLedger)(nil)

var memoryLedgers atomic.Int64

// NewMemoryLedger returns an empty ledger that reads the time from now; nil means [time.Now]. A wait always takes real time.
func NewMemoryLedger(now func() time.Time) *MemoryLedger {
	if now == nil {
		now = time.Now
	}
	identity := "dedupe.memory/" + strconv.FormatInt(memoryLedgers.Add(1), 10)
	return &MemoryLedger{now: now, identity: identity, entries: map[string]*memoryEntry{}, changed: make(chan struct{})}
}

// Name returns "dedupe.memory".
func (m *MemoryLedger) Name() string { return "dedupe.memory" }

// Claim asks for the right to do a key's work; see [dedupe.Ledger].
func (m *MemoryLedger) Claim(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
	ttl, err := dedupe.TTLMillis(o.TTL, 0)
	if err == nil {
		err = o.Check(key)
	}
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return dedupe.Claim{}, &dedupe.Error{Op: "Claim", Err: err}
	}
	if o.Owner == "" {
		o.Owner = rand.Text()
	}
	end := time.Now().Add(o.Wait)
	for {
		claim, changed, err := m.claim(key, o, ttl)
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

// claim is one step.
func (m *MemoryLedger) claim(key []byte, o dedupe.ClaimOptions, ttl int64) (dedupe.Claim, chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	claim := dedupe.Claim{Ledger: m.identity, Key: bytes.Clone(key), Owner: o.Owner}
	e := m.entry(key)
	if e != nil && (e.held || e.done) && !bytes.Equal(e.fingerprint, o.Fingerprint) {
		return claim, nil, dedupe.ErrMismatch
	}
	switch {
	case e != nil && e.done:
		claim.Outcome, claim.Result, claim.CompletedAt = dedupe.Replay, bytes.Clone(e.result), time.UnixMilli(e.completed)
		claim.Attempt = e.attempt
		return claim, nil, nil
	case e != nil && e.held && m.latest < e.leaseEnd && e.owner != o.Owner:
		claim.Outcome, claim.RetryAfter = dedupe.InProgress, time.Duration(e.leaseEnd-m.latest)*time.Millisecond
		claim.Attempt = e.attempt
		return claim, m.changed, nil
	case e == nil || !e.held || m.latest >= e.leaseEnd:
		e = m.acquire(key, e, o, ttl)
	}
	claim.Outcome, claim.Fence, claim.Attempt, claim.TakenOver = dedupe.Acquired, e.fence, e.attempt, e.takenOver
	return claim, nil, nil
}

func (m *MemoryLedger) acquire(key []byte, before *memoryEntry, o dedupe.ClaimOptions, ttl int64) *memoryEntry {
	m.fence++
	e := &memoryEntry{
		held: true, owner: o.Owner, fence: m.fence, attempt: 1, fingerprint: bytes.Clone(o.Fingerprint), firstSeen: m.latest, ttl: ttl,
	}
	lease, _ := dedupe.LeaseMillis(o.Lease)
	e.leaseEnd = m.latest + lease
	if before != nil {
		e.attempt, e.firstSeen, e.ttl, e.takenOver = before.attempt+1, before.firstSeen, before.ttl, before.held
	}
	m.entries[string(key)] = e
	return e
}

// clockSlack is how far the clock may be set back, in ms, before what is known
// of later times counts as wrong.
const clockSlack = 60_000

// steady returns the time by a clock that does not run backwards, unless it was wrong.
func steady(latest, clock int64) int64 {
	if latest > clock+clockSlack {
		return clock
	}
	return max(latest, clock)
}

// entry returns the key's entry if it still counts, and moves the clock.
func (m *MemoryLedger) entry(key []byte) *memoryEntry {
	clock := m.now().UnixMilli()
	m.latest = steady(m.latest, clock)
	e := m.entries[string(key)]
	if e == nil {
		return nil
	}
	e.rebase(clock)
	if m.latest >= e.firstSeen+e.ttl && !(e.held && m.latest < e.leaseEnd+dedupe.KeptAfter(e.ttl)) {
		return nil
	}
	return e
}

// rebase has what happened while the clock was ahead count as if it happened now.
func (e *memoryEntry) rebase(clock int64) {
	if ahead := e.firstSeen - clock; ahead > clockSlack {
		e.firstSeen, e.leaseEnd = clock, e.leaseEnd-ahead
	}
	if e.leaseEnd > clock+clockSlack+dedupe.MaxLease.Milliseconds() {
		e.leaseEnd = clock + dedupe.MaxLease.Milliseconds()
	}
	if e.completed > clock+clockSlack {
		e.completed = clock
	}
}

// Complete stores a claim's result; see [dedupe.Ledger].
func (m *MemoryLedger) Complete(ctx context.Context, claim dedupe.Claim, result []byte) error {
	if err := dedupe.CheckResult(result); err != nil {
		return &dedupe.Error{Op: "Complete", Err: err}
	}
	return m.update(ctx, "Complete", claim, func(e *memoryEntry) error {
		if e.done {
			return nil
		}
		if !e.held {
			return dedupe.ErrFenced
		}
		kept := m.latest + dedupe.KeptAfter(e.ttl)
		if m.latest >= e.firstSeen+e.ttl {
			kept = max(kept, e.leaseEnd)
		}
		e.ttl = max(e.ttl, kept-e.firstSeen)
		e.held, e.done, e.result, e.completed = false, true, bytes.Clone(result), m.latest
		return nil
	})
}

// Extend has a claim's lease last longer; see [dedupe.Ledger].
func (m *MemoryLedger) Extend(ctx context.Context, claim dedupe.Claim, lease time.Duration) error {
	ms, err := dedupe.LeaseMillis(lease)
	if err != nil {
		return &dedupe.Error{Op: "Extend", Err: err}
	}
	return m.update(ctx, "Extend", claim, func(e *memoryEntry) error {
		if !e.held {
			return dedupe.ErrFenced
		}
		e.leaseEnd = max(e.leaseEnd, m.latest+ms)
		return nil
	})
}

// Release gives a claim back; see [dedupe.Ledger].
func (m *MemoryLedger) Release(ctx context.Context, claim dedupe.Claim) error {
	return m.update(ctx, "Release", claim, func(e *memoryEntry) error {
		if e.done {
			return dedupe.ErrFenced
		}
		e.held = false
		return nil
	})
}

// update changes the entry that a claim holds, or held last.
func (m *MemoryLedger) update(ctx context.Context, op string, claim dedupe.Claim, change func(*memoryEntry) error) error {
	err := claim.Check(m.identity)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		e := m.entry(claim.Key)
		if e == nil || e.fence != claim.Fence || e.owner != claim.Owner {
			err = dedupe.ErrFenced
		} else {
			err = change(e)
		}
	}
	if err != nil {
		return &dedupe.Error{Op: op, Err: err}
	}
	m.wake()
	return nil
}

func (m *MemoryLedger) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// Forget removes a key's record; see [dedupe.Ledger].
func (m *MemoryLedger) Forget(ctx context.Context, key []byte) error {
	if err := check(ctx, key); err != nil {
		return &dedupe.Error{Op: "Forget", Err: err}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.entries, string(key))
	m.wake()
	return nil
}

// MemorySequencer is the reference [dedupe.Sequencer], for tests.
type MemorySequencer struct {
	now func() time.Time

	mu      sync.Mutex
	latest  int64
	last    map[string]int64 // by stream
	entries map[[2]string]memorySeq
}

type memorySeq struct {
	n                  int64
	hash               []byte
	firstSeen, expires int64
}

var _ dedupe.Sequencer = (*MemorySequencer)(nil)

// NewMemorySequencer returns a sequencer without streams that reads the time from now; nil means [time.Now].
func NewMemorySequencer(now func() time.Time) *MemorySequencer {
	if now == nil {
		now = time.Now
	}
	return &MemorySequencer{now: now, last: map[string]int64{}, entries: map[[2]string]memorySeq{}}
}

// Name returns "dedupe.memory".
func (m *MemorySequencer) Name() string { return "dedupe.memory" }

// Next returns the number of an entry; see [dedupe.Sequencer].
func (m *MemorySequencer) Next(ctx context.Context, stream, key, payloadHash []byte, ttl time.Duration) (dedupe.Seq, error) {
	ms, err := dedupe.TTLMillis(ttl, 0)
	if err == nil {
		err = check(ctx, stream)
	}
	if err == nil {
		err = dedupe.CheckKey(key)
	}
	if err == nil && len(payloadHash) > dedupe.MaxFingerprintSize {
		err = dedupe.ErrFingerprintTooLarge
	}
	if err != nil {
		return dedupe.Seq{}, &dedupe.Error{Op: "Next", Err: err}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	clock := m.now().UnixMilli()
	m.latest = steady(m.latest, clock)
	id := [2]string{string(stream), string(key)}
	e, ok := m.entries[id]
	if ahead := e.firstSeen - clock; ahead > clockSlack {
		e.firstSeen, e.expires = clock, e.expires-ahead
		m.entries[id] = e
	}
	inserted := !ok || m.latest >= e.expires
	if inserted {
		m.last[id[0]]++
		e = memorySeq{m.last[id[0]], bytes.Clone(payloadHash), m.latest, m.latest + ms}
		m.entries[id] = e
	}
	if !bytes.Equal(e.hash, payloadHash) {
		return dedupe.Seq{}, &dedupe.Error{Op: "Next", Err: dedupe.ErrMismatch}
	}
	return dedupe.Seq{N: e.n, Inserted: inserted, FirstSeen: time.UnixMilli(e.firstSeen)}, nil
}
