package durabletest

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/durable"
)

// RunScheduled has workerd deliver a cron trigger to the handler of
// durable.HandleScheduled. It waits until the handler has returned and its work
// of durable.WaitUntil is done, and returns the handler's error. isRetried is
// false if the handler called NoRetry. The cron expression may be any text, and
// at any time from 1687 to 2189, to the ms; the zero time means now.
func RunScheduled(
	t testing.TB, cron string, at time.Time,
) (isRetried bool, err error) {
	t.Helper()
	if at.IsZero() {
		at = time.Now()
	}
	report, err := deliver(t, "scheduled",
		map[string]any{"cron": cron, "scheduledTime": at.Truncate(time.Millisecond)})
	return report["noRetry"] == false, err
}

// QueueMessage is a message for [RunQueue].
type QueueMessage struct {
	ID        string    // "" means one of its own; unique in a batch
	Timestamp time.Time // from 1687 to 2189, in ms; zero means now
	Attempts  int       // at most 65,535; 0 means 1
	Body      any       // converted as by durable.Encode
}

// QueueResult says what becomes of a message.
type QueueResult struct {
	IsAcked bool
	// Delay until the message is delivered again, if the handler has set it
	Delay time.Duration
}

// RunQueue has workerd deliver a batch to the handler of durable.HandleQueue,
// and waits until it has returned and its work of durable.WaitUntil is done. It
// returns the handler's error, and what the queue does with each message: that
// follows from workerd's report to the queue, by Cloudflare's rules. RunQueue
// delivers nothing again by itself. The queue need not be in the config. With
// the compatibility flag queue_consumer_no_wait_for_wait_until it does not wait
// for the work of WaitUntil.
//
// https://developers.cloudflare.com/queues/configuration/batching-retries/
func RunQueue(
	t testing.TB, queue string, messages ...QueueMessage,
) ([]QueueResult, error) {
	t.Helper()
	ids, list := make([]string, len(messages)), make([]any, len(messages))
	for i, m := range messages {
		body, err := durable.Encode(m.Body)
		if err != nil {
			t.Fatalf("durabletest.RunQueue: message %d: %v", i, err)
		}
		if m.ID == "" {
			m.ID = fmt.Sprintf("message-%d", lastMessage.Add(1))
		}
		if slices.Contains(ids[:i], m.ID) { // workerd reports by ID
			t.Fatalf("durabletest.RunQueue: message %d: another one of the batch has the ID %q", i, m.ID)
		}
		if m.Timestamp.IsZero() {
			m.Timestamp = time.Now()
		}
		ids[i], list[i] = m.ID, map[string]any{"id": m.ID, "attempts": max(1, m.Attempts),
			"timestamp": m.Timestamp.Truncate(time.Millisecond), "body": body}
	}
	report, err := deliver(t, "queue", queue, list)
	return results(ids, report), err
}

var lastMessage atomic.Int64 // the number in the last ID that RunQueue chose

// results returns what a queue does with messages, from what workerd reports to
// it: a call for the message counts, then one for the batch, then the outcome.
// workerd reports only the first call for a message.
func results(ids []string, report map[string]any) []QueueResult {
	retryAll := report["retryBatch"].(map[string]any)
	others := QueueResult{IsAcked: report["outcome"] == "ok"}
	switch {
	case report["ackAll"] == true:
		others = QueueResult{IsAcked: true}
	case retryAll["retry"] == true:
		others = retried(retryAll)
	}
	own := map[any]QueueResult{}
	for _, id := range report["explicitAcks"].([]any) {
		own[id] = QueueResult{IsAcked: true}
	}
	for _, v := range report["retryMessages"].([]any) {
		retry := v.(map[string]any)
		own[retry["msgId"]] = retried(retry)
	}
	var list []QueueResult
	for _, id := range ids {
		result, ok := own[id]
		if !ok {
			result = others
		}
		list = append(list, result)
	}
	return list
}

func retried(retry map[string]any) QueueResult {
	seconds, _ := retry["delaySeconds"].(float64)
	return QueueResult{Delay: time.Duration(seconds) * time.Second}
}

// deliver has workerd deliver an event to the Worker. It returns what workerd
// reports, and the handler's error.
func deliver(t testing.TB, event string, args ...any) (report map[string]any, err error) {
	t.Helper()
	v, err := enter(t).tools.Await(uncanceled(t), "deliver", append([]any{event}, args...)...)
	if err != nil {
		t.Fatalf("durabletest: %v", err)
	}
	parts := v.([]any)
	report = parts[0].(map[string]any)
	if message, ok := parts[1].(string); ok {
		return report, errors.New(message)
	}
	if outcome := report["outcome"]; outcome != "ok" {
		return report, fmt.Errorf("the event has ended with the outcome %v", outcome)
	}
	return report, nil
}

// SentMessage is a message that the program has sent to a queue.
type SentMessage struct {
	ContentType string
	Body        []byte // as it was sent: text, JSON, bytes, or what V8 writes
	Delay       time.Duration
}

// Sent returns the messages that were sent to a queue through its binding
// during the test, in order. They are delivered to nobody: use [RunQueue].
func Sent(t testing.TB, binding string) []SentMessage {
	t.Helper()
	v, err := enter(t).tools.Call("sent", binding)
	if err != nil {
		t.Fatalf("durabletest.Sent: %v", err)
	}
	if v == nil {
		t.Fatalf("durabletest.Sent: no such queue binding: %q"+
			"\nhint: add it to queues.producers of the wrangler config", binding)
	}
	var messages []SentMessage
	for _, m := range v.([]any) {
		parts := m.([]any)
		seconds, _ := parts[1].(float64)
		messages = append(messages, SentMessage{parts[0].(string), parts[2].([]byte),
			time.Duration(seconds) * time.Second})
	}
	return messages
}
