package durable_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"flow.internal/capdo/durable"
)

// Counter counts, durably.
type Counter struct{ state *durable.State }

func NewCounter(ctx context.Context, state *durable.State, env *durable.Env) (*Counter, error) {
	return &Counter{state}, nil
}

// Increment does not wait between reading and writing, so no other event can
// run in between.
func (c *Counter) Increment(ctx context.Context, _ []byte) ([]byte, error) {
	kv := c.state.Storage().KV()
	n, _, err := durable.Get[uint64](kv, "n") // 0 if there is no value
	if err != nil {
		return nil, err
	}
	if err := kv.Put("n", n+1); err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint64(nil, n+1), nil
}

// Alarm is called when the alarm is due.
func (c *Counter) Alarm(ctx context.Context, info durable.AlarmInfo) error {
	return c.state.Storage().DeleteAll(ctx, nil)
}

func ExampleStub_Call() {
	increment := func(ctx context.Context, env *durable.Env, name string) (uint64, error) {
		out, err := env.Object("COUNTER", name).Call(ctx, "increment", nil)
		if err != nil {
			return 0, err
		}
		return binary.LittleEndian.Uint64(out), nil
	}
	_, err := increment(context.Background(), &durable.Env{}, "visits")
	fmt.Println(errors.Is(err, errors.ErrUnsupported)) // natively
	// Output: true
}

func ExampleStorage_TransactionSync() {
	transfer := func(s *durable.Storage, amount int64) error {
		return s.TransactionSync(func() error {
			kv := s.KV()
			balance, _, err := durable.Get[int64](kv, "balance")
			if err != nil {
				return err
			}
			if balance < amount {
				return errors.New("not enough") // rolled back
			}
			return kv.Put("balance", balance-amount)
		})
	}
	fmt.Println(errors.Is(transfer(&durable.Storage{}, 5), errors.ErrUnsupported)) // natively
	// Output: true
}

func ExampleStorage_SetAlarm() {
	remind := func(ctx context.Context, s *durable.Storage) error {
		return s.SetAlarm(ctx, time.Now().Add(time.Minute), nil)
	}
	fmt.Println(errors.Is(remind(context.Background(), &durable.Storage{}), errors.ErrUnsupported)) // natively
	// Output: true
}
