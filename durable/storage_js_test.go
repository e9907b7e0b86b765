package durable_test

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

func TestValuesOfEveryTypeAreStored(t *testing.T) {
	at := time.Now().Truncate(time.Millisecond)
	inside(t, durabletest.SQLite, func(_ context.Context, s *durable.Storage) {
		for name, c := range map[string]struct{ in, out any }{
			"bool":                       {true, true},
			"int":                        {-7, -7.0},
			"float64":                    {0.5, 0.5},
			"the largest safe integer":   {int64(1<<53 - 1), float64(1<<53 - 1)},
			"an integer beyond":          {int64(1 << 53), int64(1 << 53)},
			"the smallest integer":       {int64(math.MinInt64), int64(math.MinInt64)},
			"string":                     {"s", "s"},
			"[]byte":                     {[]byte{0, 255}, []byte{0, 255}},
			"time.Time":                  {at, at},
			"[]any":                      {[]any{1.0, "x", nil}, []any{1.0, "x", nil}},
			"map[string]any":             {map[string]any{"a": []any{true}}, map[string]any{"a": []any{true}}},
			"an empty []byte is a value": {[]byte{}, []byte{}},
		} {
			if err := s.KV().Put("k", c.in); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if out, ok, err := s.KV().Get("k"); !reflect.DeepEqual(out, c.out) || !ok || err != nil {
				t.Errorf("%s: %#v became %#v, %v, %v", name, c.in, out, ok, err)
			}
		}
	})
}

func TestDeleteSaysWhetherThereWasAValue(t *testing.T) {
	inside(t, durabletest.SQLite, func(_ context.Context, s *durable.Storage) {
		if err := s.KV().Put("k", "v"); err != nil {
			t.Fatal(err)
		}
		for _, want := range []bool{true, false} {
			if existed, err := s.KV().Delete("k"); existed != want || err != nil {
				t.Errorf("%v, %v; want %v", existed, err, want)
			}
			if v, ok, err := s.KV().Get("k"); v != nil || ok || err != nil {
				t.Errorf("afterwards the value is %v, %v, %v", v, ok, err)
			}
		}
	})
}

func TestUnusualKeysAndValuesRoundTrip(t *testing.T) {
	values := []string{"", "plain", "\x00\x01", "😀", strings.Repeat("x", 1000)}
	inside(t, durabletest.SQLite, func(_ context.Context, s *durable.Storage) {
		for _, v := range values {
			if err := s.KV().Put("k"+v, v); err != nil {
				t.Error(err)
			}
		}
		for _, v := range values {
			if got, ok, err := s.KV().Get("k" + v); got != v || !ok || err != nil {
				t.Errorf("under %.10q: %.10q, %v, %v", "k"+v, got, ok, err)
			}
		}
		for _, err := range []error{s.KV().Put("k", "\xff"), s.KV().Put("\xff", "v")} {
			if err == nil || !strings.Contains(err.Error(), "not valid UTF-8") {
				t.Errorf("invalid text: %v", err)
			}
		}
	})
}

func TestKeyAndValueAreLimitedTo2MBTogether(t *testing.T) {
	inside(t, durabletest.SQLite, func(_ context.Context, s *durable.Storage) {
		largest := make([]byte, durable.MaxKeyValueSize-1) // the key has one byte
		largest[len(largest)-1] = 7
		if err := s.KV().Put("k", largest); err != nil {
			t.Error(err)
		}
		err := s.KV().Put("k", make([]byte, durable.MaxKeyValueSize))
		var e *durable.LimitError
		if !errors.Is(err, durable.ErrLimit) || !errors.As(err, &e) || e.Max != 2_000_000 || e.Actual != 2_000_001 {
			t.Errorf("a byte more: %v", err)
		}
		if v, _, err := s.KV().Get("k"); !reflect.DeepEqual(v, largest) || err != nil {
			t.Errorf("the largest value is lost: %v", err)
		}
	})
}

func TestDeleteAllEmptiesTheObject(t *testing.T) {
	inside(t, durabletest.SQLite, func(ctx context.Context, s *durable.Storage) {
		if _, err := s.SQL().Exec("CREATE TABLE t (i); INSERT INTO t VALUES (1)"); err != nil {
			t.Error(err)
		}
		err := errors.Join(s.KV().Put("k", "v"), s.SetAlarm(ctx, time.Now().Add(time.Hour), nil))
		if at, getErr := s.GetAlarm(ctx, nil); at.IsZero() || err != nil || getErr != nil {
			t.Errorf("before: %v, %v, %v", at, err, getErr)
		}
		if err := s.DeleteAll(ctx, nil); err != nil {
			t.Error(err)
		}
		if at, err := s.GetAlarm(ctx, nil); !at.IsZero() || err != nil {
			t.Errorf("the alarm is at %v, %v", at, err)
		}
		c, err := s.SQL().Exec("SELECT name FROM sqlite_master")
		if err != nil {
			t.Fatal(err)
		}
		for c.Next() {
			var table string
			t.Errorf("there is table %s, %v", table, c.Scan(&table))
		}
		if v, ok, err := s.KV().Get("k"); ok || err != nil {
			t.Errorf("k is %v, %v", v, err)
		}
	})
}

func TestEvictedObjectKeepsItsStorage(t *testing.T) {
	for name, leave := range map[string]func(*testing.T, *durable.Stub){
		"evicted": func(t *testing.T, stub *durable.Stub) { durabletest.Evict(t, stub) },
		"aborted": func(t *testing.T, stub *durable.Stub) { durabletest.Abort(t, stub) },
		"killed":  func(t *testing.T, _ *durable.Stub) { durabletest.Restart(t) },
	} {
		t.Run(name, func(t *testing.T) {
			built := 0
			set(t, &onConstruct, func(context.Context, *Lab) error { built++; return nil })
			named(t, "a").want(t, "", put("k", "kept"))
			stub, err := namespace(t).GetByName("a", nil)
			if err != nil {
				t.Fatal(err)
			}
			leave(t, stub)
			named(t, "a").want(t, "kept", get("k"))
			if built != 2 {
				t.Errorf("it was built %d times", built)
			}
		})
	}
}

func TestKVBackendHasNoSynchronousStorage(t *testing.T) {
	durabletest.Run(t, durabletest.New(t, durabletest.KV), func(_ context.Context, state *durable.State) {
		_, _, get := state.Storage().KV().Get("k")
		_, del := state.Storage().KV().Delete("k")
		_, exec := state.Storage().SQL().Exec("SELECT 1")
		for name, err := range map[string]error{"Get": get, "Put": state.Storage().KV().Put("k", "v"), "Delete": del, "Exec": exec} {
			if !errors.Is(err, durable.ErrNoSQL) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
