package durable_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

func TestWokenGoroutineUsesItsOwnStorage(t *testing.T) {
	receiver, sender := object(t), object(t)
	waits, channel := make(chan struct{}), make(chan string)
	received := receiver.begin(t, func(_ context.Context, l *Lab) (string, error) {
		close(waits)
		got := <-channel
		if err := l.put("got", got); err != nil {
			return "", err
		}
		return l.get("got")
	})
	<-waits
	sender.want(t, "", func(_ context.Context, l *Lab) (string, error) {
		channel <- "hello"
		return "", l.put("sent", "hello")
	})
	wantOutcome(t, received, "hello")
	receiver.want(t, "hello", get("got"))
	receiver.want(t, "", get("sent"))
	sender.want(t, "hello", get("sent"))
	sender.want(t, "", get("got"))
}

func TestObjectsHandlesWorkInAnyGoroutine(t *testing.T) {
	o := object(t)
	inside, leave := make(chan *Lab), make(chan struct{})
	visit := o.begin(t, func(_ context.Context, l *Lab) (string, error) {
		inside <- l
		<-leave
		return "left", nil
	})
	if err := (<-inside).put("by", "the test"); err != nil {
		t.Error(err)
	}
	close(leave)
	wantOutcome(t, visit, "left")
	o.want(t, "the test", get("by"))
}

func TestGoroutineOutlivesItsCall(t *testing.T) {
	o := object(t)
	answered, written := make(chan struct{}), make(chan error)
	o.want(t, "", func(_ context.Context, l *Lab) (string, error) {
		go func() {
			<-answered
			time.Sleep(time.Millisecond)
			written <- l.put("by", "a goroutine")
		}()
		return "", nil
	})
	close(answered)
	time.Sleep(20 * time.Millisecond) // lets the goroutine wait for its turn; without that the test still passes
	o.want(t, "pong", ping)
	if err := <-written; err != nil {
		t.Error(err)
	}
	o.want(t, "a goroutine", get("by"))
}

func TestGoroutineOutlivesItsRequest(t *testing.T) {
	answered, failed := make(chan struct{}), make(chan error)
	worker(t).want(t, "", func(_ context.Context, l *Lab) (string, error) {
		go func() {
			<-answered
			time.Sleep(time.Millisecond)
			_, err := l.env.Namespace("LAB")
			failed <- err
		}()
		return "", nil
	})
	close(answered)
	if err := <-failed; !errors.Is(err, durable.ErrContextClosed) {
		t.Errorf("its I/O: %v", err)
	}
}

func TestShortSleepDoesNotWaitForALongOne(t *testing.T) {
	sleeper := object(t)
	began := make(chan struct{})
	long := sleeper.begin(t, func(context.Context, *Lab) (string, error) {
		close(began)
		time.Sleep(1500 * time.Millisecond)
		return "slept", nil
	})
	<-began
	for name, p := range map[string]place{"the Worker": worker(t), "another object": object(t), "the same object": sleeper} {
		begin := time.Now()
		p.want(t, "slept", sleep(20*time.Millisecond))
		if took := time.Since(begin); took > 750*time.Millisecond {
			t.Errorf("%s took %v", name, took)
		}
	}
	select {
	case <-long:
		t.Error("the long sleep ended first")
	default:
		wantOutcome(t, long, "slept")
	}
}

func TestRequestsWaitForALockHeldInASubrequest(t *testing.T) {
	var mu sync.Mutex
	var running []<-chan outcome
	for range 4 {
		running = append(running, worker(t).begin(t, func(ctx context.Context, l *Lab) (string, error) {
			mu.Lock()
			out, err := l.other("sleeper")(ctx, sleep(100*time.Millisecond))
			mu.Unlock()
			if err != nil {
				return "", err
			}
			_, err = l.other("other")(ctx, ping)
			return out, err
		}))
	}
	for _, over := range running {
		wantOutcome(t, over, "slept")
	}
}

// A stateless request that only waits for another request's goroutine has no
// I/O of its own. It must not end as hung while the other request lives. The
// runtime checks for that every 5 s.
func TestRequestWaitsForAnothersGoroutine(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 6 s")
	}
	var mu sync.Mutex
	locked := make(chan struct{})
	holder := worker(t).begin(t, func(ctx context.Context, l *Lab) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		close(locked)
		return l.other("sleeper")(ctx, sleep(6*time.Second))
	})
	<-locked
	worker(t).want(t, "pong", func(ctx context.Context, l *Lab) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		return l.other("other")(ctx, ping)
	})
	wantOutcome(t, holder, "slept")
}

func TestCanceledCallReturnsTheCause(t *testing.T) {
	cause := errors.New("the caller's reason")
	for name, c := range map[string]struct {
		limit func(context.Context) (context.Context, context.CancelFunc)
		want  error
	}{
		"deadline": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 50*time.Millisecond)
		}, context.DeadlineExceeded},
		"cause": {func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			stop := time.AfterFunc(50*time.Millisecond, func() { cancel(cause) }).Stop
			return ctx, func() { stop(); cancel(nil) }
		}, cause},
	} {
		t.Run(name, func(t *testing.T) {
			for place, p := range map[string]place{"the Worker": worker(t), "an object": object(t)} {
				release, released := make(chan struct{}), make(chan struct{})
				p.want(t, "", func(ctx context.Context, l *Lab) (string, error) {
					ctx, cancel := c.limit(ctx)
					defer cancel()
					_, err := l.other("stuck")(ctx, func(context.Context, *Lab) (string, error) {
						<-release
						close(released)
						return "", nil
					})
					if !errors.Is(err, c.want) {
						t.Errorf("%s: %v, want %v", place, err, c.want)
					}
					close(release)
					<-released
					return "", nil
				})
			}
		})
	}
}

func TestTaskGoesOnAfterTheAnswer(t *testing.T) {
	for name, p := range map[string]place{"the Worker": worker(t), "an object": object(t)} {
		answered, done := make(chan struct{}), make(chan error)
		p.want(t, "answered", func(ctx context.Context, l *Lab) (string, error) {
			durable.WaitUntil(ctx, func(ctx context.Context) {
				<-answered
				time.Sleep(time.Millisecond)
				_, err := l.other("diary")(ctx, put(name, "later"))
				done <- errors.Join(err, ctx.Err())
			})
			return "answered", nil
		})
		close(answered)
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		named(t, "diary").want(t, "later", get(name))
	}
}

func TestWaitUntilNeedsAHandlersContext(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	durable.WaitUntil(t.Context(), func(context.Context) {})
}

// The program's next timer may be armed in the context of an object that is
// reset. Then another context has to take over the timer.
func TestTimersOutliveAnObjectThatIsReset(t *testing.T) {
	for name, reset := range map[string]func(stub *durable.Stub, o place) error{
		"aborted from outside": func(stub *durable.Stub, _ place) error { durabletest.Abort(t, stub); return nil },
		"aborted by itself": func(_ *durable.Stub, o place) error {
			_, err := o(t.Context(), func(ctx context.Context, l *Lab) (string, error) { return "", l.state.Abort(ctx, "enough", nil) })
			return err
		},
		"reset by BlockConcurrencyWhile": func(_ *durable.Stub, o place) error {
			_, err := o(t.Context(), func(ctx context.Context, l *Lab) (string, error) {
				return "", l.state.BlockConcurrencyWhile(ctx, func() error { return errors.New("refused") })
			})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			stub := durabletest.New(t, "LAB")
			o := through(stub)
			sleeping := make(chan bool)
			open := o.begin(t, func(ctx context.Context, _ *Lab) (string, error) { // its timer is the program's next timer
				close(sleeping)
				time.Sleep(30 * time.Millisecond)
				<-ctx.Done()
				return "", nil
			})
			<-sleeping
			reset(stub, o)
			begin := time.Now()
			time.Sleep(50 * time.Millisecond)
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("50 ms took %v", took)
			}
			if o := <-open; o.err == nil {
				t.Error("the open call succeeded")
			}
		})
	}
}

func TestHandleOfOneObjectIsRefusedInAnother(t *testing.T) {
	var foreign *durable.ID
	object(t).want(t, "", func(_ context.Context, l *Lab) (string, error) {
		ns, err := l.env.Namespace("LAB")
		if err != nil {
			return "", err
		}
		foreign, err = ns.IDFromName("a")
		return "", err
	})
	object(t).want(t, "", func(ctx context.Context, l *Lab) (string, error) {
		ns, err := l.env.Namespace("LAB")
		if err != nil {
			return "", err
		}
		if _, err := ns.Get(foreign, nil); !errors.Is(err, durable.ErrForeignHandle) {
			t.Errorf("Get: %v", err)
		}
		return "", nil
	})
}
