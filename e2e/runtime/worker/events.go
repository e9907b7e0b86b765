package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"flow.internal/capdo/durable"
)

// seen is what the handlers of cron triggers and queues have seen.
var seen []string

func see(format string, args ...any) { seen = append(seen, fmt.Sprintf(format, args...)) }

// scheduled runs a scenario, whose query takes the place of the cron expression.
func scheduled(ctx context.Context, env *durable.Env, e durable.ScheduledEvent) error {
	q, err := url.ParseQuery(e.Cron)
	if err != nil {
		return err
	}
	if q.Has("noretry") {
		if err := e.NoRetry(); err != nil {
			return err
		}
	}
	see("%s at %s", e.Cron, e.ScheduledTime.UTC().Format(time.RFC3339Nano))
	if q.Get("m") == "fails" {
		return errors.New("the report failed")
	}
	_, err = scenario(ctx, &call{env: env, Values: q})
	return err
}

// consume does with each message what the queue's name says: do=… for each
// message in turn, all=… for the batch, m=… for the end.
func consume(ctx context.Context, env *durable.Env, batch *durable.MessageBatch) error {
	q, err := url.ParseQuery(batch.Queue)
	if err != nil {
		return err
	}
	for i, m := range batch.Messages {
		if q.Has("read") {
			read(m)
		}
		if i < len(q["do"]) {
			for step := range strings.SplitSeq(q["do"][i], ",") {
				if err := settle(m, step); err != nil {
					return err
				}
			}
		}
	}
	delay := time.Second
	switch q.Get("all") {
	case "ack":
		err = batch.AckAll()
	case "retry":
		err = batch.RetryAll(nil)
	case "delay":
		err = batch.RetryAll(&durable.QueueRetryOptions{Delay: delay})
	case "metrics":
		var m durable.QueueMetrics
		m, err = batch.Metrics()
		see("%d %d %d", m.BacklogCount, m.BacklogBytes, m.OldestMessageTimestamp.UnixMilli())
	}
	if err != nil {
		return err
	}
	switch q.Get("m") {
	case "":
		return nil
	case "fails":
		return errors.New("the consumer failed")
	case "keeps":
		kept = batch
		return nil
	}
	_, err = scenario(ctx, &call{env: env, Values: q})
	return err
}

// kept is a batch whose event is over.
var kept *durable.MessageBatch

func settle(m *durable.QueueMessage, step string) error {
	switch step {
	case "ack":
		return m.Ack()
	case "retry":
		return m.Retry(nil)
	case "delay":
		return m.Retry(&durable.QueueRetryOptions{Delay: 1500 * time.Millisecond})
	case "atonce":
		return m.Retry(&durable.QueueRetryOptions{NoDelay: true})
	case "toolate":
		if err := m.Retry(&durable.QueueRetryOptions{Delay: 25 * time.Hour}); err != nil {
			see("%v", err)
		}
	}
	return nil
}

// read sees a message, and its body as an any, an int64 and a *int64.
func read(m *durable.QueueMessage) {
	v, err := m.Body()
	see("%s %d %d: %T %v %v", m.ID, m.Timestamp.UnixMilli(), m.Attempts, v, v, err)
	n, err := durable.Body[int64](m)
	see("int64: %d %v %v", n, err, errors.Is(err, durable.ErrValue))
	p, err := durable.Body[*int64](m)
	see("*int64: %v %v", p != nil, err)
}

var queues = scenarioMap{
	"seen": func(context.Context, *call) (string, error) {
		text := strings.Join(seen, "\n")
		seen = nil
		return text, nil
	},
	// afterwards uses a batch whose event is over.
	"afterwards": func(context.Context, *call) (string, error) {
		m := kept.Messages[0]
		_, bodyErr := m.Body()
		return fmt.Sprintln(m.Ack(), kept.AckAll(), bodyErr), nil
	},
	// late works on after the event, until its context ends.
	"late": func(ctx context.Context, c *call) (string, error) {
		begin := time.Now()
		durable.WaitUntil(ctx, func(ctx context.Context) {
			<-ctx.Done()
			see("ended after %d s: %v", int(time.Since(begin).Seconds()), context.Cause(ctx))
		})
		if c.Has("hold") {
			<-ctx.Done()
			return "", context.Cause(ctx)
		}
		return "", nil
	},
	"send":      sendMessages,
	"sendbatch": sendBatch,
	"metrics": func(ctx context.Context, c *call) (string, error) {
		q, err := c.env.Queue("JOBS")
		if err != nil {
			return "", err
		}
		m, err := q.Metrics(ctx)
		return fmt.Sprint(m.BacklogCount, m.BacklogBytes, m.OldestMessageTimestamp.UnixMilli()), err
	},
	// binding returns the kind of error of a binding.
	"binding": func(ctx context.Context, c *call) (string, error) {
		_, err := c.env.Queue(c.Get("name"))
		return fmt.Sprint(errors.Is(err, durable.ErrNoBinding), " ", err), nil
	},
}

// sendings are what send can send.
var sendings = map[string]struct {
	body    any
	options *durable.QueueSendOptions
}{
	"json":  {map[string]any{"s": "é\n"}, nil},
	"text":  {"text", &durable.QueueSendOptions{ContentType: durable.QueueText}},
	"bytes": {[]byte("bytes"), &durable.QueueSendOptions{ContentType: durable.QueueBytes}},
	"v8":    {"v8", &durable.QueueSendOptions{ContentType: durable.QueueV8}},
	"delay": {nil, &durable.QueueSendOptions{Delay: 90 * time.Second}},
	"now":   {nil, &durable.QueueSendOptions{NoDelay: true}},
	"large": {strings.Repeat("x", durable.MaxQueueMessageSize-2), nil},

	"refused":  {"refused", nil},
	"jsonDate": {struct{ At []time.Time }{[]time.Time{time.UnixMilli(0)}}, nil},
	"notText":  {1, &durable.QueueSendOptions{ContentType: durable.QueueText}},
	"notBytes": {"text", &durable.QueueSendOptions{ContentType: durable.QueueBytes}},
	"unknown":  {"x", &durable.QueueSendOptions{ContentType: "xml"}},
	"tooLarge": {strings.Repeat("x", durable.MaxQueueMessageSize-1), nil},
	"past":     {nil, &durable.QueueSendOptions{Delay: -time.Second}},
}

func sendMessages(ctx context.Context, c *call) (string, error) {
	q, err := c.env.Queue("JOBS")
	if err != nil {
		return "", err
	}
	s := sendings[c.Get("what")]
	err = q.Send(ctx, s.body, s.options)
	return kindOf(err), nil
}

// kindOf returns an error with the sentinels that it matches.
func kindOf(err error) string {
	text := fmt.Sprint(err)
	for _, kind := range []error{durable.ErrValue, durable.ErrLimit, durable.ErrOverloaded,
		context.Canceled} {
		if errors.Is(err, kind) {
			text += " [" + kind.Error() + "]"
		}
	}
	return text
}

func sendBatch(ctx context.Context, c *call) (string, error) {
	q, err := c.env.Queue("JOBS")
	if err != nil {
		return "", err
	}
	var messages []durable.MessageSendRequest
	for i := range c.int("n") {
		messages = append(messages, durable.MessageSendRequest{
			Body: strings.Repeat("x", c.int("size")) + fmt.Sprint(i%10), ContentType: durable.QueueText})
	}
	if c.Has("mixed") {
		messages = append(messages,
			durable.MessageSendRequest{Body: []int{1}, Delay: time.Minute},
			durable.MessageSendRequest{Body: time.Now(), ContentType: c.Get("mixed")})
	}
	return kindOf(q.SendBatch(ctx, messages, &durable.QueueSendBatchOptions{Delay: c.ms("delay")})), nil
}
