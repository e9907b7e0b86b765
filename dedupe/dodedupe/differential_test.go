//go:build !js

package dodedupe

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/engine"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"flow.internal/capdo/dedupe/memdedupe"
	"flow.internal/capdo/durable"
)

// The walks of this package are longer than rapid's default, and leave no
// files. For more, run go test -rapid.checks=10000.
func init() {
	for name, value := range map[string]string{"rapid.checks": "1000", "rapid.steps": "80", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
}

// pair is a ledger with a sequencer, and the reference implementations. All get
// the same calls.
type pair struct {
	now       time.Time
	objects   *fakeLedgerObjects
	ledger    *Ledger
	sequencer *Sequencer
	reference *memdedupe.Ledger
	numbers   *memdedupe.Sequencer
	claims    [][2]dedupe.Claim // acquired
	// swept means that alarms have removed records which the reference would
	// still have if the clock were set back.
	swept   bool
	isAhead bool // the last jump was forward
}

// TestLedgerDoesWhatTheReferenceDoes walks through all operations of callers,
// and through time, alarms and evictions, with both mappings.
func TestLedgerDoesWhatTheReferenceDoes(t *testing.T) {
	for _, m := range []Mapping{PerKey(), Buckets(2)} {
		t.Run(m.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				p := newPair(t, m)
				t.Repeat(map[string]func(*rapid.T){
					"claim": p.claim, "complete": p.complete, "extend": p.extend, "release": p.release, "forget": p.forget, "next": p.next,
					"alarm": p.alarm, "evict": p.evict, "time": func(t *rapid.T) { p.now = p.now.Add(ms(12).Draw(t, "passes")) },
					"jump": p.jump,
				})
			})
		})
	}
}

func newPair(t *rapid.T, m Mapping) *pair {
	p := &pair{now: time.UnixMilli(faulty.Noon)}
	clock := func() time.Time { return p.now }
	p.objects = &fakeLedgerObjects{clock: func() int64 { return p.now.UnixMilli() }}
	p.reference, p.numbers = memdedupe.NewLedger(clock), memdedupe.NewSequencer(clock)
	p.sequencer = newSequencer(p.objects.call, nil)
	var err error
	if p.ledger, err = newLedger(p.objects.call, &LedgerOptions{Mapping: m}); err != nil {
		t.Fatal(err)
	}
	return p
}

func ms(n int64) *rapid.Generator[time.Duration] {
	return rapid.Map(rapid.Int64Range(1, n), func(n int64) time.Duration { return time.Duration(n) * time.Millisecond })
}

var (
	someKey    = rapid.SampledFrom([]string{"a", "b", "c"})
	anOwner    = rapid.SampledFrom([]string{"x", "y", "z"})
	aPrint     = rapid.SampledFrom([]string{"", "", "", "", "", "other"})
	someResult = rapid.SampledFrom([]string{"", "1", "2", "3"})
)

func agree(t *rapid.T, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("%s\nthe reference: %s", got, want)
	}
}

func (p *pair) claim(t *rapid.T) {
	key := []byte(someKey.Draw(t, "key"))
	o := dedupe.ClaimOptions{
		Owner: anOwner.Draw(t, "owner"), Fingerprint: []byte(aPrint.Draw(t, "fingerprint")), Lease: ms(20).Draw(t, "lease"), TTL: ms(60).Draw(t, "TTL"),
	}
	a, errA := p.ledger.Claim(t.Context(), key, o)
	b, errB := p.reference.Claim(t.Context(), key, o)
	if a.Outcome == dedupe.Acquired && b.Outcome == dedupe.Acquired {
		p.claims = append(p.claims, [2]dedupe.Claim{a, b})
	}
	agree(t, describe(&a, errA), describe(&b, errB))
}

// change changes a recent claim.
func (p *pair) change(t *rapid.T, change func(l dedupe.Ledger, c dedupe.Claim) error) {
	if len(p.claims) == 0 {
		t.Skip("nothing is claimed")
	}
	c := p.claims[max(0, len(p.claims)-1-rapid.IntRange(0, 3).Draw(t, "claims ago"))]
	agree(t, describe(nil, change(p.ledger, c[0])), describe(nil, change(p.reference, c[1])))
}

func (p *pair) complete(t *rapid.T) {
	result := []byte(someResult.Draw(t, "result"))
	p.change(t, func(l dedupe.Ledger, c dedupe.Claim) error { return l.Complete(t.Context(), c, result) })
}

func (p *pair) extend(t *rapid.T) {
	lease := ms(20).Draw(t, "lease")
	p.change(t, func(l dedupe.Ledger, c dedupe.Claim) error { return l.Extend(t.Context(), c, lease) })
}

func (p *pair) release(t *rapid.T) {
	p.change(t, func(l dedupe.Ledger, c dedupe.Claim) error { return l.Release(t.Context(), c) })
}

func (p *pair) forget(t *rapid.T) {
	key := []byte(someKey.Draw(t, "key"))
	p.swept = p.swept || p.isAhead // an empty object keeps its fence only for a minute of its own clock
	agree(t, describe(nil, p.ledger.Forget(t.Context(), key)), describe(nil, p.reference.Forget(t.Context(), key)))
}

func (p *pair) next(t *rapid.T) {
	stream, key := []byte(someKey.Draw(t, "stream")), []byte(someKey.Draw(t, "key"))
	hash, ttl := []byte(aPrint.Draw(t, "hash")), ms(30).Draw(t, "TTL")
	a, errA := p.sequencer.Next(t.Context(), stream, key, hash, ttl)
	b, errB := p.numbers.Next(t.Context(), stream, key, hash, ttl)
	agree(t, fmt.Sprint(a.N, a.Inserted, a.FirstSeen.UnixMilli(), describe(nil, errA)), fmt.Sprint(b.N, b.Inserted, b.FirstSeen.UnixMilli(), describe(nil, errB)))
}

// jump sets the clock forward or back, by more than the time for which the
// object's clock can stand still.
func (p *pair) jump(t *rapid.T) {
	by := rapid.SampledFrom([]time.Duration{-time.Hour, time.Hour}).Draw(t, "jumps")
	if by < 0 && p.swept {
		t.Skip("an alarm has removed records while the clock was ahead")
	}
	p.now = p.now.Add(by)
	p.isAhead = by > 0
}

// alarm runs the alarms of the objects, also early ones.
func (p *pair) alarm(t *rapid.T) {
	p.swept = true
	for _, o := range p.objects.objects {
		if err := o.Alarm(t.Context(), durable.AlarmInfo{}); err != nil {
			t.Error(err)
		}
	}
}

// evict clears the memory of the objects.
func (p *pair) evict(*rapid.T) {
	for _, o := range p.objects.objects {
		o.one, o.many = engine.New(*o.one.Config), engine.New(*o.many.Config)
	}
}

func describe(c *dedupe.Claim, err error) string {
	kinds := []error{dedupe.ErrFenced, dedupe.ErrMismatch}
	if n := slices.IndexFunc(kinds, func(kind error) bool { return errors.Is(err, kind) }); n >= 0 {
		return kinds[n].Error()
	}
	if err != nil || c == nil {
		return fmt.Sprint(err)
	}
	return fmt.Sprint(c.Outcome, " ", c.Attempt, " ", c.TakenOver, " ", c.Result, " ", c.CompletedAt.UnixMilli(), " ", c.RetryAfter)
}
