package durable_test

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// store is one of the ways to store values and read them as Go types.
type store struct {
	put func(key string, value any) error
	kv  *durable.KV         // or
	at  durable.AsyncGetter // the asynchronous store
}

// load calls durable.Get or durable.GetAsync.
func load[T any](ctx context.Context, s store, key string) (T, bool, error) {
	if s.kv != nil {
		return durable.Get[T](s.kv, key)
	}
	return durable.GetAsync[T](ctx, s.at, key, nil)
}

// inEachStore runs test with each store of an object. It commits transactions.
func inEachStore(t *testing.T, test func(t *testing.T, ctx context.Context, s store)) {
	inside(t, durabletest.SQLite, func(ctx context.Context, s *durable.Storage) {
		t.Run("KV", func(t *testing.T) { test(t, ctx, store{s.KV().Put, s.KV(), nil}) })
		t.Run("TransactionSync", func(t *testing.T) {
			must(t, s.TransactionSync(func() error { test(t, ctx, store{s.KV().Put, s.KV(), nil}); return nil }))
		})
	})
	onBothBackends(t, func(t *testing.T, ctx context.Context, s *durable.Storage) {
		put := func(key string, value any) error { return s.Put(ctx, key, value, nil) }
		test(t, ctx, store{put, nil, s})
		must(t, s.Transaction(ctx, func(txn *durable.Transaction) error {
			put := func(key string, value any) error { return txn.Put(ctx, key, value, nil) }
			test(t, ctx, store{put, nil, txn})
			return nil
		}))
	})
}

// comesBack fails the test unless a value can be stored and read back as its
// own type.
func comesBack[T any](t *testing.T, ctx context.Context, s store, want T) {
	t.Helper()
	must(t, s.put("k", want))
	if got, ok, err := load[T](ctx, s, "k"); !reflect.DeepEqual(got, want) || !ok || err != nil {
		t.Errorf("a %T: got %v, %v, %v; want %v", want, got, ok, err, want)
	}
}

// isRefused fails the test unless the value under k cannot be read as a T.
func isRefused[T any](t *testing.T, ctx context.Context, s store) {
	t.Helper()
	var zero T
	got, ok, err := load[T](ctx, s, "k")
	if !reflect.DeepEqual(got, zero) || ok || !errors.Is(err, durable.ErrValue) {
		t.Errorf("as a %T: got %v, %v, %v; want ErrValue", zero, got, ok, err)
	}
}

func TestValuesComeBackAsTheirTypes(t *testing.T) {
	type level int8
	inEachStore(t, func(t *testing.T, ctx context.Context, s store) {
		comesBack(t, ctx, s, true)
		comesBack(t, ctx, s, int64(-1<<63))
		comesBack(t, ctx, s, uint64(1<<64-1))
		comesBack(t, ctx, s, 0.5)
		comesBack(t, ctx, s, level(-7))
		comesBack(t, ctx, s, "")
		comesBack(t, ctx, s, []byte{0, 255})
		comesBack(t, ctx, s, time.Duration(1))
		comesBack(t, ctx, s, []string{"a", ""})
		comesBack(t, ctx, s, map[int]bool{1: true})
		comesBack(t, ctx, s, order{ID: 1 << 60, Lines: map[string]int{"a": 1}, At: time.UnixMilli(5)})
	})
}

func TestAValueOfAnotherTypeIsAnErrorAndNeverAZero(t *testing.T) {
	inEachStore(t, func(t *testing.T, ctx context.Context, s store) {
		must(t, s.put("k", "12"))
		isRefused[int64](t, ctx, s)
		isRefused[float64](t, ctx, s)
		isRefused[[]string](t, ctx, s)
		must(t, s.put("k", 300.5))
		isRefused[int64](t, ctx, s)
		isRefused[string](t, ctx, s)
		must(t, s.put("k", 300))
		isRefused[int8](t, ctx, s)
		must(t, s.put("k", map[string]any{"id": 1, "lines": "none"})) // the first field fits
		isRefused[order](t, ctx, s)
	})
}

func TestNilDiffersFromAnAbsentKey(t *testing.T) {
	inEachStore(t, func(t *testing.T, ctx context.Context, s store) {
		if n, ok, err := load[int64](ctx, s, "absent"); n != 0 || ok || err != nil {
			t.Errorf("an absent key: %v, %v, %v", n, ok, err)
		}
		must(t, s.put("k", (*int64)(nil)))
		isRefused[int64](t, ctx, s)
		isRefused[order](t, ctx, s)
		if p, ok, err := load[*int64](ctx, s, "k"); p != nil || !ok || err != nil {
			t.Errorf("a nil: %v, %v, %v", p, ok, err)
		}
		if v, ok, err := load[any](ctx, s, "k"); v != nil || !ok || err != nil {
			t.Errorf("a nil as any: %v, %v, %v", v, ok, err)
		}
	})
}

// A type that no stored value can have is refused even if the key is absent.
func TestImpossibleTypeIsRefused(t *testing.T) {
	inEachStore(t, func(t *testing.T, ctx context.Context, s store) {
		if _, ok, err := load[json.RawMessage](ctx, s, "absent"); ok || !errors.Is(err, durable.ErrValue) {
			t.Errorf("json.RawMessage: %v, %v", ok, err)
		}
		if _, ok, err := load[chan int](ctx, s, "absent"); ok || !errors.Is(err, durable.ErrValue) {
			t.Errorf("a channel: %v, %v", ok, err)
		}
	})
}
