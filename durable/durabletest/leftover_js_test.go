package durabletest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// leftOver receives the results of work that leave starts in an object or in
// the Worker. The work does not end with the test.
var leftOver = make(chan error, 10)

func (c *Counter) Leave(ctx context.Context, _ []byte) ([]byte, error) {
	durable.WaitUntil(ctx, func(ctx context.Context) {
		<-ctx.Done()
		leftOver <- context.Cause(ctx)
	})
	durable.WaitUntil(ctx, func(ctx context.Context) {
		time.Sleep(3 * time.Second)
		_, err := c.state.Storage().GetAlarm(ctx, nil)
		leftOver <- err
	})
	return nil, nil
}

// Each of these tests finds that the timers of an earlier test do not disturb
// it, and that the earlier test's goroutines no longer have an object.
func TestWorkThatIsLeftOver(t *testing.T) {
	for _, name := range []string{"first", "second"} {
		t.Run(name, func(t *testing.T) {
			call(t, durabletest.New(t, "COUNTER"), "leave")
			time.Sleep(20 * time.Millisecond)
		})
	}
	t.Run("then", func(t *testing.T) {
		durabletest.New(t, "COUNTER")
		for range 4 {
			if err := <-leftOver; !errors.Is(err, durable.ErrContextClosed) {
				t.Errorf("work that was left over: %v", err)
			}
		}
	})
}

// This test is like the example in the package's documentation.
func TestSubtestsShareWhatTheirParentHas(t *testing.T) {
	durabletest.List(t, "COUNTER")
	t.Run("one", func(t *testing.T) { call(t, durabletest.New(t, "COUNTER"), "increment") })
	t.Run("two", func(t *testing.T) {
		if ids := durabletest.List(t, "COUNTER"); len(ids) != 1 {
			t.Errorf("there are %v", ids)
		}
	})
}
