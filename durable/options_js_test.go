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

func TestAbortDecidesWhetherAnAlarmIsDeliveredAgain(t *testing.T) {
	for name, c := range map[string]struct {
		options *durable.AbortOptions
		again   bool
	}{
		"without options": {nil, true},
		"again":           {&durable.AbortOptions{RetryAlarm: true}, true},
		"not again":       {&durable.AbortOptions{}, false},
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
			through(stub)(t.Context(), ping) // finds the old instance, or the new one; then the old one is gone
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
