package durable

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// registers calls register in a program of its own, and returns the text of its
// panic.
func registers(t *testing.T, register func()) (text string) {
	t.Helper()
	before := program
	program = worker{}
	defer func() {
		program = before
		text, _ = recover().(string)
	}()
	register()
	return ""
}

func TestWorkersHandlersAreRegisteredOnce(t *testing.T) {
	scheduled := func(context.Context, *Env, ScheduledEvent) error { return nil }
	queue := func(context.Context, *Env, *MessageBatch) error { return nil }
	for _, c := range []struct {
		register func()
		want     string
	}{
		{func() { HandleScheduled(scheduled); HandleQueue(queue) }, ""},
		{func() { HandleScheduled(nil) }, "durable: HandleScheduled needs a function"},
		{func() { HandleScheduled(scheduled); HandleScheduled(scheduled) }, "durable: HandleScheduled called twice"},
		{func() { HandleQueue(nil) }, "durable: HandleQueue needs a function"},
		{func() { HandleQueue(queue); HandleQueue(queue) }, "durable: HandleQueue called twice"},
	} {
		if got := registers(t, c.register); got != c.want {
			t.Errorf("panicked with %q, want %q", got, c.want)
		}
	}
}

func TestDescriptionHasTheWorkersHandlers(t *testing.T) {
	registers(t, func() {
		HandleQueue(func(context.Context, *Env, *MessageBatch) error { return nil })
		if d := program.Describe(); d["fetch"] != false || d["scheduled"] != false || d["queue"] != true {
			t.Errorf("%v", d)
		}
	})
}

func TestQueuesNeedWorkerd(t *testing.T) {
	if _, err := (*Env)(nil).Queue("JOBS"); err == nil || !strings.Contains(err.Error(), "hint: ") {
		t.Errorf("a nil environment: %v", err)
	}
	q, m, b := &Queue{}, &QueueMessage{}, &MessageBatch{}
	_, envErr := (&Env{}).Queue("JOBS")
	_, bodyErr := Body[int](m)
	_, metricsErr := q.Metrics(t.Context())
	_, batchErr := b.Metrics()
	for what, err := range map[string]error{
		"Env.Queue": envErr, "Body": bodyErr, "Metrics": metricsErr, "MessageBatch.Metrics": batchErr,
		"Send": q.Send(t.Context(), 1, nil), "SendBatch": q.SendBatch(t.Context(), []MessageSendRequest{{Body: 1}}, nil),
		"Ack": m.Ack(), "Retry": m.Retry(nil), "AckAll": b.AckAll(), "RetryAll": b.RetryAll(nil), "NoRetry": ScheduledEvent{}.NoRetry(),
	} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
