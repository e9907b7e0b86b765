package durable_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
	"github.com/google/go-cmp/cmp"
)

// backends are the bindings of objects with each kind of storage.
var backends = map[string]string{"SQLite": durabletest.SQLite, "KV": durabletest.KV}

// onBothBackends runs a test inside a fresh object of each kind of storage.
func onBothBackends(t *testing.T, test func(t *testing.T, ctx context.Context, s *durable.Storage)) {
	for name, binding := range backends {
		t.Run(name, func(t *testing.T) {
			durabletest.Run(t, durabletest.New(t, binding), func(ctx context.Context, state *durable.State) {
				test(t, ctx, state.Storage())
			})
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func keys(entries []durable.Entry) (keys []string) {
	for _, e := range entries {
		keys = append(keys, e.Key)
	}
	return keys
}

func TestAsynchronousOperations(t *testing.T) {
	onBothBackends(t, func(t *testing.T, ctx context.Context, s *durable.Storage) {
		if v, ok, err := s.Get(ctx, "absent", nil); v != nil || ok || err != nil {
			t.Errorf("a key without a value: %v, %v, %v", v, ok, err)
		}
		must(t, s.Put(ctx, "one", 1, nil))
		must(t, s.PutMany(ctx, []durable.Entry{{Key: "two", Value: 2}, {Key: "three", Value: "III"}}, &durable.PutOptions{AllowUnconfirmed: true}))
		if v, ok, err := s.Get(ctx, "one", &durable.GetOptions{NoCache: true, AllowConcurrency: true}); v != 1.0 || !ok || err != nil {
			t.Errorf("one: %v, %v, %v", v, ok, err)
		}
		got, err := s.GetMany(ctx, []string{"two", "absent", "three"}, nil)
		want := []durable.Entry{{Key: "three", Value: "III"}, {Key: "two", Value: 2.0}}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("many: %v\n%s", err, diff)
		}
		if existed, err := s.Delete(ctx, "one", nil); !existed || err != nil {
			t.Errorf("delete: %v, %v", existed, err)
		}
		if existed, err := s.Delete(ctx, "one", nil); existed || err != nil {
			t.Errorf("delete again: %v, %v", existed, err)
		}
		if n, err := s.DeleteMany(ctx, []string{"one", "two", "three"}, nil); n != 2 || err != nil {
			t.Errorf("delete many: %d, %v", n, err)
		}
		must(t, s.Sync(ctx))
	})
}

func TestListSelectsKeysInOrder(t *testing.T) {
	tests := []struct {
		name string
		opts *durable.ListOptions
		want []string
	}{
		{"all", nil, []string{"a", "b1", "b2", "c", "é"}},
		{"from a key on", &durable.ListOptions{Start: "b2"}, []string{"b2", "c", "é"}},
		{"after a key", &durable.ListOptions{StartAfter: "b2"}, []string{"c", "é"}},
		{"up to a key", &durable.ListOptions{End: "b2"}, []string{"a", "b1"}},
		{"with a prefix", &durable.ListOptions{Prefix: "b"}, []string{"b1", "b2"}},
		{"backwards", &durable.ListOptions{Reverse: true}, []string{"é", "c", "b2", "b1", "a"}},
		{"a few", &durable.ListOptions{Limit: 2}, []string{"a", "b1"}},
		{"the last", &durable.ListOptions{Reverse: true, Limit: 1}, []string{"é"}},
		{"none", &durable.ListOptions{Prefix: "x"}, nil},
	}
	for name, binding := range backends {
		durabletest.Run(t, durabletest.New(t, binding), func(ctx context.Context, state *durable.State) {
			s := state.Storage()
			for _, key := range []string{"c", "a", "é", "b2", "b1"} {
				must(t, s.Put(ctx, key, key, nil))
			}
			for _, tt := range tests {
				entries, err := s.List(ctx, tt.opts)
				if diff := cmp.Diff(tt.want, keys(entries)); diff != "" || err != nil {
					t.Errorf("%s, %s: %v\n%s", name, tt.name, err, diff)
				}
				if name == "KV" {
					continue
				}
				var synchronous []string
				for e, err := range s.KV().List(tt.opts) {
					must(t, err)
					synchronous = append(synchronous, e.Key)
				}
				if diff := cmp.Diff(tt.want, synchronous); diff != "" {
					t.Errorf("KV().List, %s:\n%s", tt.name, diff)
				}
			}
		})
	}
}

func TestKVListStreamsAndMayBeLeftEarly(t *testing.T) {
	durabletest.Run(t, durabletest.New(t, durabletest.SQLite), func(ctx context.Context, state *durable.State) {
		kv := state.Storage().KV()
		for i := range 1000 {
			must(t, kv.Put(string(rune('\u4e00'+i)), i))
		}
		n := 0
		for e, err := range kv.List(nil) {
			must(t, err)
			if e.Value != float64(n) {
				t.Fatalf("entry %d is %v", n, e)
			}
			if n++; n == 500 {
				break
			}
		}
		n = 0
		for _, err := range kv.List(nil) {
			must(t, err)
			n++
		}
		if n != 1000 {
			t.Errorf("%d entries", n)
		}
	})
}

// A stored value is either read back unchanged, or refused when it is stored.
func TestValuesNeverChangeSilently(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123)
	tests := []struct {
		name     string
		in, want any // if want is nil, in is refused
	}{
		{"a string", "hé\x00😀", "hé\x00😀"},
		{"bytes", []byte{0, 255}, []byte{0, 255}},
		{"no bytes", []byte{}, []byte{}},
		{"true", true, true},
		{"a fraction", 0.1, 0.1},
		{"an infinity", math.Inf(-1), math.Inf(-1)},
		{"an int", 7, 7.0},
		{"the largest integer that becomes a number", int64(1<<53 - 1), float64(1<<53 - 1)},
		{"an integer beyond the largest", int64(1 << 53), int64(1 << 53)},
		{"the smallest int64", int64(math.MinInt64), int64(math.MinInt64)},
		{"a time", at, at},
		{"a list", []any{1.0, "a", nil, []any{}}, []any{1.0, "a", nil, []any{}}},
		{"a map", map[string]any{"a": 1.0, "": map[string]any{}}, map[string]any{"a": 1.0, "": map[string]any{}}},

		{"a time with ns", time.Unix(1, 1), nil},
		{"a time with ns in a list", []any{time.Unix(1, 1)}, nil},
		{"a string that is not UTF-8", "\xff", nil},
		{"a channel", make(chan int), nil},
		{"a struct", struct{ A int }{1}, map[string]any{"A": 1.0}},
		{"a struct with only unexported fields", struct{ a int }{1}, nil},
	}
	onBothBackends(t, func(t *testing.T, ctx context.Context, s *durable.Storage) {
		for _, tt := range tests {
			err := s.Put(ctx, "k", tt.in, nil)
			if tt.want == nil {
				if err == nil {
					t.Errorf("%s is not refused", tt.name)
				}
				continue
			}
			got, _, getErr := s.Get(ctx, "k", nil)
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil || getErr != nil {
				t.Errorf("%s: %v, %v\n%s", tt.name, err, getErr, diff)
			}
		}
	})
}

func TestTransactionCommitsAndRollsBack(t *testing.T) {
	onBothBackends(t, func(t *testing.T, ctx context.Context, s *durable.Storage) {
		wait := func() { <-time.After(5 * time.Millisecond) } // other I/O inside the transaction
		must(t, s.Transaction(ctx, func(txn *durable.Transaction) error {
			must(t, txn.Put(ctx, "kept", 1, nil))
			wait()
			return txn.Put(ctx, "also", 2, nil)
		}))
		refused := errors.New("refused")
		err := s.Transaction(ctx, func(txn *durable.Transaction) error {
			must(t, txn.Put(ctx, "gone", 1, nil))
			wait()
			if v, _, err := txn.Get(ctx, "gone", nil); v != 1.0 || err != nil {
				t.Errorf("inside: %v, %v", v, err)
			}
			return refused
		})
		if err != refused {
			t.Errorf("the transaction returned %v", err)
		}
		func() {
			defer func() {
				if p := recover(); p != "boom" {
					t.Errorf("recovered %v", p)
				}
			}()
			s.Transaction(ctx, func(txn *durable.Transaction) error {
				txn.Put(ctx, "gone", 1, nil)
				panic("boom")
			})
		}()
		entries, err := s.List(ctx, nil)
		if diff := cmp.Diff([]string{"also", "kept"}, keys(entries)); diff != "" || err != nil {
			t.Errorf("%v\n%s", err, diff)
		}
	})
}

func TestSQLInATransactionIsRolledBackWithIt(t *testing.T) {
	durabletest.Run(t, durabletest.New(t, durabletest.SQLite), func(ctx context.Context, state *durable.State) {
		sql := state.Storage().SQL()
		exec := func(query string) {
			_, err := sql.Exec(query)
			must(t, err)
		}
		exec("create table t (x)")
		state.Storage().Transaction(ctx, func(*durable.Transaction) error {
			exec("insert into t values (1)")
			return errors.New("roll back")
		})
		c, err := sql.Exec("select count(*) from t")
		must(t, err)
		var n int
		if c.Next(); c.Scan(&n) != nil || n != 0 {
			t.Errorf("%d rows are left", n)
		}
	})
}

// No other event is delivered during a transaction.
func TestTransactionHoldsOtherEventsBack(t *testing.T) {
	o := object(t)
	begun, goOn := make(chan bool), make(chan bool)
	transacting := o.begin(t, func(ctx context.Context, l *Lab) (string, error) {
		return "done", l.state.Storage().Transaction(ctx, func(txn *durable.Transaction) error {
			if err := txn.Put(ctx, "k", "in transaction", nil); err != nil {
				return err
			}
			close(begun)
			for { // does its own I/O: a channel of another event would block forever
				if _, _, err := txn.Get(ctx, "k", nil); err != nil {
					return err
				}
				select {
				case <-goOn:
					return txn.Put(ctx, "k", "after", nil)
				case <-time.After(time.Millisecond):
				}
			}
		})
	})
	<-begun
	reading := o.begin(t, get("k"))
	select {
	case o := <-reading:
		t.Errorf("an event was delivered inside the transaction: %+v", o)
	case <-time.After(100 * time.Millisecond):
	}
	close(goOn)
	wantOutcome(t, transacting, "done")
	wantOutcome(t, reading, "after")
}

// A handler that began before the transaction may write during it. A rollback
// must not undo that write, because its caller was told that it succeeded.
func TestRollbackSparesOthersWrites(t *testing.T) {
	o := object(t)
	begun := make(chan bool)
	writing := o.begin(t, func(_ context.Context, l *Lab) (string, error) {
		<-begun
		return "written", l.put("k", "v")
	})
	transacting := o.begin(t, func(ctx context.Context, l *Lab) (string, error) {
		err := l.state.Storage().Transaction(ctx, func(*durable.Transaction) error {
			close(begun)
			time.Sleep(200 * time.Millisecond)
			return errors.New("roll back")
		})
		return err.Error(), nil
	})
	wantOutcome(t, transacting, "roll back")
	wantOutcome(t, writing, "written")
	o.want(t, "v", get("k"))
}

func TestAlarmOperationsWorkInATransaction(t *testing.T) {
	onBothBackends(t, func(t *testing.T, ctx context.Context, s *durable.Storage) {
		at := time.UnixMilli(time.Now().Add(time.Hour).UnixMilli())
		must(t, s.Transaction(ctx, func(txn *durable.Transaction) error {
			return txn.SetAlarm(ctx, at, &durable.SetAlarmOptions{AllowUnconfirmed: true})
		}))
		if got, err := s.GetAlarm(ctx, &durable.GetAlarmOptions{AllowConcurrency: true}); !got.Equal(at) || err != nil {
			t.Errorf("the alarm is at %v, %v; want %v", got, err, at)
		}
		s.Transaction(ctx, func(txn *durable.Transaction) error {
			must(t, txn.DeleteAlarm(ctx, nil))
			return errors.New("roll back")
		})
		if got, err := s.GetAlarm(ctx, nil); !got.Equal(at) || err != nil {
			t.Errorf("after the rollback the alarm is at %v, %v", got, err)
		}
		must(t, s.DeleteAlarm(ctx, nil))
		if got, err := s.GetAlarm(ctx, nil); !got.IsZero() || err != nil {
			t.Errorf("a deleted alarm is at %v, %v", got, err)
		}
	})
}

// Local workerd has these operations, but does not restore anything.
func TestBookmarks(t *testing.T) {
	durabletest.Run(t, durabletest.New(t, durabletest.SQLite), func(ctx context.Context, state *durable.State) {
		s := state.Storage()
		if b, err := s.CurrentBookmark(ctx); b == "" || err != nil {
			t.Errorf("the current bookmark: %q, %v", b, err)
		}
		if _, err := s.BookmarkForTime(ctx, time.Now().Add(-time.Hour)); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("BookmarkForTime: %v", err)
		}
		_, err := s.RestoreBookmark(ctx, "00000000-00000000-00000000-00000000000000000000000000000000")
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("RestoreBookmark: %v", err)
		}
	})
}
