//go:build !js

package dodedupe

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
)

// providerActs are the operations of a ledger and a sequencer on the key k.
var providerActs = map[string]func(p *provided) (string, error){
	"claim": func(p *provided) (string, error) {
		c, err := p.ledger.Claim(p.t.Context(), []byte("new"), dedupe.ClaimOptions{Owner: "a", Lease: time.Second, TTL: time.Minute})
		return fmt.Sprint(c.Outcome, c.Attempt, c.TakenOver), err
	},
	"complete": func(p *provided) (string, error) { return "", p.ledger.Complete(p.t.Context(), p.claim, []byte("r")) },
	"extend":   func(p *provided) (string, error) { return "", p.ledger.Extend(p.t.Context(), p.claim, time.Minute) },
	"release":  func(p *provided) (string, error) { return "", p.ledger.Release(p.t.Context(), p.claim) },
	"forget":   func(p *provided) (string, error) { return "", p.ledger.Forget(p.t.Context(), []byte("k")) },
}

type provided struct {
	t       *testing.T
	now     int64
	objects *fakeLedgerObjects
	ledger  *Ledger
	claim   dedupe.Claim
}

func provide(t *testing.T, m Mapping) *provided {
	p := &provided{t: t, now: faulty.Noon, objects: &fakeLedgerObjects{}}
	p.objects.clock = func() int64 { return p.now }
	p.ledger = fakeLedger(t, p.objects, m)
	var err error
	p.claim, err = p.ledger.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Owner: "a", Lease: time.Second, TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	p.now += 10
	object, _ := m.locate(kindLedger, "", []byte("new"))
	p.objects.object(object)
	return p
}

func (p *provided) tables() (all []*faulty.Backend) {
	for _, name := range slices.Sorted(maps.Keys(p.objects.objects)) {
		o := p.objects.objects[name]
		all = append(all, o.one.Backend.(*faulty.Backend), o.many.Backend.(*faulty.Backend))
	}
	return all
}

func (p *provided) state() (s string) {
	for _, table := range p.tables() {
		s += table.State() + "\n"
	}
	return s
}

// breakFrom makes storage fail from the n-th call on, for the given number of
// calls.
func (p *provided) breakFrom(n, times int, kind faulty.Fault) {
	calls := 0
	for _, table := range p.tables() {
		table.Plan = func(int, string) faulty.Fault {
			calls++
			if calls > n && calls <= n+times {
				return kind
			}
			return faulty.Fine
		}
	}
}

// After one storage fault the provider either succeeds by repeating the call,
// or returns a definite error and has changed nothing. After more faults the
// outcome may be unknown; then the caller's next call returns the right result.
func TestFaultsOfStorageUnderTheProvider(t *testing.T) {
	for name, act := range providerActs {
		for _, m := range []Mapping{PerKey(), Buckets(1)} {
			twin := provide(t, m)
			before := twin.state()
			want, err := act(twin)
			if err != nil {
				t.Fatal(name, err)
			}
			after := twin.state()
			for n := range 8 {
				for _, kind := range []faulty.Fault{faulty.Fails, faulty.PerformsThenFails} {
					for _, times := range []int{1, 2, 1000} {
						p := provide(t, m)
						p.breakFrom(n, times, kind)
						got, err := act(p)
						p.breakFrom(0, 0, faulty.Fine)
						unknown := errors.Is(err, dedupe.ErrUnknownOutcome)
						switch {
						case err == nil && (got != want || p.state() != after):
							t.Errorf("%s, %v, fault %d from %d: %s, %s", name, m, kind, n, got, p.state())
						case err != nil && !unknown && p.state() != before:
							t.Errorf("%s, %v, fault %d from %d: %v is definite, but storage has\n%s", name, m, kind, n, err, p.state())
						case unknown && times == 1:
							t.Errorf("%s, %v, fault %d from %d: %v", name, m, kind, n, err)
						}
						if got, err := act(p); got != want || err != nil || p.state() != after {
							t.Errorf("%s, %v, fault %d from %d, and again: %s, %v\n%s\nwant\n%s", name, m, kind, n, got, err, p.state(), after)
						}
					}
				}
			}
		}
	}
}
