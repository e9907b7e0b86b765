package durable_test

import (
	"context"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

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
