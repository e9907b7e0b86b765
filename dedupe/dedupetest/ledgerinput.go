package dedupetest

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"time"

	"flow.internal/capdo/dedupe"
)

func (l ledgerTest) invalidClaim() {
	change := func(f func(o *dedupe.ClaimOptions)) dedupe.ClaimOptions {
		o := long("a")
		f(&o)
		return o
	}
	for _, c := range []struct {
		name string
		key  []byte
		o    dedupe.ClaimOptions
		want error
	}{
		{"no key", nil, long("a"), dedupe.ErrKeyEmpty},
		{"a key that is too large", make([]byte, dedupe.MaxKeySize+1), long("a"),
			dedupe.ErrKeyTooLarge},
		{"an owner that is too large", nil,
			change(func(o *dedupe.ClaimOptions) { o.Owner = strings.Repeat("o", 65) }),
			dedupe.ErrOwnerTooLarge},
		{"a fingerprint that is too large", nil,
			change(func(o *dedupe.ClaimOptions) { o.Fingerprint = make([]byte, 65) }),
			dedupe.ErrFingerprintTooLarge},
		{"a negative lease", nil, change(func(o *dedupe.ClaimOptions) { o.Lease = -1 }),
			dedupe.ErrInvalidLease},
		{"a lease that is too long", nil,
			change(func(o *dedupe.ClaimOptions) { o.Lease = dedupe.MaxLease + 1 }),
			dedupe.ErrInvalidLease},
		{"a negative TTL", nil, change(func(o *dedupe.ClaimOptions) { o.TTL = -1 }),
			dedupe.ErrInvalidTTL},
		{"a TTL that is too long", nil,
			change(func(o *dedupe.ClaimOptions) { o.TTL = math.MaxInt64 }), dedupe.ErrInvalidTTL},
		{"a negative wait", nil, change(func(o *dedupe.ClaimOptions) { o.Wait = -1 }),
			dedupe.ErrInvalidWait},
		{"a wait that is too long", nil,
			change(func(o *dedupe.ClaimOptions) { o.Wait = dedupe.MaxWait + 1 }),
			dedupe.ErrInvalidWait},
	} {
		key := c.key
		if key == nil && c.want != dedupe.ErrKeyEmpty {
			key = []byte("key")
		}
		claim, err := l.ledger.Claim(l.Context(), key, c.o)
		if claim.Outcome != 0 || !errors.Is(err, c.want) {
			l.Errorf("%s: %v, %v", c.name, claim.Outcome, err)
		}
		l.wantError(err, "Claim", c.want)
	}
	l.wantError(l.ledger.Forget(l.Context(), nil), "Forget", dedupe.ErrKeyEmpty)
	l.wantError(l.ledger.Forget(l.Context(), make([]byte, dedupe.MaxKeySize+1)), "Forget",
		dedupe.ErrKeyTooLarge)
	l.claim("key", long("b"), dedupe.Acquired)
}

func (l ledgerTest) invalidHolder() {
	holder := l.claim("key", long("a"), dedupe.Acquired)
	foreign := holder
	foreign.Ledger += "x"
	large := holder
	large.Key = make([]byte, dedupe.MaxKeySize+1)
	for _, c := range []struct {
		claim dedupe.Claim
		want  error
	}{
		{dedupe.Claim{}, dedupe.ErrNotAcquired},
		{l.claim("key", long("b"), dedupe.InProgress), dedupe.ErrNotAcquired},
		{foreign, dedupe.ErrForeignClaim},
		{large, dedupe.ErrKeyTooLarge},
	} {
		l.wantError(l.ledger.Complete(l.Context(), c.claim, nil), "Complete", c.want)
		l.wantError(l.ledger.Extend(l.Context(), c.claim, time.Hour), "Extend", c.want)
		l.wantError(l.ledger.Release(l.Context(), c.claim), "Release", c.want)
	}
	l.claim("key", long("b"), dedupe.InProgress)
	l.complete(holder, "result")
	replay := l.wantReplay("key", long("b"), "result")
	l.wantError(l.ledger.Release(l.Context(), replay), "Release", dedupe.ErrNotAcquired)
}

func (l ledgerTest) sizes() {
	o := long(strings.Repeat("\xff", dedupe.MaxOwnerSize))
	o.Fingerprint = bytes.Repeat([]byte{0xfe}, dedupe.MaxFingerprintSize)
	key := strings.Repeat("\xfd", dedupe.MaxKeySize)
	c := l.claim(key, o, dedupe.Acquired)
	l.claim(key, o, dedupe.Acquired)
	other := o
	other.Owner = o.Owner[1:] + "b"
	l.claim(key, other, dedupe.InProgress)
	other.Fingerprint = bytes.Repeat([]byte{0xfe}, dedupe.MaxFingerprintSize-1)
	_, err := l.ledger.Claim(l.Context(), []byte(key), other)
	l.wantError(err, "Claim", dedupe.ErrMismatch)
	l.complete(c, "result")
	o.Owner = "b"
	l.wantReplay(key, o, "result")
	l.claim(key[1:], o, dedupe.Acquired)
}

func (l ledgerTest) lookalikes() {
	for _, key := range lookalikes() {
		l.claim(key, long(""), dedupe.Acquired)
	}
	for _, key := range lookalikes() {
		l.claim(key, long("b"), dedupe.InProgress)
	}
}

func (l ledgerTest) copies() {
	key, fingerprint, result := []byte("first"), []byte("print"), []byte("result")
	o := long("a")
	o.Fingerprint = fingerprint
	c, err := l.ledger.Claim(l.Context(), key, o)
	if err != nil {
		l.Fatal(err)
	}
	copy(key, "other")
	copy(fingerprint, "other")
	if err := l.ledger.Complete(l.Context(), c, result); err != nil {
		l.Fatal(err)
	}
	copy(result, "others")
	o.Fingerprint = []byte("print")
	r := l.wantReplay("first", o, "result")
	copy(r.Result, "others")
	l.wantReplay("first", o, "result")
	l.claim("other", long("b"), dedupe.Acquired)
}

func (l ledgerTest) endedContext() {
	c := l.claim("held", long("a"), dedupe.Acquired)
	ctx, cancel := context.WithCancel(l.Context())
	cancel()
	_, err := l.ledger.Claim(ctx, []byte("key"), long("a"))
	l.wantError(err, "Claim", context.Canceled)
	l.wantError(l.ledger.Complete(ctx, c, nil), "Complete", context.Canceled)
	l.wantError(l.ledger.Extend(ctx, c, time.Hour), "Extend", context.Canceled)
	l.wantError(l.ledger.Release(ctx, c), "Release", context.Canceled)
	l.wantError(l.ledger.Forget(ctx, []byte("held")), "Forget", context.Canceled)
	l.claim("key", long("b"), dedupe.Acquired)
	l.claim("held", long("b"), dedupe.InProgress)
}

func (l ledgerTest) errorText() {
	const secret = "card-4111111111111111"
	o := long(secret)
	o.Fingerprint = []byte(secret)
	c, err := l.ledger.Claim(l.Context(), []byte(secret), o)
	if err != nil {
		l.Fatal(err)
	}
	_, mismatch := l.ledger.Claim(l.Context(), []byte(secret), long("b"))
	stale := c
	stale.Fence++
	fenced := l.ledger.Complete(l.Context(), stale, []byte(secret))
	large := l.ledger.Complete(l.Context(), c, []byte(strings.Repeat(secret, 1<<16)))
	foreign := c
	foreign.Ledger = ""
	for _, err := range []error{mismatch, fenced, large, l.ledger.Release(l.Context(), foreign),
		l.ledger.Forget(l.Context(), []byte(strings.Repeat(secret, 100)))} {
		if err == nil || strings.Contains(err.Error(), secret[:8]) {
			l.Errorf("error %q; want one without the key", err)
		}
	}
}
