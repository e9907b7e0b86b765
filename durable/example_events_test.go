package durable_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"flow.internal/capdo/durable"
)

// Job is the body of a message.
type Job struct {
	Name string `json:"name"`
}

func ExampleHandleQueue() {
	durable.HandleQueue(func(
		ctx context.Context, env *durable.Env, batch *durable.MessageBatch,
	) error {
		for _, m := range batch.Messages {
			job, err := durable.Body[Job](m)
			if errors.Is(err, durable.ErrValue) {
				continue // another delivery would not help
			}
			if err == nil {
				_, err = env.Object("COUNTER", job.Name).Call(ctx, "increment", nil)
			}
			if err != nil {
				m.Retry(&durable.QueueRetryOptions{Delay: time.Minute})
			}
		}
		return nil // acknowledges the others
	})
	// Output:
}

func ExampleHandleScheduled() {
	durable.HandleScheduled(func(
		ctx context.Context, env *durable.Env, e durable.ScheduledEvent,
	) error {
		day := e.ScheduledTime.UTC().Format(time.DateOnly)
		_, err := env.Object("COUNTER", day).Call(ctx, "increment", nil)
		return err
	})
	// Output:
}

func ExampleQueue_Send() {
	send := func(ctx context.Context, env *durable.Env, job Job) error {
		queue, err := env.Queue("JOBS")
		if err != nil {
			return err
		}
		return queue.Send(ctx, job, &durable.QueueSendOptions{Delay: 30 * time.Second})
	}
	err := send(context.Background(), &durable.Env{}, Job{"report"})
	fmt.Println(errors.Is(err, errors.ErrUnsupported)) // natively
	// Output: true
}
