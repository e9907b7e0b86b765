package durable_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

func setAlarm(at time.Time) job {
	return func(ctx context.Context, l *Lab) (string, error) { return "", l.state.Storage().SetAlarm(ctx, at, nil) }
}

func getAlarm(ctx context.Context, l *Lab) (string, error) {
	at, err := l.state.Storage().GetAlarm(ctx, nil)
	if at.IsZero() {
		return "none", err
	}
	return at.UTC().Format(time.RFC3339Nano), err
}

func TestAlarmRings(t *testing.T) {
	rang := make(chan durable.AlarmInfo, 1)
	set(t, &onAlarm, func(ctx context.Context, l *Lab, info durable.AlarmInfo) error {
		during, err := getAlarm(ctx, l)
		if during != "none" {
			t.Errorf("the alarm is %s while it is delivered", during)
		}
		err = errors.Join(err, l.put("alarm", "rang"))
		rang <- info
		return err
	})
	o, at := object(t), time.Now().Add(1500*time.Millisecond).Truncate(time.Millisecond)
	o.want(t, "", setAlarm(at))
	o.want(t, at.UTC().Format(time.RFC3339Nano), getAlarm)
	if info := <-rang; info.IsRetry || info.RetryCount != 0 || !info.ScheduledTime.Equal(at) {
		t.Errorf("due %v: %+v", at, info)
	}
	if early := time.Until(at); early > 0 {
		t.Errorf("it was delivered %v early", early)
	}
	o.want(t, "rang", get("alarm"))
	o.want(t, "none", getAlarm)
}

func TestAlarmWithFractionsIsNotEarly(t *testing.T) {
	o, at := object(t), time.Now().Add(time.Hour).Truncate(time.Millisecond)
	for _, fraction := range []time.Duration{0, 1, 999 * time.Microsecond, time.Millisecond - 1} {
		want := at
		if fraction > 0 {
			want = at.Add(time.Millisecond)
		}
		o.want(t, "", setAlarm(at.Add(fraction)))
		o.want(t, want.UTC().Format(time.RFC3339Nano), getAlarm)
	}
}

func TestAlarmThatPanicsIsDeliveredAgain(t *testing.T) {
	deliveries := make(chan durable.AlarmInfo, 2)
	set(t, &onAlarm, func(_ context.Context, l *Lab, info durable.AlarmInfo) error {
		deliveries <- info
		if !info.IsRetry {
			panic("alarm boom")
		}
		return nil
	})
	object(t).want(t, "", setAlarm(time.Now()))
	if info := <-deliveries; info.IsRetry || info.RetryCount != 0 {
		t.Errorf("first: %+v", info)
	}
	if info := <-deliveries; !info.IsRetry || info.RetryCount != 1 { // after 2 s
		t.Errorf("second: %+v", info)
	}
}

func TestDeletedAlarmDoesNotRing(t *testing.T) {
	set(t, &onAlarm, func(context.Context, *Lab, durable.AlarmInfo) error {
		t.Error("it rang")
		return nil
	})
	o := object(t)
	o.want(t, "", setAlarm(time.Now().Add(50*time.Millisecond)))
	o.want(t, "", func(ctx context.Context, l *Lab) (string, error) { return "", l.state.Storage().DeleteAlarm(ctx, nil) })
	o.want(t, "none", getAlarm)
	time.Sleep(100 * time.Millisecond)
}

func TestAlarmSurvivesSIGKILL(t *testing.T) {
	rang, built := make(chan struct{}), 0
	set(t, &onConstruct, func(context.Context, *Lab) error { built++; return nil })
	set(t, &onAlarm, func(_ context.Context, l *Lab, _ durable.AlarmInfo) error {
		close(rang)
		return l.put("alarm", "rang")
	})
	named(t, "a").want(t, "", setAlarm(time.Now().Add(500*time.Millisecond)))
	durabletest.Restart(t)
	<-rang
	if built != 2 {
		t.Errorf("the object was built %d times, want once before the kill and once for the alarm", built)
	}
	named(t, "a").want(t, "rang", get("alarm"))
}

func TestClassWithoutAlarmCannotSetOne(t *testing.T) {
	durabletest.Run(t, durabletest.New(t, "BARE"), func(ctx context.Context, state *durable.State) {
		if err := state.Storage().SetAlarm(ctx, time.Now(), nil); !errors.Is(err, durable.ErrNoAlarmHandler) {
			t.Errorf("SetAlarm: %v", err)
		}
	})
}

// An alarm may be due before workerd is killed, while no workerd runs, or when
// the next one has not loaded the program yet. If the kill makes the test
// forget the alarm, it must not be delivered or start the program again.
func TestAlarmRunsOnceAroundARestart(t *testing.T) {
	rang := make(chan struct{}, 10)
	set(t, &onAlarm, func(_ context.Context, l *Lab, _ durable.AlarmInfo) error {
		rang <- struct{}{}
		v, err := l.get("rings")
		if err != nil {
			return err
		}
		return l.put("rings", v+"x")
	})
	want := ""
	for _, after := range []time.Duration{5, 20, 50, 100, 150, 300} {
		named(t, "a").want(t, "", setAlarm(time.Now().Add(after*time.Millisecond)))
		durabletest.Restart(t)
		<-rang
		want += "x"
		named(t, "a").want(t, want, get("rings"))
	}
	if len(rang) > 0 {
		t.Errorf("it was delivered %d more times", len(rang))
	}
}
