package dodedupe

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dedupetest"
	"flow.internal/capdo/dedupe/dodedupe/internal/reservation"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

func TestMain(m *testing.M) {
	RegisterStore("Dedupe")
	RegisterStore("DedupeKV")
	registerShop("Shop")
	registerShop("ShopKV")
	RegisterLedger("Ledger", nil)
	RegisterLedger("LedgerKV", nil)
	RegisterLedger("Notifying", &LedgerClassOptions{OnExpired: onExpired})
	registerHost("Host")
	registerHost("HostKV")
	registerAway("Away")
	m.Run()
}

// newReal returns a store on real objects.
func newReal(t *testing.T) dedupe.Store {
	t.Helper()
	s, err := NewStore(durabletest.Env(t, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStoreOnRealObjects(t *testing.T) { dedupetest.TestStore(t, newReal) }

func realStoreInBuckets(binding string) func(t *testing.T) dedupe.Store {
	return func(t *testing.T) dedupe.Store {
		t.Helper()
		s, err := NewStore(durabletest.Env(t, nil), &StoreOptions{Binding: binding, Mapping: Buckets(2)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

func TestStoreInBuckets(t *testing.T) { dedupetest.TestStore(t, realStoreInBuckets("")) }

func TestHammerInBuckets(t *testing.T) { dedupetest.Hammer(t, realStoreInBuckets("")) }

func TestHammerOnRealObjects(t *testing.T) { dedupetest.Hammer(t, newReal) }

func TestNewStoreFailsWithoutItsBinding(t *testing.T) {
	_, err := NewStore(durabletest.Env(t, nil), &StoreOptions{Binding: "NOPE"})
	var e *dedupe.Error
	if !errors.Is(err, durable.ErrNoBinding) || !errors.As(err, &e) || e.Op != "NewStore" || e.Kind != dedupe.Other {
		t.Errorf("%v", err)
	}
}

func wantClaim(t *testing.T, s dedupe.Store, key string, ttl time.Duration, want bool) {
	t.Helper()
	if inserted, err := s.PutIfAbsent(t.Context(), []byte(key), ttl); inserted != want || err != nil {
		t.Errorf("claim of %s: %v, %v; want %v", key, inserted, err, want)
	}
}

// stub returns the object of a key.
func stub(t *testing.T, key string) *durable.Stub {
	t.Helper()
	stub := durabletest.Env(t, nil).Object("DEDUPE", objectName(kindStore, "", []byte(key)))
	return stub
}

// contents is what an object has stored.
type contents struct {
	tables int
	record reservation.Record // zero if there is no record
	alarm  time.Time          // zero if there is no alarm
}

func peek(t *testing.T, key string) (c contents) {
	t.Helper()
	durabletest.Run(t, stub(t, key), func(ctx context.Context, state *durable.State) {
		t.Helper()
		var err error
		if c, err = read(ctx, state.Storage()); err != nil {
			t.Fatal(err)
		}
	})
	return c
}

// read looks for tables first: reading a missing record would create one.
func read(ctx context.Context, s *durable.Storage) (c contents, err error) {
	rows, err := s.SQL().Exec("SELECT COUNT(*) FROM sqlite_master")
	if err != nil {
		return c, err
	}
	for rows.Next() {
		if err := rows.Scan(&c.tables); err != nil {
			return c, err
		}
	}
	if c.tables > 0 {
		b, ok, err := reservation.In(s).Get()
		if err == nil && ok {
			c.record, err = reservation.Decode(b)
		}
		if err != nil {
			return c, err
		}
	}
	c.alarm, err = s.GetAlarm(ctx, nil)
	return c, err
}

func wantLive(t *testing.T, key string, ttl time.Duration) {
	t.Helper()
	c := peek(t, key)
	if c.record.Expires-c.record.Claimed != ttl.Milliseconds() || c.alarm.UnixMilli() != c.record.Expires {
		t.Errorf("the object holds %+v", c)
	}
}

// eventuallyEmpty waits until the object of a key has nothing stored.
func eventuallyEmpty(t *testing.T, key string, within time.Duration) {
	t.Helper()
	var c contents
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c = peek(t, key); c == (contents{}) {
			return
		}
	}
	t.Errorf("after %v the object holds %+v", within, c)
}

func TestAlarmEmptiesTheObjectOfAnExpiredKey(t *testing.T) {
	s := newReal(t)
	wantClaim(t, s, "alpha", 300*time.Millisecond, true)
	wantClaim(t, s, "alpha", 300*time.Millisecond, false)
	wantLive(t, "alpha", 300*time.Millisecond)
	eventuallyEmpty(t, "alpha", 5*time.Second)
	wantClaim(t, s, "alpha", time.Minute, true)
}

func TestEarlyAlarmLeavesTheRecord(t *testing.T) {
	s := newReal(t)
	wantClaim(t, s, "alpha", time.Second, true)
	if ran, err := durabletest.RunAlarm(t, stub(t, "alpha")); !ran || err != nil {
		t.Errorf("alarm: %v, %v", ran, err)
	}
	wantLive(t, "alpha", time.Second)
	wantClaim(t, s, "alpha", time.Second, false)
	eventuallyEmpty(t, "alpha", 5*time.Second)
}

func TestRecordAndAlarmSurviveSIGKILL(t *testing.T) {
	s := newReal(t)
	wantClaim(t, s, "short", 700*time.Millisecond, true)
	wantClaim(t, s, "long", time.Minute, true)
	durabletest.Restart(t)
	s = newReal(t)
	wantClaim(t, s, "long", time.Minute, false)
	wantLive(t, "long", time.Minute)
	eventuallyEmpty(t, "short", 5*time.Second)
	wantClaim(t, s, "short", time.Minute, true)
}

func TestRecordSurvivesEviction(t *testing.T) {
	s := newReal(t)
	wantClaim(t, s, "alpha", time.Minute, true)
	durabletest.Evict(t, stub(t, "alpha"))
	wantClaim(t, s, "alpha", time.Minute, false)
	wantLive(t, "alpha", time.Minute)
}

func TestForgetEmptiesTheObject(t *testing.T) {
	s := newReal(t)
	wantClaim(t, s, "alpha", time.Minute, true)
	for range 2 {
		if err := s.Forget(t.Context(), []byte("alpha")); err != nil {
			t.Error(err)
		}
		if c := peek(t, "alpha"); c != (contents{}) {
			t.Errorf("the object holds %+v", c)
		}
	}
	wantClaim(t, s, "alpha", time.Minute, true)
}

func TestEachKeyHasAnObjectOfItsOwn(t *testing.T) {
	s := newReal(t)
	for n := range 10 {
		for _, want := range []bool{true, false} {
			wantClaim(t, s, fmt.Sprint("key ", n), time.Minute, want)
		}
	}
	if ids := durabletest.List(t, "DEDUPE"); len(ids) != 10 {
		t.Errorf("10 keys have the objects %v", ids)
	}
}
