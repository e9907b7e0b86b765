package durable_test

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// wantLimit fails the test unless the call succeeds with max and fails with max
// + 1.
func wantLimit(t *testing.T, what string, max int, call func(n int) error) {
	t.Helper()
	if err := call(max); err != nil {
		t.Errorf("%s: %d is refused: %v", what, max, err)
	}
	err := call(max + 1)
	var limit *durable.LimitError
	if !errors.Is(err, durable.ErrLimit) || !errors.As(err, &limit) || limit.Max != max || limit.Actual != max+1 {
		t.Errorf("%s: %d gets %#v", what, max+1, err)
	}
}

// inside runs fn in a fresh object with that backend.
func inside(t *testing.T, binding string, fn func(context.Context, *durable.Storage)) {
	t.Helper()
	durabletest.Run(t, durabletest.New(t, binding), func(ctx context.Context, state *durable.State) { fn(ctx, state.Storage()) })
}

// puts returns all ways to store a value.
func puts(ctx context.Context, s *durable.Storage) map[string]func(key string, value any) error {
	return map[string]func(key string, value any) error{
		"Put": func(key string, value any) error { return s.Put(ctx, key, value, nil) },
		"PutMany": func(key string, value any) error {
			return s.PutMany(ctx, []durable.Entry{{Key: key, Value: value}}, nil)
		},
		"Transaction": func(key string, value any) error {
			return s.Transaction(ctx, func(txn *durable.Transaction) error { return txn.Put(ctx, key, value, nil) })
		},
	}
}

// looks returns all ways to use a key without a value.
func looks(ctx context.Context, s *durable.Storage) map[string]func(key string) error {
	return map[string]func(key string) error{
		"Get":        func(key string) error { _, _, err := s.Get(ctx, key, nil); return err },
		"GetMany":    func(key string) error { _, err := s.GetMany(ctx, []string{key}, nil); return err },
		"Delete":     func(key string) error { _, err := s.Delete(ctx, key, nil); return err },
		"DeleteMany": func(key string) error { _, err := s.DeleteMany(ctx, []string{key}, nil); return err },
	}
}

func TestLimitOfKeyWithValueInSQLite(t *testing.T) {
	inside(t, durabletest.SQLite, func(ctx context.Context, s *durable.Storage) {
		all := puts(ctx, s)
		all["KV.Put"] = s.KV().Put
		for name, put := range all {
			wantLimit(t, name+" of bytes", durable.MaxKeyValueSize, func(n int) error { return put("key", make([]byte, n-3)) })
			wantLimit(t, name+" of text", durable.MaxKeyValueSize, func(n int) error { return put("key", strings.Repeat("é", n-3)) })
			wantLimit(t, name+" with a long key", durable.MaxKeyValueSize, func(n int) error { return put(strings.Repeat("k", n-8), 0.5) })
		}
		keys := looks(ctx, s)
		keys["KV.Get"] = func(key string) error { _, _, err := s.KV().Get(key); return err }
		keys["KV.Delete"] = func(key string) error { _, err := s.KV().Delete(key); return err }
		for name, look := range keys {
			wantLimit(t, name, durable.MaxKeyValueSize, func(n int) error { return look(strings.Repeat("k", n)) })
		}
	})
}

func TestLimitsOfKeyAndOfValueInKeyValueStorage(t *testing.T) {
	inside(t, durabletest.KV, func(ctx context.Context, s *durable.Storage) {
		for name, put := range puts(ctx, s) {
			wantLimit(t, name+" with a long key", durable.MaxKeySizeKV, func(n int) error { return put(strings.Repeat("k", n), "v") })
			wantLimit(t, name+" of bytes", durable.MaxValueSizeKV, func(n int) error { return put("key", make([]byte, n)) })
			wantLimit(t, name+" of a list", durable.MaxValueSizeKV, func(n int) error {
				return put("key", []any{strings.Repeat("v", n-13), 0.5})
			})
		}
		for name, look := range looks(ctx, s) {
			wantLimit(t, name, durable.MaxKeySizeKV, func(n int) error { return look(strings.Repeat("k", n)) })
		}
	})
}

func TestLimitOfEntries(t *testing.T) {
	for _, binding := range []string{durabletest.SQLite, durabletest.KV} {
		inside(t, binding, func(ctx context.Context, s *durable.Storage) {
			wantLimit(t, binding+" PutMany", durable.MaxEntries, func(n int) error { return s.PutMany(ctx, entries(n), nil) })
			wantLimit(t, binding+" GetMany", durable.MaxEntries, func(n int) error {
				got, err := s.GetMany(ctx, keysOf(entries(n)), nil)
				if err == nil && len(got) != n {
					t.Errorf("got %d entries", len(got))
				}
				return err
			})
			wantLimit(t, binding+" DeleteMany", durable.MaxEntries, func(n int) error {
				_, err := s.DeleteMany(ctx, keysOf(entries(n)), nil)
				return err
			})
		})
	}
}

func entries(n int) []durable.Entry {
	list := make([]durable.Entry, n)
	for i := range list {
		list[i] = durable.Entry{Key: strconv.Itoa(i), Value: float64(i)}
	}
	return list
}

func keysOf(list []durable.Entry) []string {
	keys := make([]string, len(list))
	for i, e := range list {
		keys[i] = e.Key
	}
	return keys
}

// workerd enforces this limit, on the serialized bytes.
func TestLimitOfRPC(t *testing.T) {
	stub := durabletest.New(t, "LAB")
	ran := false
	wantLimit(t, "arguments", durable.MaxRPCSize, func(n int) error {
		_, err := stub.Call(t.Context(), "echo", make([]byte, n-20))
		return err
	})
	result := func(n int) job {
		return func(context.Context, *Lab) (string, error) {
			ran = true
			return strings.Repeat("x", n-15), nil
		}
	}
	if out, err := through(stub)(t.Context(), result(durable.MaxRPCSize)); len(out) != durable.MaxRPCSize-15 || err != nil {
		t.Errorf("a result of %d bytes, %v", len(out), err)
	}
	ran = false
	_, err := through(stub)(t.Context(), result(durable.MaxRPCSize+1))
	if !errors.Is(err, durable.ErrRemote) || !strings.Contains(err.Error(), strconv.Itoa(durable.MaxRPCSize+1)) || !ran {
		t.Errorf("a result too large: %#v; the method ran: %v", err, ran)
	}
}

func TestLimitOfObjectNames(t *testing.T) {
	for n, want := range map[int]int{durable.MaxNameSize: durable.MaxNameSize, durable.MaxNameSize + 1: 0, 1 << 20: 0} {
		name := strings.Repeat("é", n/2) + strings.Repeat("x", n%2) // the limit is in bytes
		ns, err := durabletest.Env(t, nil).Namespace("LAB")
		must(t, err)
		id, err := ns.IDFromName(name)
		if err != nil || id.Name() != name {
			t.Errorf("a name of %d bytes: %d bytes, %v", n, len(id.Name()), err)
		}
		named(t, name).want(t, strconv.Itoa(want)+" of "+id.String(), func(_ context.Context, l *Lab) (string, error) {
			id, err := l.state.ID()
			if err != nil {
				return "", err
			}
			return strconv.Itoa(len(id.Name())) + " of " + id.String(), nil
		})
	}
}

// The runtime keeps an alarm's time as nanoseconds since 1970, in 64 bits. An
// alarm in the past is due at once.
func TestLimitOfAlarmTimes(t *testing.T) {
	const last = math.MaxInt64 / 1_000_000 // ms
	inside(t, durabletest.SQLite, func(ctx context.Context, s *durable.Storage) {
		for _, at := range []time.Time{time.UnixMilli(1), time.Now().Add(-time.Hour), time.Now().AddDate(100, 0, 0), time.UnixMilli(last)} {
			if err := s.SetAlarm(ctx, at, nil); err != nil {
				t.Errorf("%v is refused: %v", at, err)
			}
		}
		if at, err := s.GetAlarm(ctx, nil); at.UnixMilli() != last || err != nil {
			t.Errorf("the alarm is at %v, %v", at, err)
		}
		for _, at := range []time.Time{{}, time.UnixMilli(0), time.UnixMilli(-1), time.UnixMilli(last + 1), time.UnixMilli(1 << 62)} {
			if err := s.SetAlarm(ctx, at, nil); !errors.Is(err, durable.ErrValue) {
				t.Errorf("%v: %v", at, err)
			}
		}
	})
}
