//go:build !js

package dodedupe

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/faulty"
	"flow.internal/capdo/dedupe/dodedupe/internal/wire"
)

// TestKnownMistakes makes those mistakes of earlier implementations that are
// below the interfaces of package dedupe. The names of dedupetest's tests have
// the mistakes of the interfaces.
func TestKnownMistakes(t *testing.T) {
	faulty.TestMistakes(t, []faulty.Mistake{
		{Name: "late Forget deleting a successor (a store)", Find: lateForgetOfAStore},
		{Name: "caller's clock expiring live entries", Find: callersClock},
		{Name: "scope a:x aliasing scope a key x", Find: aliasedScopes},
	})
}

// In lateForgetOfAStore the second message of a Forget arrives after the key
// was forgotten and inserted again.
func lateForgetOfAStore(t *testing.T, made bool) string {
	f := &fakeObjects{}
	late, other := open(t, f, nil), open(t, f, nil)
	mustInsert := func() {
		t.Helper()
		if inserted, err := other.PutIfAbsent(t.Context(), []byte("k"), time.Hour); !inserted || err != nil {
			t.Fatal(inserted, err)
		}
	}
	mustInsert()
	late.call = func(ctx context.Context, name, method string, msg []byte) ([]byte, error) {
		if method == wire.MethodForgetKey {
			if err := other.Forget(t.Context(), []byte("k")); err != nil {
				t.Error(err)
			}
			mustInsert()
			if made { // the mistake: remove whatever is stored
				msg = wire.EncodeForget(f.storage("", "k").Record)
			}
		}
		return f.call(ctx, name, method, msg)
	}
	if err := late.Forget(t.Context(), []byte("k")); err != nil {
		t.Error(err)
	}
	if !f.storage("", "k").OK {
		return "the successor's record is gone"
	}
	return ""
}

// In callersClock the callers' clocks advance by an hour each time. Only the
// object's clock counts, and it stands still.
func callersClock(t *testing.T, made bool) string {
	callers := int64(faulty.Noon)
	clock := func() int64 { return faulty.Noon }
	if made {
		clock = func() int64 { callers += 3_600_000; return callers }
	}
	store := open(t, &fakeObjects{clock: clock}, nil)
	ledger := fakeLedger(t, &fakeLedgerObjects{clock: clock}, PerKey())
	for n := range 3 {
		inserted, err := store.PutIfAbsent(t.Context(), []byte("k"), time.Minute)
		c, errClaim := ledger.Claim(t.Context(), []byte("k"), dedupe.ClaimOptions{Lease: time.Minute, TTL: time.Minute})
		if err := errors.Join(err, errClaim); err != nil {
			t.Fatal(err)
		}
		if inserted != (n == 0) || c.Attempt != 1 || (c.Outcome == dedupe.Acquired) != (n == 0) {
			return fmt.Sprintf("call %d: inserted %v, %v", n, inserted, c.Outcome)
		}
	}
	return ""
}

// joined is an object's name that joins scope and key without escaping.
func joined(name string) string {
	parts := strings.Split(name, ":")
	for i, p := range parts[1:] {
		b, _ := base64.RawURLEncoding.DecodeString(p)
		parts[i+1] = string(b)
	}
	return strings.Join(parts, ":")
}

func aliasedScopes(t *testing.T, made bool) string {
	f, fl := &fakeObjects{}, &fakeLedgerObjects{}
	name := func(name string) string {
		if made {
			return joined(name)
		}
		return name
	}
	for _, c := range []struct{ scope, key string }{{"a", "x:k"}, {"a:x", "k"}, {"", "a:x:k"}, {"a:x:k", ":"}, {"a:x:k:", "\x00"}} {
		call := func(ctx context.Context, object, method string, msg []byte) ([]byte, error) {
			return f.call(ctx, name(object), method, msg)
		}
		store, err := newStore(call, &StoreOptions{Scope: c.scope})
		if err != nil {
			t.Fatal(err)
		}
		callLedger := func(ctx context.Context, object, method string, msg []byte) ([]byte, error) {
			return fl.call(ctx, name(object), method, msg)
		}
		ledger, err := newLedger(callLedger, &LedgerOptions{Scope: c.scope})
		if err != nil {
			t.Fatal(err)
		}
		inserted, err := store.PutIfAbsent(t.Context(), []byte(c.key), time.Hour)
		claim, errClaim := ledger.Claim(t.Context(), []byte(c.key), dedupe.ClaimOptions{Lease: time.Minute})
		if !inserted || claim.Outcome != dedupe.Acquired || err != nil || errClaim != nil {
			return fmt.Sprintf("scope %q, key %q: %v, %v, %v, %v", c.scope, c.key, inserted, err, claim.Outcome, errClaim)
		}
	}
	return ""
}
