package dodedupe

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/dedupe/dodedupe/internal/reservation"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// stubborn is a store whose callers do not give up. The same owner repeats a
// call that failed, which resolves every unknown outcome. It survives restarts.
type stubborn struct {
	open func() (insert inserter, forget func(ctx context.Context, key []byte) error)

	mu       sync.Mutex
	insert   inserter
	forget   func(ctx context.Context, key []byte) error
	renewed  chan struct{}
	repeated atomic.Int64
	calls    atomic.Int64
}

// inserter inserts a key for an owner.
type inserter func(ctx context.Context, key []byte, by reservation.Owner) (inserted bool, err error)

// renew opens the store with the handles of a new workerd.
func (s *stubborn) renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.insert, s.forget = s.open()
	if s.renewed != nil {
		close(s.renewed)
	}
	s.renewed = make(chan struct{})
}

func (s *stubborn) Name() string { return "stubborn" }

func (s *stubborn) PutIfAbsent(ctx context.Context, key []byte, _ time.Duration) (inserted bool, err error) {
	// workerd handles timers and sockets, and the kill, only when it has
	// nothing else to do.
	time.Sleep(rand.N(40 * time.Millisecond))
	by := reservation.NewOwner()
	insert := func() error { inserted, err = s.now().insert(ctx, key, by); return err }
	err = s.insist(ctx, insert)
	// A kill seldom loses a winner's answer, so the test loses some.
	if s.calls.Add(1)%3 == 0 {
		err = s.insist(ctx, insert)
	}
	return inserted, err
}

func (s *stubborn) Forget(ctx context.Context, key []byte) error {
	return s.insist(ctx, func() error { return s.now().forget(ctx, key) })
}

func (s *stubborn) now() *stubborn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &stubborn{insert: s.insert, forget: s.forget}
}

// insist repeats a call until it is answered. If only the object was reset, it
// repeats at once; otherwise it takes new handles.
func (s *stubborn) insist(ctx context.Context, call func() error) error {
	for {
		s.mu.Lock()
		renewed := s.renewed
		s.mu.Unlock()
		err := call()
		if err == nil || ctx.Err() != nil {
			return err
		}
		s.repeated.Add(1)
		if errors.Is(err, durable.ErrObjectReset) {
			continue
		}
		select {
		case <-renewed:
		case <-ctx.Done():
			return err
		}
	}
}

// TestHammerUnderSIGKILL runs the hammer while workerd is killed and objects
// are evicted and reset. In each round a key has one winner, whatever answers
// are lost.
func TestHammerUnderSIGKILL(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) (inserter, func(context.Context, []byte) error){
		"store": stubbornStore, "ledger per key": stubbornLedger(PerKey()),
	} {
		t.Run(name, func(t *testing.T) {
			s := &stubborn{open: func() (inserter, func(context.Context, []byte) error) { return open(t) }}
			s.renew()
			var over atomic.Bool
			rounds, done := 0, make(chan struct{})
			go func() {
				defer close(done)
				for ; !over.Load(); rounds++ {
					dedupetest.Hammer(t, func(*testing.T) dedupe.Store { return s })
				}
			}()
			disturb(t)
			durabletest.Restart(t)
			s.renew()
			over.Store(true)
			<-done
			t.Logf("%d hammers, %d calls repeated", rounds, s.repeated.Load())
			if s.repeated.Load() == 0 {
				t.Error("no fault affected a call")
			}
		})
	}
}

// disturb resets some of the objects and evicts others.
func disturb(t *testing.T) {
	t.Helper()
	for _, binding := range []string{"DEDUPE", "LEDGER"} {
		ns, err := durabletest.Env(t, nil).Namespace(binding)
		if err != nil {
			t.Fatal(err)
		}
		for n, name := range slices.Sorted(slices.Values(durabletest.List(t, binding))) {
			id, err := ns.IDFromString(name)
			if err != nil {
				t.Fatal(err)
			}
			stub, err := ns.Get(id, nil)
			if err != nil {
				t.Fatal(err)
			}
			if n%2 == 0 {
				durabletest.Abort(t, stub)
			} else {
				durabletest.Evict(t, stub)
			}
		}
	}
}

func stubbornStore(t *testing.T) (inserter, func(context.Context, []byte) error) {
	s, err := NewStore(durabletest.Env(t, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	insert := func(ctx context.Context, key []byte, by reservation.Owner) (bool, error) {
		body, err := s.call.deliver(ctx, objectName(kindStore, "", key), wire.MethodPut, wire.EncodePut(by, 3_600_000))
		if err != nil {
			return false, err
		}
		inserted, _, err := wire.CutBool(body)
		return inserted, err
	}
	return insert, s.Forget
}

// stubbornLedger inserts with claims, and checks that fences grow.
func stubbornLedger(m Mapping) func(t *testing.T) (inserter, func(context.Context, []byte) error) {
	var mu sync.Mutex
	fences, holders := map[string]int64{}, map[string]string{}
	return func(t *testing.T) (inserter, func(context.Context, []byte) error) {
		l := openLedger(t, m)
		insert := func(ctx context.Context, key []byte, by reservation.Owner) (bool, error) {
			c, err := l.Claim(ctx, key, dedupe.ClaimOptions{Owner: string(by[:]), Lease: time.Hour})
			if err != nil || c.Outcome != dedupe.Acquired {
				return false, err
			}
			mu.Lock()
			defer mu.Unlock()
			if again := c.Fence == fences[string(key)] && c.Owner == holders[string(key)]; c.Fence <= fences[string(key)] && !again {
				t.Errorf("%s was acquired with fence %d after %d", key, c.Fence, fences[string(key)])
			}
			fences[string(key)], holders[string(key)] = c.Fence, c.Owner
			return true, nil
		}
		return insert, l.Forget
	}
}

// TestLedgerHammerUnderResets: callers do the work of a few keys while their
// objects are reset. Whatever errors occurred, fences must grow, and a
// completed key must have the acknowledged result.
func TestLedgerHammerUnderResets(t *testing.T) {
	both(t, func(t *testing.T, m Mapping, _ string) {
		const callers, keys, resets = 8, 4, 40
		h := &resetHammer{t: t, ledger: openLedger(t, m), fences: map[string]int64{}, results: map[string]string{}}
		var wg sync.WaitGroup
		for n := range callers {
			wg.Go(func() {
				for round := 0; !h.over.Load(); round++ {
					h.work(string(rune('a'+(n+round)%keys)), round)
				}
			})
		}
		for n := range resets {
			object, _ := m.locate(kindLedger, "", []byte(string(rune('a'+n%keys))+strconv.Itoa(int(h.round.Load())/8)))
			durabletest.Abort(t, ledgerStub(t, object))
			time.Sleep(20 * time.Millisecond)
		}
		h.over.Store(true)
		wg.Wait()
		t.Logf("%d claims acquired, %d completed, %d calls failed", h.acquired, h.completed, h.failed)
		if h.completed == 0 {
			t.Error("no reset affected a call")
		}
	})
}

type resetHammer struct {
	t      *testing.T
	ledger *Ledger
	over   atomic.Bool
	round  atomic.Int64

	mu     sync.Mutex
	fences map[string]int64
	// The acknowledged results, until forgotten.
	results                     map[string]string
	acquired, completed, failed int
}

// work claims a key and completes it, or checks the replay. Keys are never
// forgotten here, so a key keeps its first result.
func (h *resetHammer) work(key string, round int) {
	key += strconv.Itoa(round / 8)
	l := h.ledger
	h.round.Store(int64(round))
	h.mu.Lock()
	known, fence := h.results[key], h.fences[key]
	h.mu.Unlock()
	c, err := l.Claim(h.t.Context(), []byte(key), dedupe.ClaimOptions{Lease: 50 * time.Millisecond, TTL: time.Hour, Wait: 100 * time.Millisecond})
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil:
		h.failed++
	case c.Outcome == dedupe.Replay:
		if known != "" && string(c.Result) != known {
			h.t.Errorf("key %s has the result %s, but %s was acknowledged", key, c.Result, known)
		}
	case c.Outcome == dedupe.Acquired:
		h.acquired++
		if known != "" || c.Fence <= fence {
			h.t.Errorf("key %s was acquired with fence %d after %d, although completed with %q", key, c.Fence, fence, known)
		}
		h.fences[key] = max(h.fences[key], c.Fence)
		result := strconv.FormatInt(c.Fence, 10)
		h.mu.Unlock()
		err := l.Complete(h.t.Context(), c, []byte(result))
		h.mu.Lock()
		switch {
		case err != nil:
			h.failed++
		case h.results[key] != "" && h.results[key] != result:
			h.t.Errorf("key %s was completed twice: %s and %s", key, h.results[key], result)
		default:
			h.completed++
			h.results[key] = result
		}
	}
}
