package durabletest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"flow.internal/capdo/durable"
)

// RunScheduled delivers a cron trigger to the handler of
// durable.HandleScheduled, waits until it has returned, and returns its error.
// isRetried is false if it called NoRetry. The cron expression may be any text,
// and at any time, to the ms.
func RunScheduled(
	t testing.TB, cron string, at time.Time,
) (isRetried bool, err error) {
	t.Helper()
	v := deliver(t, "capdoScheduled", cron, at.Truncate(time.Millisecond))
	return v[1].(bool), handlerError(v[0])
}

// QueueMessage is a message for [RunQueue].
type QueueMessage struct {
	ID        string    // "" means one of its own
	Timestamp time.Time // zero means now
	Attempts  int       // 0 means 1
	Body      any       // converted as by durable.Encode
}

// QueueResult says what becomes of a message.
type QueueResult struct {
	IsAcked bool
	// Delay until the message is delivered again, if the handler has set it
	Delay time.Duration
}

// RunQueue delivers a batch to the handler of durable.HandleQueue, and waits
// until it has returned. It returns a result for each message, by Cloudflare's
// rules, and the handler's error. It delivers nothing again by itself.
func RunQueue(
	t testing.TB, queue string, messages ...QueueMessage,
) ([]QueueResult, error) {
	t.Helper()
	list := make([]any, len(messages))
	for i, m := range messages {
		body, err := durable.Encode(m.Body)
		if err != nil {
			t.Fatalf("durabletest.RunQueue: message %d: %v", i, err)
		}
		if m.ID == "" {
			m.ID = fmt.Sprintf("message-%d", time.Now().UnixNano()+int64(i))
		}
		if m.Timestamp.IsZero() {
			m.Timestamp = time.Now()
		}
		list[i] = []any{m.ID, m.Timestamp.Truncate(time.Millisecond), max(1, m.Attempts), body}
	}
	v := deliver(t, "capdoQueue", queue, list)
	var results []QueueResult
	for _, r := range v[1].([]any) {
		parts := r.([]any)
		seconds, _ := parts[1].(float64)
		results = append(results, QueueResult{parts[0].(bool), time.Duration(seconds) * time.Second})
	}
	return results, handlerError(v[0])
}

func deliver(t testing.TB, method string, args ...any) []any {
	t.Helper()
	v, err := durable.Call[[]any](uncanceled(t), Worker(t), method, args...)
	if err != nil {
		t.Fatalf("durabletest: %v", err)
	}
	return v
}

func handlerError(message any) error {
	if message == nil {
		return nil
	}
	return errors.New(message.(string))
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
	var messages []SentMessage
	for _, m := range v.([]any) {
		parts := m.([]any)
		seconds, _ := parts[1].(float64)
		messages = append(messages, SentMessage{parts[0].(string), parts[2].([]byte),
			time.Duration(seconds) * time.Second})
	}
	return messages
}
