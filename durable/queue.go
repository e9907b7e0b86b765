package durable

import (
	"context"
	"math"
	"strconv"
	"strings"
	"time"

	"flow.internal/capdo/internal/jsrt"
)

// Limits of queues. The library refuses a message or a batch beyond them with a
// [*LimitError] before it is sent. The platform may refuse a little less: its
// own data of up to about 100 bytes counts towards a message's size. 1 KB is
// 1000 bytes. The source is (read 2026-11):
//
// https://developers.cloudflare.com/queues/platform/limits/
const (
	// MaxQueueMessageSize is the largest body, in bytes as it is sent: 128
	// KB. For the content type V8 the library counts as for [KV], a few
	// bytes less than V8 writes.
	MaxQueueMessageSize = 128_000
	// MaxQueueBatch is how many messages one [Queue.SendBatch] can send, and
	// a batch can contain.
	MaxQueueBatch = 100
	// MaxQueueBatchSize is the largest size of all bodies in one
	// [Queue.SendBatch], in bytes: 256 KB.
	MaxQueueBatchSize = 256_000
	// MaxQueueDelay is the longest delay of a message.
	MaxQueueDelay = 24 * time.Hour
)

// Content types of messages, for [QueueSendOptions] and [MessageSendRequest].
//
// https://developers.cloudflare.com/queues/configuration/javascript-apis/#queuescontenttype
const (
	QueueJSON  = "json"  // what JSON can express; the default
	QueueText  = "text"  // a string
	QueueBytes = "bytes" // a []byte
	QueueV8    = "v8"    // any value that [Encode] converts; only Workers can read it
)

// Queue sends messages to a queue.
type Queue struct{ ref *jsrt.Ref }

// Queue returns the queue bound to the name by queues.producers of the wrangler
// config. It fails with [ErrNoBinding] if there is no binding of that name, or
// one of another kind, and with [ErrContextClosed].
func (e *Env) Queue(binding string) (*Queue, error) {
	if e == nil {
		return nil, errNoEnv
	}
	v, ok, err := e.ref.Property(binding)
	if err != nil {
		return nil, classify(err)
	}
	if !ok {
		return nil, e.noQueue(binding, "there is none of that name")
	}
	if ref, ok := v.(*jsrt.Ref); ok {
		isQueue, err := ref.Context().Host().Call("isQueue", ref)
		switch {
		case err != nil:
			return nil, classify(err)
		case isQueue == true:
			return &Queue{ref}, nil
		}
	}
	return nil, e.noQueue(binding, "it is "+jsType(v))
}

func (e *Env) noQueue(binding, why string) error {
	return &wrapped{"durable: no such queue binding: " + strconv.Quote(binding) + ": " + why +
		" (bindings of this Worker: " + e.bindings() + ")" +
		"\nhint: add to queues.producers of the wrangler config: binding " +
		strconv.Quote(binding) + ", and the name of the queue", ErrNoBinding}
}

// QueueSendOptions change how a message is sent; nil means the defaults.
type QueueSendOptions struct {
	ContentType string // "" is QueueJSON
	// Delay before the message is delivered first, rounded up to whole
	// seconds, at most [MaxQueueDelay]; 0 means the queue's delivery_delay
	Delay time.Duration
	// NoDelay means at once, if Delay is 0, whatever the queue's
	// delivery_delay.
	NoDelay bool
}

// Send sends a message. The queue has stored it when Send returns nil. body is
// converted as by [Encode]. With the content type JSON, the values of Encode
// that JSON has not are refused with [ErrValue]: a []byte, a time.Time, a
// BigInt, NaN and infinity. Convert them to text, or use QueueV8.
//
// -0 is sent as 0.
//
// Send fails with a [*LimitError] for a body or a delay beyond the limits, and
// with [ErrOverloaded] if the queue gets too many messages: the message was not
// sent. After any other error of the platform, or if ctx ends, the message may
// have been sent.
func (q *Queue) Send(ctx context.Context, body any, o *QueueSendOptions) error {
	if o == nil {
		o = &QueueSendOptions{}
	}
	value, contentType, _, err := encodeMessage(body, o.ContentType)
	if err != nil {
		return in("body", err)
	}
	options, err := withDelay(map[string]any{"contentType": contentType}, o.Delay, o.NoDelay)
	if err != nil {
		return err
	}
	_, err = q.ref.Await(ctx, "send", value, options)
	return classifySend(err)
}

// MessageSendRequest is a message of [Queue.SendBatch].
type MessageSendRequest struct {
	Body        any
	ContentType string        // as in QueueSendOptions
	Delay       time.Duration // as in QueueSendOptions; 0 means the batch's
	NoDelay     bool
}

// QueueSendBatchOptions change how a batch is sent; nil means the defaults.
type QueueSendBatchOptions struct {
	Delay   time.Duration // of all messages without one, as in QueueSendOptions
	NoDelay bool
}

// SendBatch sends messages in one call: 1 to [MaxQueueBatch], of at most
// [MaxQueueBatchSize] together. If one of them is refused, none is sent.
// Otherwise SendBatch is as [Queue.Send].
func (q *Queue) SendBatch(
	ctx context.Context, messages []MessageSendRequest, o *QueueSendBatchOptions,
) error {
	if n := len(messages); n < 1 || n > MaxQueueBatch {
		return &LimitError{Limit: "messages in a batch", Min: 1, Max: MaxQueueBatch, Actual: n}
	}
	list, total := make([]any, len(messages)), 0
	for i, m := range messages {
		value, contentType, size, err := encodeMessage(m.Body, m.ContentType)
		if err != nil {
			return in("message"+indexStep(i), err)
		}
		total += size
		list[i], err = withDelay(map[string]any{"body": value, "contentType": contentType},
			m.Delay, m.NoDelay)
		if err != nil {
			return err
		}
	}
	if total > MaxQueueBatchSize {
		return &LimitError{Limit: "size of a batch of messages, in bytes",
			Max: MaxQueueBatchSize, Actual: total}
	}
	args := []any{list}
	if o != nil {
		options, err := withDelay(map[string]any{}, o.Delay, o.NoDelay)
		if err != nil {
			return err
		}
		args = append(args, options)
	}
	_, err := q.ref.Await(ctx, "sendBatch", args...)
	return classifySend(err)
}

// QueueMetrics is the state of a queue.
type QueueMetrics struct {
	BacklogCount           int // messages that wait for delivery
	BacklogBytes           int
	OldestMessageTimestamp time.Time // zero if no message waits
}

// Metrics returns the present state of the queue.
func (q *Queue) Metrics(ctx context.Context) (QueueMetrics, error) {
	v, err := q.ref.Await(ctx, "metrics")
	if err != nil {
		return QueueMetrics{}, classifySend(err)
	}
	return newQueueMetrics(v), nil
}

func newQueueMetrics(v any) (m QueueMetrics) {
	fields, _ := v.(map[string]any)
	count, _ := fields["backlogCount"].(float64)
	size, _ := fields["backlogBytes"].(float64)
	m.BacklogCount, m.BacklogBytes = int(count), int(size)
	m.OldestMessageTimestamp, _ = fields["oldestMessageTimestamp"].(time.Time)
	return m
}

// withDelay adds delaySeconds to options, unless the default applies.
func withDelay(options map[string]any, delay time.Duration, none bool) (map[string]any, error) {
	if delay == 0 && !none {
		return options, nil
	}
	seconds := int(math.Ceil(delay.Seconds()))
	if delay < 0 || delay > MaxQueueDelay {
		return nil, &LimitError{Limit: "delay of a message, in seconds",
			Max: int(MaxQueueDelay / time.Second), Actual: seconds}
	}
	options["delaySeconds"] = seconds
	return options, nil
}

// classifySend is classify for the errors of a queue. They end with a code, or
// before the compatibility flag queue_expose_error_codes with a status text.
//
// https://developers.cloudflare.com/queues/reference/error-codes/
func classifySend(err error) error {
	err = classify(err)
	if e, ok := err.(*Error); ok && e.kind == nil && (strings.HasSuffix(e.Message, "(10250)") ||
		strings.HasPrefix(e.Message, "Queue send") &&
			strings.HasSuffix(e.Message, " failed: Too Many Requests")) {
		e.kind = ErrOverloaded
	}
	return err
}
