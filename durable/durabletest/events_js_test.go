package durabletest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// ran is the last cron trigger.
var ran durable.ScheduledEvent

func scheduled(ctx context.Context, env *durable.Env, e durable.ScheduledEvent) error {
	ran = e
	switch e.Cron {
	case "fails":
		return errors.New("no report today")
	case "gives up":
		return errors.Join(e.NoRetry(), errors.New("never again"))
	}
	_, err := env.Object("COUNTER", "cron").Call(ctx, "increment", nil)
	return err
}

// consumed has the messages of the last batch, and their bodies.
var consumed []string

func consume(ctx context.Context, env *durable.Env, batch *durable.MessageBatch) error {
	consumed = []string{batch.Queue}
	for _, m := range batch.Messages {
		body, err := durable.Body[string](m)
		if err != nil {
			return err
		}
		consumed = append(consumed, m.ID+" "+body)
		switch body {
		case "ack":
			err = errors.Join(m.Ack(), m.Retry(nil))
		case "retry":
			err = errors.Join(m.Retry(&durable.QueueRetryOptions{Delay: time.Minute}), m.Ack())
		case "ack all":
			err = errors.Join(batch.AckAll(), batch.RetryAll(nil))
		case "retry all":
			err = batch.RetryAll(&durable.QueueRetryOptions{Delay: time.Second})
		case "fail":
			return errors.New("cannot work")
		case "count":
			_, err = env.Object("COUNTER", "queue").Call(ctx, "increment", nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func TestRunScheduled(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 7e6, time.UTC)
	for _, c := range []struct {
		cron, err string
		isRetried bool
	}{{"0 3 * * *", "", true}, {"fails", "no report today", true}, {"gives up", "never again", false}} {
		isRetried, err := durabletest.RunScheduled(t, c.cron, at)
		if isRetried != c.isRetried || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%s: %v, %v", c.cron, isRetried, err)
		}
		if ran.Cron != c.cron || !ran.ScheduledTime.Equal(at) {
			t.Errorf("the handler got %+v", ran)
		}
	}
	if n := call(t, durabletest.Env(t, nil).Object("COUNTER", "cron"), "increment"); n != "2" {
		t.Errorf("the object counted %s", n)
	}
}

func TestRunQueue(t *testing.T) {
	acked, retried := durabletest.QueueResult{IsAcked: true}, durabletest.QueueResult{}
	retriedIn := func(d time.Duration) durabletest.QueueResult { return durabletest.QueueResult{Delay: d} }
	for _, c := range []struct {
		bodies []any
		want   []durabletest.QueueResult
		err    string
	}{
		{nil, nil, ""},
		{[]any{"a", "b"}, []durabletest.QueueResult{acked, acked}, ""},
		{[]any{"count", "retry", "ack"}, []durabletest.QueueResult{acked, retriedIn(time.Minute), acked}, ""},
		{[]any{"ack", "a", "fail"}, []durabletest.QueueResult{acked, retried, retried}, "cannot work"},
		{[]any{"ack all", "fail"}, []durabletest.QueueResult{acked, acked}, "cannot work"},
		{[]any{"ack", "retry all", "a"}, []durabletest.QueueResult{acked, retriedIn(time.Second), retriedIn(time.Second)}, ""},
		{[]any{"a", 1}, []durabletest.QueueResult{retried, retried}, "durable: a number does not fit Go's string unchanged (body)"},
	} {
		var messages []durabletest.QueueMessage
		for _, b := range c.bodies {
			messages = append(messages, durabletest.QueueMessage{Body: b})
		}
		got, err := durabletest.RunQueue(t, "jobs", messages...)
		if !slices.Equal(got, c.want) || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%v: %v, %v", c.bodies, got, err)
		}
	}
	if _, err := durabletest.RunQueue(t, "jobs", durabletest.QueueMessage{ID: "x", Body: "y"}); err != nil || !slices.Equal(consumed, []string{"jobs", "x y"}) {
		t.Errorf("consumed %q, %v", consumed, err)
	}
	if n := call(t, durabletest.Env(t, nil).Object("COUNTER", "queue"), "increment"); n != "2" {
		t.Errorf("the object counted %s", n)
	}
}

func TestSent(t *testing.T) {
	if sent := durabletest.Sent(t, "JOBS"); len(sent) > 0 {
		t.Errorf("at first: %v", sent)
	}
	t.Run("in a subtest", func(t *testing.T) {
		q, err := durabletest.Env(t, nil).Queue("JOBS")
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Send(t.Context(), "text", &durable.QueueSendOptions{ContentType: durable.QueueText, Delay: time.Minute}); err != nil {
			t.Error(err)
		}
		err = q.SendBatch(t.Context(), []durable.MessageSendRequest{{Body: []int{1}}, {Body: []byte("b"), ContentType: durable.QueueBytes, Delay: time.Second}},
			&durable.QueueSendBatchOptions{Delay: time.Hour})
		if err != nil {
			t.Error(err)
		}
		if m, err := q.Metrics(t.Context()); m.BacklogCount != 3 || m.BacklogBytes != 8 || err != nil {
			t.Errorf("%+v, %v", m, err)
		}
	})
	var got []string
	for _, m := range durabletest.Sent(t, "JOBS") {
		got = append(got, m.ContentType+" "+string(m.Body)+" "+m.Delay.String())
	}
	if want := "text text 1m0s, json [1] 1h0m0s, bytes b 1s"; strings.Join(got, ", ") != want {
		t.Errorf("sent %q", got)
	}
}

func TestSentStartsEmptyInEachTest(t *testing.T) {
	if sent := durabletest.Sent(t, "JOBS"); len(sent) > 0 {
		t.Errorf("%v", sent)
	}
}
