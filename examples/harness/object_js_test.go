package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

func TestMain(m *testing.M) {
	main() // registers the classes
	m.Run()
}

// stored returns the keys of everything in the object's storage.
func stored(t *testing.T, stub *durable.Stub) (names []string) {
	t.Helper()
	durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
		entries, err := state.Storage().List(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Key)
		}
	})
	return names
}

// storeIn stores a value like POST /storage/put.
func storeIn(t *testing.T, stub *durable.Stub, key string, ttl time.Duration) {
	t.Helper()
	durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
		o := &object{state: state}
		if err := o.store(ctx, value{key, "v", ttl}); err != nil {
			t.Fatal(err)
		}
	})
}

func alarmOf(t *testing.T, stub *durable.Stub) (at time.Time) {
	t.Helper()
	durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
		var err error
		if at, err = state.Storage().GetAlarm(ctx, nil); err != nil {
			t.Fatal(err)
		}
	})
	return at
}

// The alarm removes all expired values without any request, also more than one
// alarm can remove, and leaves no entries behind.
func TestTheAlarmCollectsWhatHasExpired(t *testing.T) {
	for _, binding := range []string{"FLOW_DO", "FLOW_SQL_DO"} {
		stub := durabletest.New(t, binding)
		storeIn(t, stub, "stays", 0)
		storeIn(t, stub, "long", time.Hour)
		for i := range maxSwept + 5 {
			storeIn(t, stub, fmt.Sprint("short ", i), time.Millisecond)
		}
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if n := len(stored(t, stub)); n == 1+3 {
				break
			} else if time.Now().After(end) {
				t.Fatalf("%d entries are left", n)
			}
		}
		if in := time.Until(alarmOf(t, stub)); in < 50*time.Minute || in > time.Hour {
			t.Errorf("the next alarm is in %v", in)
		}
	}
}

func TestReplacedValueLeavesNothing(t *testing.T) {
	stub := durabletest.New(t, "FLOW_DO")
	storeIn(t, stub, "a", time.Hour)
	storeIn(t, stub, "a", 2*time.Hour)
	if names := stored(t, stub); len(names) != 3 {
		t.Errorf("%q", names)
	}
	if in := time.Until(alarmOf(t, stub)); in < 110*time.Minute {
		t.Errorf("the alarm is in %v", in)
	}
	storeIn(t, stub, "a", 0)
	if names := stored(t, stub); len(names) != 1 || !alarmOf(t, stub).IsZero() {
		t.Errorf("%q, an alarm at %v", names, alarmOf(t, stub))
	}
	durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
		o := &object{state: state}
		if err := o.update(ctx, func(ctx context.Context, txn *durable.Transaction) error { return remove(ctx, txn, "a") }); err != nil {
			t.Error(err)
		}
	})
	if names := stored(t, stub); len(names) != 0 {
		t.Errorf("%q", names)
	}
}

// A change that fails changes nothing, not even the alarm.
func TestAChangeIsAllOrNothing(t *testing.T) {
	stub := durabletest.New(t, "FLOW_DO")
	storeIn(t, stub, "a", time.Hour)
	before := alarmOf(t, stub)
	durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
		o := &object{state: state}
		err := o.update(ctx, func(ctx context.Context, txn *durable.Transaction) error {
			if err := remove(ctx, txn, "a"); err != nil {
				return err
			}
			return context.Canceled
		})
		if err == nil {
			t.Error("it does not fail")
		}
	})
	if names := stored(t, stub); len(names) != 3 || alarmOf(t, stub) != before {
		t.Errorf("%q, an alarm at %v", names, alarmOf(t, stub))
	}
}

func TestReadOnlyQueriesAreRecognized(t *testing.T) {
	for text, want := range map[string]bool{
		"SELECT 1":                        true,
		"  select 1 ; ":                   true,
		"SELECT*FROM t":                   true,
		"SELECT(1)":                       true,
		"VALUES (1)":                      true,
		"WITH a AS (SELECT 1) SELECT 1":   true,
		"WITH a AS (SELECT 1) DELETE":     true, // SQLite refuses it inside another query, so it runs unchanged
		"SELECT 1; DELETE FROM t":         false,
		"SELECT ';'":                      false,
		"DELETE FROM t":                   false,
		"INSERT INTO t SELECT 1":          false,
		"PRAGMA table_info(t)":            false,
		"":                                false,
		"-- a comment first\nSELECT 1":    false,
		"EXPLAIN SELECT 1":                false,
		"REPLACE INTO t VALUES (1)":       false,
		"CREATE TABLE t AS SELECT 1 AS a": false,
	} {
		if _, ok := readOnly(text); ok != want {
			t.Errorf("%q: %v", text, ok)
		}
	}
}
