package durable

import (
	"context"
	"reflect"
	"time"

	"flow.internal/capdo/internal/jsrt"
)

// HandleQueue makes fn the consumer of the queues that the wrangler config
// lists in queues.consumers. It panics if fn is nil, or if it is called twice.
//
// A queue delivers a message at least once, so fn may see it again: see
// docs/events.md. After the event each message is acknowledged or delivered
// again:
//
//   - If fn returns nil, all messages are acknowledged, except those for which
//     [QueueMessage.Retry] was called.
//   - If fn returns an error or panics, all messages are delivered again,
//     except those for which [QueueMessage.Ack] was called. The platform's log
//     has the error's text. (wrangler dev delivers those again as well.)
//   - [MessageBatch.AckAll] and [MessageBatch.RetryAll] decide about all
//     messages, whatever fn returns, except those for which Ack or Retry was
//     called before. (wrangler dev delivers a message with an Ack again after
//     a RetryAll.)
//   - If two calls disagree, the first one counts. After AckAll or RetryAll no
//     other call has an effect.
//
// A message that was delivered again max_retries times (3 by default) is
// dropped, or goes to the dead_letter_queue.
//
// Cloudflare gives the event 15 minutes, with the work of [WaitUntil]: it
// acknowledges the messages when all of that is done, whatever the outcome of
// that work. The ctx of fn and of that
// work ends with [ErrTimeUp] 6 s before that. With the compatibility flag
// queue_consumer_no_wait_for_wait_until it does not wait for that work, which
// then has the time that it has after a response.
//
// https://developers.cloudflare.com/queues/configuration/batching-retries/
// https://developers.cloudflare.com/queues/configuration/javascript-apis/
func HandleQueue(
	fn func(ctx context.Context, env *Env, batch *MessageBatch) error,
) {
	switch {
	case fn == nil:
		panic("durable: HandleQueue needs a function")
	case program.queue != nil:
		panic("durable: HandleQueue called twice")
	}
	program.queue = func(ctx context.Context, args []any) error {
		return fn(ctx, &Env{ref: args[3].(*jsrt.Ref)}, newMessageBatch(args))
	}
}

func newMessageBatch(args []any) *MessageBatch {
	list := args[1].([]any)
	batch := &MessageBatch{Messages: make([]*QueueMessage, len(list)), ref: args[2].(*jsrt.Ref)}
	batch.Queue, _ = args[0].(string)
	for i, v := range list {
		parts := v.([]any)
		m := &QueueMessage{ref: parts[3].(*jsrt.Ref)}
		m.ID, _ = parts[0].(string)
		m.Timestamp, _ = parts[1].(time.Time)
		attempts, _ := parts[2].(float64)
		m.Attempts = int(attempts)
		batch.Messages[i] = m
	}
	return batch
}

// MessageBatch is a batch of messages from one queue. It belongs to its event:
// after the event its methods and those of its messages fail with
// [ErrContextClosed].
type MessageBatch struct {
	Queue    string          // the queue's name
	Messages []*QueueMessage // at most [MaxQueueBatch]; their order is not guaranteed

	ref *jsrt.Ref
}

// AckAll acknowledges all messages, whatever the handler returns.
func (b *MessageBatch) AckAll() error {
	_, err := b.ref.Call("ackAll")
	return classify(err)
}

// RetryAll has all messages delivered again, whatever the handler returns.
func (b *MessageBatch) RetryAll(o *QueueRetryOptions) error {
	return retry(b.ref, "retryAll", o)
}

// Metrics returns the state of the queue when it delivered the batch.
func (b *MessageBatch) Metrics() (QueueMetrics, error) {
	v, err := b.ref.Get("metadata")
	if err != nil {
		return QueueMetrics{}, classify(err)
	}
	metadata, _ := v.(map[string]any)
	return newQueueMetrics(metadata["metrics"]), nil
}

// QueueMessage is a message of a [MessageBatch].
type QueueMessage struct {
	ID        string    // given by the queue; the same at each delivery
	Timestamp time.Time // when it was sent, in ms
	Attempts  int       // the number of this delivery, from 1

	ref *jsrt.Ref
}

// Body returns the content as one of the types that [KV] lists: for the content
// type JSON what encoding/json has for an any, for text a string, for bytes a
// []byte, for V8 any of them. The function [Body] converts it to the type that
// you ask for. nil is a value, such as JSON's null. A body that has no
// equivalent in Go is refused with [ErrValue], also a JavaScript undefined. It
// does not affect the other messages of the batch.
func (m *QueueMessage) Body() (any, error) {
	v, ok, err := m.ref.Property("body")
	if err != nil {
		return nil, classify(err)
	}
	if !ok {
		return nil, in("body", refused("the message's body is undefined"))
	}
	if err := checkValue(v); err != nil {
		return nil, in("body", err)
	}
	return v, nil
}

// Body returns the body of m as a T, converted as by [Decode]:
//
//	order, err := durable.Body[Order](m)
//
// It fails with [ErrValue] if the body is not a T, and then returns a zero T. A
// nil body is a value: Body fails for an int64, and returns a nil pointer for a
// *int64. The error does not contain the body.
func Body[T any](m *QueueMessage) (T, error) {
	var zero T
	if err := codecOf(reflect.TypeFor[T]()).check(true); err != nil {
		return zero, in("body", err)
	}
	v, err := m.Body()
	if err != nil {
		return zero, err
	}
	var value T
	if err := Decode(v, &value); err != nil {
		return zero, in("body", err) // Decode may have stored a part
	}
	return value, nil
}

// Ack acknowledges the message: it is not delivered again, even if the handler
// fails afterwards.
func (m *QueueMessage) Ack() error {
	_, err := m.ref.Call("ack")
	return classify(err)
}

// Retry has the message delivered again, even if the handler returns nil. The
// delivery counts as a failed attempt.
func (m *QueueMessage) Retry(o *QueueRetryOptions) error { return retry(m.ref, "retry", o) }

// QueueRetryOptions change when a message is delivered again; nil means after
// the consumer's retry_delay from the wrangler config, or at once without one.
type QueueRetryOptions struct {
	// Delay is rounded up to whole seconds, at most [MaxQueueDelay]; 0 means
	// the default.
	Delay time.Duration
	// NoDelay means at once, if Delay is 0, whatever the consumer's
	// retry_delay.
	NoDelay bool
}

func retry(ref *jsrt.Ref, method string, o *QueueRetryOptions) error {
	var args []any
	if o != nil {
		options, err := withDelay(map[string]any{}, o.Delay, o.NoDelay)
		if err != nil {
			return err
		}
		args = []any{options}
	}
	_, err := ref.Call(method, args...)
	return classify(err)
}
