//go:build !js

package dedupetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/internal/memory"
)

// brokenLedger is the reference implementation with one mistake.
type brokenLedger struct {
	*memory.Ledger
	claimed  func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error)
	complete func(ctx context.Context, claim dedupe.Claim, result []byte) error
	extended func(ctx context.Context, claim dedupe.Claim, lease time.Duration) error
	release  func(ctx context.Context, claim dedupe.Claim) error
	forget   func(ctx context.Context, key []byte) error
	name     func() string
}

func (b *brokenLedger) Claim(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
	if b.claimed != nil {
		return b.claimed(ctx, key, o)
	}
	return b.Ledger.Claim(ctx, key, o)
}

func (b *brokenLedger) Complete(ctx context.Context, claim dedupe.Claim, result []byte) error {
	if b.complete != nil {
		return b.complete(ctx, claim, result)
	}
	return b.Ledger.Complete(ctx, claim, result)
}

func (b *brokenLedger) Extend(ctx context.Context, claim dedupe.Claim, lease time.Duration) error {
	if b.extended != nil {
		return b.extended(ctx, claim, lease)
	}
	return b.Ledger.Extend(ctx, claim, lease)
}

func (b *brokenLedger) Release(ctx context.Context, claim dedupe.Claim) error {
	if b.release != nil {
		return b.release(ctx, claim)
	}
	return b.Ledger.Release(ctx, claim)
}

func (b *brokenLedger) Forget(ctx context.Context, key []byte) error {
	if b.forget != nil {
		return b.forget(ctx, key)
	}
	return b.Ledger.Forget(ctx, key)
}

func (b *brokenLedger) Name() string {
	if b.name != nil {
		return b.name()
	}
	return b.Ledger.Name()
}

// of calls change with the entry of a key, if there is one.
func (b *brokenLedger) of(key []byte, change func(e *memory.Entry)) {
	b.Mu.Lock()
	defer b.Mu.Unlock()
	if e := b.Entries[string(key)]; e != nil {
		change(e)
	}
}

func ledger(breakIt func(b *brokenLedger)) func() dedupe.Ledger {
	return func() dedupe.Ledger {
		b := &brokenLedger{Ledger: memory.NewLedger(nil)}
		breakIt(b)
		return b
	}
}

// withOptions changes the options of valid claims.
func withOptions(change func(o *dedupe.ClaimOptions)) func() dedupe.Ledger {
	return ledger(func(b *brokenLedger) {
		b.claimed = func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
			if _, err := dedupe.TTLMillis(o.TTL, 0); err == nil && o.Check(key) == nil {
				change(&o)
			}
			return b.Ledger.Claim(ctx, key, o)
		}
	})
}

// withLedgerKey changes each key before the ledger gets it.
func withLedgerKey(change func([]byte) []byte) func() dedupe.Ledger {
	return ledger(func(b *brokenLedger) {
		b.claimed = func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
			c, err := b.Ledger.Claim(ctx, change(key), o)
			return c, err
		}
		b.forget = func(ctx context.Context, key []byte) error { return b.Ledger.Forget(ctx, change(key)) }
	})
}

var ledgerMistakes = []mistake[dedupe.Ledger]{
	{"sub-second TTL becoming 24 h", withOptions(func(o *dedupe.ClaimOptions) { o.TTL = wholeSeconds(o.TTL) }), []string{"the window begins"}},
	{"ttl*1000 overflowing to inserted every time", withOptions(func(o *dedupe.ClaimOptions) {
		o.TTL, o.Lease = timesThousand(o.TTL), min(o.Lease, timesThousand(o.TTL))
	}), []string{"a long TTL", "work is done"}},
	{"uniqueness lock left behind when the insert fails", ledger(func(b *brokenLedger) {
		b.claimed = func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
			c, err := b.Ledger.Claim(ctx, key, o)
			if err != nil && !errors.Is(err, dedupe.ErrMismatch) && o.Wait == 0 {
				b.Ledger.Claim(context.WithoutCancel(ctx), key, long("lock"))
			}
			return c, err
		}
	}), []string{"a context that", "an invalid claim", "the key of"}},
	{"payload hash stored and never compared", withOptions(func(o *dedupe.ClaimOptions) {
		o.Fingerprint = nil
	}), []string{"what becomes of an attempt", "a waiter with", "another fingerprint mismatches", "errors do not", "owner and fingerprint"}},
	{"payload hash compared after completion only", ledger(func(b *brokenLedger) {
		b.claimed = func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
			b.of(key, func(e *memory.Entry) {
				if e.Held {
					o.Fingerprint = e.Fingerprint
				}
			})
			return b.Ledger.Claim(ctx, key, o)
		}
	}), []string{"what becomes of an attempt", "a waiter with", "another fingerprint mismatches", "errors do not", "owner and fingerprint"}},
	{"late Forget deleting a successor", ledger(func(b *brokenLedger) {
		b.release = func(ctx context.Context, claim dedupe.Claim) error {
			err := b.Ledger.Release(ctx, claim)
			if errors.Is(err, dedupe.ErrFenced) {
				b.of(claim.Key, func(e *memory.Entry) { e.Held, e.Done = false, false })
			}
			return err
		}
	}), []string{"a claim that was", "a claim with", "a holder whose"}},
	{"in-progress records with the done-TTL", withOptions(func(o *dedupe.ClaimOptions) {
		o.Lease = max(o.Lease, min(o.TTL, dedupe.MaxLease))
	}), []string{"a holder whose", "a lease of 0", "a waiter acquires", "an expired lease can", "the first claim"}},
	{"complete dropping the fingerprint", ledger(func(b *brokenLedger) {
		b.complete = func(ctx context.Context, claim dedupe.Claim, result []byte) error {
			err := b.Ledger.Complete(ctx, claim, result)
			if err == nil {
				b.of(claim.Key, func(e *memory.Entry) { e.Fingerprint = nil })
			}
			return err
		}
	}), []string{"what becomes of an attempt", "an honest retry", "another fingerprint mismatches", "key, fingerprint and", "owner and fingerprint", "work is done"}},
	{"get, wait, put", ledger(func(b *brokenLedger) {
		b.claimed = func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
			seen := false
			b.of(key, func(*memory.Entry) { seen = true })
			if !seen && o.Check(key) == nil {
				time.Sleep(time.Nanosecond)
				b.Mu.Lock()
				delete(b.Entries, string(key))
				b.Mu.Unlock()
			}
			return b.Ledger.Claim(ctx, key, o)
		}
	}), []string{"one of many", "work is done"}},
	{"the same owner is a stranger", ledger(func(b *brokenLedger) {
		b.claimed = func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
			b.of(key, func(e *memory.Entry) {
				if e.Held && e.Owner == o.Owner && b.Now().UnixMilli() < e.LeaseEnd {
					o.Owner += "'"
				}
			})
			return b.Ledger.Claim(ctx, key, o)
		}
	}), []string{"owner and fingerprint", "the same owner"}},
	{"the last completion wins", ledger(func(b *brokenLedger) {
		b.complete = func(ctx context.Context, claim dedupe.Claim, result []byte) error {
			err := b.Ledger.Complete(ctx, claim, result)
			if err == nil {
				b.of(claim.Key, func(e *memory.Entry) { e.Result = bytes.Clone(result) })
			}
			return err
		}
	}), []string{"a second completion"}},
	{"results are text", ledger(func(b *brokenLedger) {
		b.complete = func(ctx context.Context, claim dedupe.Claim, result []byte) error {
			return b.Ledger.Complete(ctx, claim, []byte(strings.ToValidUTF8(string(result), "?")))
		}
	}), []string{"a completed key is"}},
	{"the fence is not compared", ledger(func(b *brokenLedger) {
		b.complete = func(ctx context.Context, claim dedupe.Claim, result []byte) error {
			b.of(claim.Key, func(e *memory.Entry) { claim.Fence = e.Fence })
			return b.Ledger.Complete(ctx, claim, result)
		}
	}), []string{"a claim with", "errors do not"}},
	{"the owner is not compared", ledger(func(b *brokenLedger) {
		b.extended = func(ctx context.Context, claim dedupe.Claim, lease time.Duration) error {
			b.of(claim.Key, func(e *memory.Entry) { claim.Owner = e.Owner })
			return b.Ledger.Extend(ctx, claim, lease)
		}
	}), []string{"a claim with"}},
	{"an expired lease is stolen", ledger(func(b *brokenLedger) {
		b.complete = func(ctx context.Context, claim dedupe.Claim, result []byte) error {
			b.of(claim.Key, func(e *memory.Entry) {
				if e.Held && b.Now().UnixMilli() >= e.LeaseEnd {
					claim.Fence = -1
				}
			})
			return b.Ledger.Complete(ctx, claim, result)
		}
	}), []string{"an expired lease that"}},
	{"a fence starts again after Forget", ledger(func(b *brokenLedger) {
		b.forget = func(ctx context.Context, key []byte) error {
			err := b.Ledger.Forget(ctx, key)
			if err == nil {
				b.Mu.Lock()
				b.Fence = 0
				b.Mu.Unlock()
			}
			return err
		}
	}), []string{"fences grow over"}},
	{"a lease of 0 means the maximum", withOptions(func(o *dedupe.ClaimOptions) {
		if o.Lease == 0 {
			o.Lease = dedupe.MaxLease
		}
	}), []string{"a lease of 0"}},
	{"extend shortens", ledger(func(b *brokenLedger) {
		b.extended = func(ctx context.Context, claim dedupe.Claim, lease time.Duration) error {
			err := b.Ledger.Extend(ctx, claim, lease)
			if err == nil {
				b.of(claim.Key, func(e *memory.Entry) { e.LeaseEnd = b.Latest + lease.Milliseconds() })
			}
			return err
		}
	}), []string{"a lease of 0", "an extended lease"}},
	{"release forgets the attempts", ledger(func(b *brokenLedger) {
		b.release = func(ctx context.Context, claim dedupe.Claim) error {
			err := b.Ledger.Release(ctx, claim)
			if err == nil {
				b.of(claim.Key, func(e *memory.Entry) { e.Attempt = 0 })
			}
			return err
		}
	}), []string{"a released key", "a waiter is woken by the release"}},
	{"a takeover looks like a release", ledger(func(b *brokenLedger) {
		b.claimed = func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
			c, err := b.Ledger.Claim(ctx, key, o)
			c.TakenOver = false
			return c, err
		}
	}), []string{"what becomes of an attempt", "a holder whose", "a waiter acquires", "an expired lease can"}},
	{"the window begins with the completion", ledger(func(b *brokenLedger) {
		b.complete = func(ctx context.Context, claim dedupe.Claim, result []byte) error {
			err := b.Ledger.Complete(ctx, claim, result)
			if err == nil {
				b.of(claim.Key, func(e *memory.Entry) { e.FirstSeen = e.CompletedAt })
			}
			return err
		}
	}), []string{"the window begins"}},
	{"results end with the window", ledger(func(b *brokenLedger) {
		b.complete = func(ctx context.Context, claim dedupe.Claim, result []byte) error {
			ttl := int64(0)
			b.of(claim.Key, func(e *memory.Entry) { ttl = e.TTL })
			err := b.Ledger.Complete(ctx, claim, result)
			if err == nil {
				b.of(claim.Key, func(e *memory.Entry) { e.TTL = ttl })
			}
			return err
		}
	}), []string{"what becomes of an attempt"}},
	{"a takeover beyond the window that looks fresh", ledger(func(b *brokenLedger) {
		b.claimed = func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
			b.Mu.Lock()
			now := b.Now().UnixMilli()
			if e := b.Entries[string(key)]; e != nil && e.Held && now >= e.LeaseEnd && now >= e.FirstSeen+e.TTL {
				delete(b.Entries, string(key))
			}
			b.Mu.Unlock()
			return b.Ledger.Claim(ctx, key, o)
		}
	}), []string{"what becomes of an attempt"}},
	{"a change that wakes nobody", ledger(func(b *brokenLedger) {
		b.forget = func(ctx context.Context, key []byte) error {
			if err := check2(ctx, key, "Forget"); err != nil {
				return err
			}
			b.Mu.Lock()
			defer b.Mu.Unlock()
			delete(b.Entries, string(key))
			return nil
		}
	}), []string{"a waiter is woken by Forget"}},
	{"results end with the lease", ledger(func(b *brokenLedger) {
		b.complete = func(ctx context.Context, claim dedupe.Claim, result []byte) error {
			err := b.Ledger.Complete(ctx, claim, result)
			if err == nil {
				b.of(claim.Key, func(e *memory.Entry) { e.TTL = min(e.TTL, e.LeaseEnd-e.FirstSeen) })
			}
			return err
		}
	}), []string{"what becomes of an attempt", "a completed key outlives", "an expired lease that"}},
	{"a result that is too large ends the claim", ledger(func(b *brokenLedger) {
		b.complete = func(ctx context.Context, claim dedupe.Claim, result []byte) error {
			err := b.Ledger.Complete(ctx, claim, result)
			if errors.Is(err, dedupe.ErrResultTooLarge) {
				b.Ledger.Complete(ctx, claim, nil)
			}
			return err
		}
	}), []string{"a result that"}},
	{"claims do not wait", withOptions(func(o *dedupe.ClaimOptions) {
		o.Wait = 0
	}), []string{"a waiter is woken by Forget", "a wait ends", "a wait is", "a waiter acquires", "a waiter is woken by the completion", "a waiter is woken by the release", "work is done"}},
	{"waiters wait until the end", ledger(func(b *brokenLedger) {
		b.claimed = func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
			wait := o.Wait
			if wait <= 0 || wait > dedupe.MaxWait {
				return b.Ledger.Claim(ctx, key, o)
			}
			o.Wait = 0
			c, err := b.Ledger.Claim(ctx, key, o)
			if err != nil || c.Outcome != dedupe.InProgress {
				return c, err
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
			o.Wait = wait
			return b.Ledger.Claim(ctx, key, o)
		}
	}), []string{"a waiter is woken by Forget", "a waiter acquires", "a waiter is woken by the completion", "a waiter is woken by the release"}},
	{"a waiter that has left claims", ledger(func(b *brokenLedger) {
		b.claimed = func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
			c, err := b.Ledger.Claim(ctx, key, o)
			if err != nil && o.Wait > 0 && ctx.Err() != nil {
				go b.Ledger.Claim(context.WithoutCancel(ctx), key, o)
			}
			return c, err
		}
	}), []string{"a wait ends"}},
	{"waiters are not told of a mismatch", ledger(func(b *brokenLedger) {
		b.claimed = func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
			c, err := b.Ledger.Claim(ctx, key, o)
			if errors.Is(err, dedupe.ErrMismatch) && o.Wait > 0 {
				return dedupe.Claim{Outcome: dedupe.InProgress}, nil
			}
			return c, err
		}
	}), []string{"a waiter with"}},
	{"forget does nothing", ledger(func(b *brokenLedger) {
		b.forget = func(ctx context.Context, key []byte) error { return check2(ctx, key, "Forget") }
	}), []string{"a waiter is woken by Forget", "a claim that was", "fences grow over", "forget makes a"}},
	{"forget keeps completed keys", ledger(func(b *brokenLedger) {
		b.forget = func(ctx context.Context, key []byte) error {
			err, spare := check2(ctx, key, "Forget"), false
			b.of(key, func(e *memory.Entry) { spare = e.Done })
			if err != nil || spare {
				return err
			}
			return b.Ledger.Forget(ctx, key)
		}
	}), []string{"fences grow over", "forget makes a"}},
	{"invalid leases claim for a minute", ledger(func(b *brokenLedger) {
		b.claimed = func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
			if o.Lease < 0 || o.Lease > dedupe.MaxLease {
				o.Lease = time.Minute
			}
			return b.Ledger.Claim(ctx, key, o)
		}
	}), []string{"an invalid claim", "the key of"}},
	{"claims of other ledgers are taken", ledger(func(b *brokenLedger) {
		b.release = func(ctx context.Context, claim dedupe.Claim) error {
			claim.Ledger = b.Identity
			return b.Ledger.Release(ctx, claim)
		}
	}), []string{"a claim that does", "errors do not"}},
	{"owners are cut at 63 bytes", withOptions(func(o *dedupe.ClaimOptions) {
		o.Owner = o.Owner[:min(len(o.Owner), dedupe.MaxOwnerSize-1)]
	}), []string{"owner and fingerprint"}},
	{"fingerprints of 64 bytes are refused", ledger(func(b *brokenLedger) {
		b.claimed = func(ctx context.Context, key []byte, o dedupe.ClaimOptions) (dedupe.Claim, error) {
			if len(o.Fingerprint) == dedupe.MaxFingerprintSize {
				return dedupe.Claim{}, &dedupe.Error{Op: "Claim", Err: dedupe.ErrFingerprintTooLarge}
			}
			return b.Ledger.Claim(ctx, key, o)
		}
	}), []string{"owner and fingerprint"}},
	{"keys are trimmed", withLedgerKey(trimmed), []string{"keys that look"}},
	{"keys that look encoded are decoded", withLedgerKey(decoded), []string{"errors do not", "keys that look", "the first claim"}},
	{"results are kept without copying", ledger(func(b *brokenLedger) {
		b.complete = func(ctx context.Context, claim dedupe.Claim, result []byte) error {
			again := false
			b.of(claim.Key, func(e *memory.Entry) { again = e.Done })
			err := b.Ledger.Complete(ctx, claim, result)
			if err == nil && !again {
				b.of(claim.Key, func(e *memory.Entry) { e.Result = result })
			}
			return err
		}
	}), []string{"key, fingerprint and"}},
	{"the context is ignored", ledger(func(b *brokenLedger) {
		b.extended = func(ctx context.Context, claim dedupe.Claim, lease time.Duration) error {
			return b.Ledger.Extend(context.WithoutCancel(ctx), claim, lease)
		}
	}), []string{"a context that"}},
	{"errors tell keys", ledger(func(b *brokenLedger) {
		b.complete = func(ctx context.Context, claim dedupe.Claim, result []byte) error {
			err := b.Ledger.Complete(ctx, claim, result)
			if err != nil {
				err = fmt.Errorf("%s: %w", claim.Key, err)
			}
			return err
		}
	}), []string{"errors do not"}},
	{"release leaves the claim to its lease", ledger(func(b *brokenLedger) {
		b.release = func(ctx context.Context, claim dedupe.Claim) error {
			b.Mu.Lock()
			e := b.Entries[string(claim.Key)]
			over := e == nil || e.Done || !e.Held
			b.Mu.Unlock()
			if over || claim.Check(b.Identity) != nil || ctx.Err() != nil || e.Fence != claim.Fence || e.Owner != claim.Owner {
				return b.Ledger.Release(ctx, claim)
			}
			return nil
		}
	}), []string{"a claim that was", "a released key", "a wait ends", "a waiter is woken by the release", "fences grow over"}},
	{"no name", ledger(func(b *brokenLedger) { b.name = func() string { return "" } }), []string{"the ledger has"}},
}

// brokenSequencer is the reference implementation with one mistake.
type brokenSequencer struct {
	*memory.Sequencer
	nextAs func(ctx context.Context, owner string, stream, key, payloadHash []byte, ttl time.Duration) (dedupe.Seq, error)
	next   func(ctx context.Context, stream, key, payloadHash []byte, ttl time.Duration) (dedupe.Seq, error)
	name   func() string
}

func (b *brokenSequencer) Next(ctx context.Context, stream, key, payloadHash []byte, ttl time.Duration) (dedupe.Seq, error) {
	if b.next != nil {
		return b.next(ctx, stream, key, payloadHash, ttl)
	}
	return b.Sequencer.Next(ctx, stream, key, payloadHash, ttl)
}

func (b *brokenSequencer) NextAs(ctx context.Context, owner string, stream, key, payloadHash []byte, ttl time.Duration) (dedupe.Seq, error) {
	if b.nextAs != nil {
		return b.nextAs(ctx, owner, stream, key, payloadHash, ttl)
	}
	return b.Sequencer.NextAs(ctx, owner, stream, key, payloadHash, ttl)
}

func (b *brokenSequencer) Name() string {
	if b.name != nil {
		return b.name()
	}
	return b.Sequencer.Name()
}

func sequencer(breakIt func(b *brokenSequencer)) func() dedupe.Sequencer {
	return func() dedupe.Sequencer {
		b := &brokenSequencer{Sequencer: memory.NewSequencer(nil)}
		breakIt(b)
		return b
	}
}

// withArguments changes valid arguments.
func withArguments(change func(stream, key, hash *[]byte, ttl *time.Duration)) func() dedupe.Sequencer {
	return sequencer(func(b *brokenSequencer) {
		b.next = func(ctx context.Context, stream, key, hash []byte, ttl time.Duration) (dedupe.Seq, error) {
			_, err := dedupe.TTLMillis(ttl, 0)
			if errors.Join(err, dedupe.CheckKey(stream), dedupe.CheckKey(key)) == nil && len(hash) <= dedupe.MaxFingerprintSize {
				change(&stream, &key, &hash, &ttl)
			}
			return b.Sequencer.Next(ctx, stream, key, hash, ttl)
		}
	})
}

// afterNext changes the result of Next.
func afterNext(spoil func(b *brokenSequencer, stream []byte, seq *dedupe.Seq, err error)) func() dedupe.Sequencer {
	return sequencer(func(b *brokenSequencer) {
		b.next = func(ctx context.Context, stream, key, hash []byte, ttl time.Duration) (dedupe.Seq, error) {
			seq, err := b.Sequencer.Next(ctx, stream, key, hash, ttl)
			b.Mu.Lock()
			defer b.Mu.Unlock()
			spoil(b, stream, &seq, err)
			return seq, err
		}
	})
}

var sequencerMistakes = []mistake[dedupe.Sequencer]{
	{"sub-second TTL becoming 24 h", withArguments(func(_, _, _ *[]byte, ttl *time.Duration) { *ttl = wholeSeconds(*ttl) }), []string{"a key whose"}},
	{"ttl*1000 overflowing to inserted every time", withArguments(func(_, _, _ *[]byte, ttl *time.Duration) { *ttl = timesThousand(*ttl) }), []string{"a long TTL"}},
	{"uniqueness lock left behind when the insert fails", sequencer(func(b *brokenSequencer) {
		b.next = func(ctx context.Context, stream, key, hash []byte, ttl time.Duration) (dedupe.Seq, error) {
			seq, err := b.Sequencer.Next(ctx, stream, key, hash, ttl)
			if err != nil && !errors.Is(err, dedupe.ErrMismatch) {
				b.Sequencer.Next(context.WithoutCancel(ctx), stream, key, nil, time.Hour)
			}
			return seq, err
		}
	}), []string{"a call that"}},
	{"payload hash stored and never compared", withArguments(func(_, _, hash *[]byte, _ *time.Duration) { *hash = nil }), []string{"an entry is", "another hash mismatches"}},
	{"a mismatch takes a number", afterNext(func(b *brokenSequencer, stream []byte, _ *dedupe.Seq, err error) {
		if errors.Is(err, dedupe.ErrMismatch) {
			b.Last[string(stream)]++
		}
	}), []string{"another hash mismatches"}},
	{"a late repeat takes a number", afterNext(func(b *brokenSequencer, stream []byte, seq *dedupe.Seq, err error) {
		if err == nil && time.Since(seq.FirstSeen) >= 10*time.Millisecond {
			b.Last[string(stream)]++
		}
	}), []string{"the same key"}},
	{"a number is left out", afterNext(func(b *brokenSequencer, stream []byte, seq *dedupe.Seq, _ error) {
		if seq.N == 12 && seq.Inserted {
			b.Last[string(stream)]++
		}
	}), []string{"keys are numbered", "streams and keys"}},
	{"get, wait, put", sequencer(func(b *brokenSequencer) {
		b.next = func(ctx context.Context, stream, key, hash []byte, ttl time.Duration) (dedupe.Seq, error) {
			id := [2]string{string(stream), string(key)}
			b.Mu.Lock()
			_, seen := b.Entries[id]
			b.Mu.Unlock()
			if !seen {
				time.Sleep(time.Nanosecond)
				b.Mu.Lock()
				delete(b.Entries, id)
				b.Mu.Unlock()
			}
			return b.Sequencer.Next(ctx, stream, key, hash, ttl)
		}
	}), []string{"a concurrent sequence"}},
	{"first seen is now", afterNext(func(_ *brokenSequencer, _ []byte, seq *dedupe.Seq, _ error) { seq.FirstSeen = time.Now() }), []string{"the same key"}},
	{"streams share their numbers", withArguments(func(stream, key, _ *[]byte, _ *time.Duration) {
		*stream, *key = []byte("one"), fmt.Appendf(nil, "%q%q", *stream, *key)
	}), []string{"an entry is", "streams and keys"}},
	{"keys are trimmed", withArguments(func(_, key, _ *[]byte, _ *time.Duration) { *key = trimmed(*key) }), []string{"streams and keys"}},
	{"an owner is not looked at", sequencer(func(b *brokenSequencer) {
		b.nextAs = func(ctx context.Context, _ string, stream, key, hash []byte, ttl time.Duration) (dedupe.Seq, error) {
			return b.Sequencer.NextAs(ctx, "", stream, key, hash, ttl)
		}
	}), []string{"an entry is"}},
	{"no name", sequencer(func(b *brokenSequencer) { b.name = func() string { return "" } }), []string{"the sequencer has"}},
}
