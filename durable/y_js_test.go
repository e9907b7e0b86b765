package durable_test

import (
	"context"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

func TestAlarmThatIsDueAroundSIGKILLRingsAndIsRemembered(t *testing.T) {
	rang := 0
	set(t, &onAlarm, func(_ context.Context, l *Lab, info durable.AlarmInfo) error {
		rang++
		v, _ := l.get("alarm")
		return l.put("alarm", v+"x")
	})
	want := ""
	for ms := 5; ms < 400; ms += 13 {
		t.Log(ms)
		named(t, "a").want(t, "", setAlarm(time.Now().Add(time.Duration(ms)*time.Millisecond)))
		durabletest.Restart(t)
		want += "x"
		begin := time.Now()
		for rang < len(want) && time.Since(begin) < 2*time.Second {
			time.Sleep(5 * time.Millisecond)
		}
		if rang != len(want) {
			got, err := named(t, "a")(t.Context(), get("alarm"))
			t.Fatalf("%d ms: rang %d times, want %d; %q %v", ms, rang, len(want), got, err)
		}
		named(t, "a").want(t, want, get("alarm"))
	}
}
