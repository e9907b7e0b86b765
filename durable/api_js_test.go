package durable_test

import (
	"context"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

func TestEveryStorageOptionIsAccepted(t *testing.T) {
	for _, binding := range []string{durabletest.SQLite, durabletest.KV} {
		inside(t, binding, func(ctx context.Context, s *durable.Storage) {
			all := &durable.PutOptions{AllowUnconfirmed: true, AllowConcurrency: true, NoCache: true}
			must(t, s.Put(ctx, "k", "v", all))
			if v, _, err := s.Get(ctx, "k", &durable.GetOptions{AllowConcurrency: true, NoCache: true}); v != "v" || err != nil {
				t.Errorf("%s: Get: %v, %v", binding, v, err)
			}
			list := &durable.ListOptions{Start: "k", End: "l", Prefix: "k", Limit: 1, Reverse: true, AllowConcurrency: true, NoCache: true}
			if entries, err := s.List(ctx, list); len(entries) != 1 || err != nil {
				t.Errorf("%s: List: %v, %v", binding, entries, err)
			}
			alarm := &durable.SetAlarmOptions{AllowConcurrency: true, AllowUnconfirmed: true}
			must(t, s.SetAlarm(ctx, time.Now().Add(time.Hour), alarm))
			if at, err := s.GetAlarm(ctx, &durable.GetAlarmOptions{AllowConcurrency: true}); at.IsZero() || err != nil {
				t.Errorf("%s: GetAlarm: %v, %v", binding, at, err)
			}
			must(t, s.DeleteAlarm(ctx, alarm))
			must(t, s.DeleteAll(ctx, all))
			if entries, err := s.List(ctx, nil); len(entries) != 0 || err != nil {
				t.Errorf("%s: after DeleteAll: %v, %v", binding, entries, err)
			}
		})
	}
}

func TestAbortControlsAlarmRetry(t *testing.T) {
	for name, c := range map[string]struct {
		options *durable.AbortOptions
		again   bool
	}{
		"without options": {nil, true},
		"zero options":    {&durable.AbortOptions{}, true},
		"not again":       {&durable.AbortOptions{SkipAlarmRetry: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			aborted := make(chan bool)
			set(t, &onAlarm, func(ctx context.Context, l *Lab, _ durable.AlarmInfo) error {
				defer close(aborted)
				return l.state.Abort(ctx, "enough", c.options)
			})
			stub := durabletest.New(t, "LAB")
			through(stub).want(t, "", func(ctx context.Context, l *Lab) (string, error) {
				return "", l.state.Storage().SetAlarm(ctx, time.Now(), nil)
			})
			<-aborted
			through(stub)(t.Context(), ping) // reaches the old instance or the new one; afterwards the old one is gone
			durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
				at, err := state.Storage().GetAlarm(ctx, nil)
				if isPending := !at.IsZero(); isPending != c.again || err != nil {
					t.Errorf("an alarm is pending: %v, %v", isPending, err)
				}
				must(t, state.Storage().DeleteAlarm(ctx, nil))
			})
		})
	}
}

func TestAlarmGetsItsScheduledTime(t *testing.T) {
	rang := make(chan durable.AlarmInfo, 1)
	set(t, &onAlarm, func(_ context.Context, _ *Lab, info durable.AlarmInfo) error {
		rang <- info
		return nil
	})
	due := time.UnixMilli(time.Now().UnixMilli() + 1000) // a time in the past would be reported as now
	object(t).want(t, "", func(ctx context.Context, l *Lab) (string, error) {
		return "", l.state.Storage().SetAlarm(ctx, due, nil)
	})
	if info := <-rang; !info.ScheduledTime.Equal(due) || info.IsRetry || info.RetryCount != 0 {
		t.Errorf("%+v, want an alarm that was due at %v", info, due)
	}
}

func TestTransactionHasTheOperationsOfTheStorage(t *testing.T) {
	for _, binding := range []string{durabletest.SQLite, durabletest.KV} {
		inside(t, binding, func(ctx context.Context, s *durable.Storage) {
			must(t, s.PutMany(ctx, entries(5), nil))
			must(t, s.Transaction(ctx, func(txn *durable.Transaction) error {
				if existed, err := txn.Delete(ctx, "0", nil); !existed || err != nil {
					t.Errorf("%s: Delete: %v, %v", binding, existed, err)
				}
				if n, err := txn.DeleteMany(ctx, []string{"1", "2"}, nil); n != 2 || err != nil {
					t.Errorf("%s: DeleteMany: %v, %v", binding, n, err)
				}
				if list, err := txn.List(ctx, &durable.ListOptions{Start: "2"}); len(list) != 2 || err != nil {
					t.Errorf("%s: List: %v, %v", binding, list, err)
				}
				list, err := txn.GetMany(ctx, []string{"2", "3", "4"}, nil)
				if len(list) != 2 {
					t.Errorf("%s: GetMany: %v", binding, list)
				}
				return err
			}))
		})
	}
}

func TestKVDeleteSaysWhetherThereWasAValue(t *testing.T) {
	inside(t, durabletest.SQLite, func(_ context.Context, s *durable.Storage) {
		must(t, s.KV().Put("k", "v"))
		for _, want := range []bool{true, false} {
			if existed, err := s.KV().Delete("k"); existed != want || err != nil {
				t.Errorf("%v, %v; want %v", existed, err, want)
			}
		}
	})
}

// Billing counts rows like this: each index adds one.
func TestCursorCountsTheRowsWritten(t *testing.T) {
	inside(t, durabletest.SQLite, func(_ context.Context, s *durable.Storage) {
		_, err := s.SQL().Exec("create table t (k text unique, v text)")
		must(t, err)
		c, err := s.SQL().Exec("insert into t values ('a', 'b')")
		must(t, err)
		if c.Next() || c.RowsWritten() != 2 {
			t.Errorf("%d rows written", c.RowsWritten())
		}
	})
}
