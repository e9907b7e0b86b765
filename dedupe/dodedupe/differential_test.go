package dodedupe

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/durable"
)

// pair is a ledger and the reference, which are asked the same at the same time.
type pair struct {
	now       time.Time
	objects   *fakeLedgerObjects
	ledger    *Ledger
	reference *dedupetest.MemoryLedger
	claims    [][2]dedupe.Claim // acquired
	trail     []string
}

// TestLedgerDoesWhatTheReferenceDoes walks at random through everything that callers, time, alarms and evictions can do, with both mappings.
func TestLedgerDoesWhatTheReferenceDoes(t *testing.T) {
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 2))
		p := &pair{now: time.UnixMilli(noon)}
		p.objects = &fakeLedgerObjects{clock: func() int64 { return p.now.UnixMilli() }}
		p.ledger = fakeLedger(t, p.objects, []Mapping{PerKey(), Buckets(2)}[seed%2])
		p.reference = dedupetest.NewMemoryLedger(func() time.Time { return p.now })
		for range 150 {
			if got, want := p.step(t, r); got != want {
				t.Fatalf("seed %d: %s\nthe reference: %s\nafter %q", seed, got, want, p.trail)
			}
		}
	}
}

// step does something to both, and returns what came of it in words.
func (p *pair) step(t *testing.T, r *rand.Rand) (got, want string) {
	key := []byte{byte('a' + r.IntN(3))}
	ms := func(n int64) time.Duration { return time.Duration(1+r.Int64N(n)) * time.Millisecond }
	note := func(args ...any) { p.trail = append(p.trail, fmt.Sprint(args...)) }
	switch what := r.IntN(12); what {
	case 0, 1, 2:
		o := dedupe.ClaimOptions{Owner: string(rune('x' + r.IntN(3))), Fingerprint: []byte{byte(r.IntN(8) / 7)}, Lease: ms(20), TTL: ms(60)}
		note("claim ", string(key), " by ", o.Owner, " ", o.Lease, " ", o.TTL, " at ", p.now.UnixMilli()-noon)
		a, errA := p.ledger.Claim(t.Context(), key, o)
		b, errB := p.reference.Claim(t.Context(), key, o)
		if a.Outcome == dedupe.Acquired && b.Outcome == dedupe.Acquired {
			p.claims = append(p.claims, [2]dedupe.Claim{a, b})
		}
		return describe(&a, errA), describe(&b, errB)
	case 3, 4, 5, 6, 7:
		if len(p.claims) == 0 {
			return "", ""
		}
		c := p.claims[max(0, len(p.claims)-1-r.IntN(4))]
		result, lease := []byte{byte(r.IntN(256))}, ms(20)
		note("change ", what, " ", string(c[0].Key), " by ", c[0].Owner, " ", lease, " at ", p.now.UnixMilli()-noon)
		change := func(l dedupe.Ledger, c dedupe.Claim) string {
			switch what {
			case 3, 4:
				return describe(nil, l.Complete(t.Context(), c, result))
			case 5, 6:
				return describe(nil, l.Extend(t.Context(), c, lease))
			}
			return describe(nil, l.Release(t.Context(), c))
		}
		return change(p.ledger, c[0]), change(p.reference, c[1])
	case 8:
		note("forget ", string(key))
		return describe(nil, p.ledger.Forget(t.Context(), key)), describe(nil, p.reference.Forget(t.Context(), key))
	case 9:
		note("alarm and eviction")
		p.ringAndEvict(t, r.IntN(2) == 0)
	default:
		p.now = p.now.Add(ms(12))
	}
	return "", ""
}

// ringAndEvict gives the objects their alarms, early ones, too, and drops what they have in memory.
func (p *pair) ringAndEvict(t *testing.T, evict bool) {
	for _, o := range p.objects.objects {
		if err := o.Alarm(t.Context(), durable.AlarmInfo{}); err != nil {
			t.Error(err)
		}
		if evict {
			for _, b := range []*book{&o.one, &o.many} {
				b.latest, b.fence, b.armed = 0, 0, 0
			}
		}
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
