package durabletest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

var (
	ran    durable.ScheduledEvent // the last cron trigger
	wentOn bool                   // its work in the background is done

	arrived, gate chan bool // of handlers that wait
)

func scheduled(ctx context.Context, env *durable.Env, e durable.ScheduledEvent) error {
	ran = e
	switch e.Cron {
	case "fails":
		return errors.New("no report today")
	case "gives up":
		return errors.Join(e.NoRetry(), errors.New("never again"))
	case "needs no retry":
		return e.NoRetry()
	case "panics":
		panic("no clock")
	case "reads":
		saw, err := seen(env)
		return errors.Join(err, errors.New(saw))
	case "waits":
		arrived <- true
		<-gate
		return errors.New(e.ScheduledTime.UTC().Format(time.TimeOnly))
	case "goes on":
		durable.WaitUntil(ctx, func(context.Context) {
			time.Sleep(20 * time.Millisecond)
			wentOn = true
		})
		return nil
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
		case "ack all, retry":
			err = errors.Join(batch.AckAll(), m.Retry(nil))
		case "retry all, ack":
			err = errors.Join(batch.RetryAll(nil), batch.AckAll(), m.Ack())
		case "fail":
			return errors.New("cannot work")
		case "panic":
			panic("cannot go on")
		case "delivery":
			metrics, err := batch.Metrics()
			return errors.Join(err, fmt.Errorf("%v %d %d", m.Timestamp.UTC(), m.Attempts, metrics.BacklogCount))
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
	}{
		{"0 3 * * *", "", true}, {"", "", true}, {"é\n\x00", "", true}, {"fails", "no report today", true}, {"gives up", "never again", false},
		{"needs no retry", "", false}, {"panics", "panic: no clock", true}, {"reads", `of the test,hëllo "there",`, true},
	} {
		isRetried, err := durabletest.RunScheduled(t, c.cron, at)
		if isRetried != c.isRetried || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%s: %v, %v", c.cron, isRetried, err)
		}
		if ran.Cron != c.cron || !ran.ScheduledTime.Equal(at) {
			t.Errorf("the handler got %+v", ran)
		}
	}
	if n := call(t, durabletest.Env(t, nil).Object("COUNTER", "cron"), "increment"); n != "4" {
		t.Errorf("the object counted %s", n)
	}
}

// workerd has times from 1687 to 2189.
func TestScheduledTime(t *testing.T) {
	for _, year := range []int{1687, 2189} {
		at := time.Date(year, 1, 1, 0, 0, 0, 1e6, time.UTC)
		if _, err := durabletest.RunScheduled(t, "needs no retry", at); err != nil || !ran.ScheduledTime.Equal(at) {
			t.Errorf("%v: %v, %v", at, ran.ScheduledTime, err)
		}
	}
	got := failure(t, func(t testing.TB) { durabletest.RunScheduled(t, "needs no retry", time.Unix(-1e10, 0)) })
	if !strings.Contains(got, "dates before 1687") {
		t.Errorf("year 1653: failed with %q", got)
	}
	if _, err := durabletest.RunScheduled(t, "needs no retry", time.Time{}); err != nil || time.Since(ran.ScheduledTime).Abs() > time.Minute {
		t.Errorf("the zero time: %v, %v", ran.ScheduledTime, err)
	}
}

// The handlers wait for each other, and each has its own error.
func TestEventsAtTheSameTime(t *testing.T) {
	arrived, gate = make(chan bool), make(chan bool)
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			due := at.Add(time.Duration(i) * time.Second)
			_, err := durabletest.RunScheduled(t, "waits", due)
			if err == nil || err.Error() != due.Format(time.TimeOnly) {
				t.Errorf("%v: %v", due, err)
			}
		})
	}
	for range 3 {
		<-arrived
	}
	results, err := durabletest.RunQueue(t, "jobs", durabletest.QueueMessage{Body: "fail"})
	if err == nil || err.Error() != "cannot work" || results[0].IsAcked {
		t.Errorf("meanwhile: %v, %v", results, err)
	}
	close(gate)
	all.Wait()
}

func TestAnEventLastsAsLongAsItsWork(t *testing.T) {
	if _, err := durabletest.RunScheduled(t, "goes on", time.Now()); err != nil || !wentOn {
		t.Errorf("its work is done: %v, %v", wentOn, err)
	}
}

func TestEventsAfterARestart(t *testing.T) {
	durabletest.Env(t, &durabletest.Options{Vars: map[string]any{"MORE": "m"}})
	for range 2 {
		if _, err := durabletest.RunScheduled(t, "reads", time.Now()); err == nil || err.Error() != `of the test,hëllo "there",m` {
			t.Error(err)
		}
		if results, err := durabletest.RunQueue(t, "jobs", durabletest.QueueMessage{Body: "a"}); err != nil || !results[0].IsAcked {
			t.Errorf("%v, %v", results, err)
		}
		durabletest.Restart(t)
	}
}

func TestRestartEndsAnEvent(t *testing.T) {
	arrived, gate = make(chan bool), make(chan bool)
	lost := make(chan string)
	go func() {
		lost <- failure(t, func(t testing.TB) { durabletest.RunScheduled(t, "waits", time.Now()) })
	}()
	<-arrived
	durabletest.Restart(t)
	close(gate)
	if got := <-lost; got != "durabletest: Network connection lost." {
		t.Errorf("failed with %q", got)
	}
	if _, err := durabletest.RunScheduled(t, "fails", time.Now()); err == nil || err.Error() != "no report today" {
		t.Errorf("the next one: %v", err)
	}
}

// workerd has methods of these names on a Worker that may deliver events.
func TestMethodsNamedLikeEvents(t *testing.T) {
	stub := durabletest.New(t, "COUNTER")
	for _, name := range []string{"queue", "scheduled"} {
		if got := call(t, stub, name); got != "0" {
			t.Errorf("%s returned %q", name, got)
		}
	}
}

func TestEventsInACleanup(t *testing.T) {
	t.Cleanup(func() {
		if _, err := durabletest.RunScheduled(t, "fails", time.Now()); err == nil || err.Error() != "no report today" {
			t.Error(err)
		}
	})
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
		{[]any{"ack", "retry", "ack all"}, []durabletest.QueueResult{acked, retriedIn(time.Minute), acked}, ""},
		{[]any{"ack all, retry", "a"}, []durabletest.QueueResult{acked, acked}, ""},
		{[]any{"retry all, ack", "a"}, []durabletest.QueueResult{retried, retried}, ""},
		{[]any{"retry", "ack", "panic"}, []durabletest.QueueResult{retriedIn(time.Minute), acked, retried}, "panic: cannot go on"},
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
	if n := call(t, durabletest.Env(t, nil).Object("COUNTER", "queue"), "increment"); n != "2" {
		t.Errorf("the object counted %s", n)
	}
}

func TestMessagesArriveAsTheyAreGiven(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 7e6, time.UTC)
	message := durabletest.QueueMessage{ID: "é", Timestamp: at, Attempts: 3, Body: "delivery"}
	_, err := durabletest.RunQueue(t, "jobs", message)
	if want := at.String() + " 3 0"; err == nil || err.Error() != want || !slices.Equal(consumed, []string{"jobs", "é delivery"}) {
		t.Errorf("consumed %q, %v, want %s", consumed, err, want)
	}
	got := failure(t, func(t testing.TB) { durabletest.RunQueue(t, "jobs", message, message) })
	if want := `durabletest.RunQueue: message 1: another one of the batch has the ID "é"`; got != want {
		t.Errorf("failed with %q", got)
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

func TestSentNeedsAQueue(t *testing.T) {
	for _, name := range []string{"NOSUCH", "COUNTER"} {
		got := failure(t, func(t testing.TB) { durabletest.Sent(t, name) })
		if want := fmt.Sprintf("durabletest.Sent: no such queue binding: %q\nhint: ", name); !strings.HasPrefix(got, want) {
			t.Errorf("failed with %q", got)
		}
	}
}

func TestSentStartsEmptyInEachTest(t *testing.T) {
	if sent := durabletest.Sent(t, "JOBS"); len(sent) > 0 {
		t.Errorf("%v", sent)
	}
}
