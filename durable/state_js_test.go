package durable_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

func TestBlockConcurrencyWhileHoldsOtherEventsBack(t *testing.T) {
	o := object(t)
	begun := make(chan bool)
	blocking := o.begin(t, func(ctx context.Context, l *Lab) (string, error) {
		return "done", l.state.BlockConcurrencyWhile(ctx, func() error {
			close(begun)
			<-time.After(100 * time.Millisecond)
			return l.put("k", "blocked")
		})
	})
	<-begun
	reading := o.begin(t, get("k"))
	wantOutcome(t, blocking, "done")
	wantOutcome(t, reading, "blocked")
}

// The event that wakes the goroutine comes from outside the section, although
// the input gate is closed.
func TestSectionsWaitForOtherObjects(t *testing.T) {
	sections := map[string]func(context.Context, *Lab, func() error) error{
		"BlockConcurrencyWhile": func(ctx context.Context, l *Lab, fn func() error) error {
			return l.state.BlockConcurrencyWhile(ctx, fn)
		},
		"Transaction": func(ctx context.Context, l *Lab, fn func() error) error {
			return l.state.Storage().Transaction(ctx, func(*durable.Transaction) error { return fn() })
		},
	}
	for name, section := range sections {
		t.Run(name, func(t *testing.T) {
			o, other := object(t), object(t)
			var mu sync.Mutex
			mu.Lock()
			waiting := make(chan bool)
			inside := o.begin(t, func(ctx context.Context, l *Lab) (string, error) {
				return "done", section(ctx, l, func() error {
					close(waiting)
					mu.Lock()
					defer mu.Unlock()
					return l.put("k", "inside")
				})
			})
			<-waiting
			other.want(t, "", func(context.Context, *Lab) (string, error) {
				time.Sleep(100 * time.Millisecond)
				mu.Unlock()
				return "", nil
			})
			wantOutcome(t, inside, "done")
			o.want(t, "inside", get("k"))
		})
	}
}

func TestFailedBlockConcurrencyWhileResets(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("refused") },
		"panic": func() error { panic("boom") },
	} {
		t.Run(name, func(t *testing.T) {
			stub := durabletest.New(t, "LAB")
			o := through(stub)
			o.want(t, "", put("k", "kept"))
			built := 0
			set(t, &onConstruct, func(context.Context, *Lab) error { built++; return nil })
			_, err := o(t.Context(), func(ctx context.Context, l *Lab) (string, error) {
				return "", l.state.BlockConcurrencyWhile(ctx, fail)
			})
			if err == nil {
				t.Error("the call succeeded")
			}
			o.want(t, "kept", get("k"))
			if built != 1 {
				t.Errorf("the object was built %d times", built)
			}
		})
	}
}

func TestAbortResetsTheObjectUnderItsOpenCalls(t *testing.T) {
	stub := durabletest.New(t, "LAB")
	o := through(stub)
	o.want(t, "", put("k", "kept"))
	returned := make(chan error, 1)
	waiting := make(chan bool)
	open := o.begin(t, func(ctx context.Context, _ *Lab) (string, error) {
		close(waiting)
		<-ctx.Done()
		return "", context.Cause(ctx)
	})
	<-waiting
	_, err := o(t.Context(), func(ctx context.Context, l *Lab) (string, error) {
		l.put("k", "nobody was told")
		err := l.state.Abort(ctx, "enough", nil)
		returned <- err
		return "", err
	})
	if !errors.Is(err, durable.ErrObjectReset) || !strings.Contains(err.Error(), "enough") {
		t.Errorf("the aborting call: %v", err)
	}
	if o := <-open; !errors.Is(o.err, durable.ErrObjectReset) {
		t.Errorf("the other call: %+v", o)
	}
	if err := <-returned; !errors.Is(err, durable.ErrContextClosed) {
		t.Errorf("Abort returned %v", err)
	}
	o.want(t, "kept", get("k")) // through the same stub
}

func TestObjectKnowsItsName(t *testing.T) {
	for _, name := range []string{"short", "", strings.Repeat("x", 1025)} {
		named(t, name).want(t, map[bool]string{true: name, false: ""}[len(name) <= 1024], func(_ context.Context, l *Lab) (string, error) {
			id, err := l.state.ID()
			if err != nil {
				return "", err
			}
			return id.Name(), nil
		})
	}
}

func TestPropsAreEmptyForAnOrdinaryObject(t *testing.T) {
	object(t).want(t, "", func(_ context.Context, l *Lab) (string, error) {
		props, err := l.state.Props()
		if m, ok := props.(map[string]any); !ok || len(m) > 0 {
			t.Errorf("props are %#v", props)
		}
		return "", err
	})
}

// A critical section has its own timers: another context could not wake it.
func TestTimersWakeTheirCriticalSection(t *testing.T) {
	for range 20 {
		o, other := object(t), object(t)
		sleeping := other.begin(t, sleep(12*time.Millisecond)) // an earlier timer is armed elsewhere
		o.want(t, "done", func(ctx context.Context, l *Lab) (string, error) {
			return "done", l.state.BlockConcurrencyWhile(ctx, func() error {
				for range 10 {
					time.Sleep(2 * time.Millisecond)
					if err := l.put("k", "v"); err != nil {
						return err
					}
				}
				return nil
			})
		})
		wantOutcome(t, sleeping, "slept")
	}
}

func TestCriticalSectionsExcludeEachOther(t *testing.T) {
	durabletest.Run(t, durabletest.New(t, durabletest.SQLite), func(ctx context.Context, state *durable.State) {
		s := state.Storage()
		inside, over := 0, make(chan error, 10)
		for range 10 {
			go func() {
				over <- s.Transaction(ctx, func(txn *durable.Transaction) error {
					if inside++; inside > 1 {
						t.Error("two transactions at once")
					}
					defer func() { inside-- }()
					n, _, err := durable.GetAsync[int](ctx, txn, "n", nil)
					<-time.After(time.Millisecond)
					return errors.Join(err, txn.Put(ctx, "n", n+1, nil))
				})
			}()
		}
		for range 10 {
			must(t, <-over)
		}
		if n, _, err := s.Get(ctx, "n", nil); n != 10.0 || err != nil {
			t.Errorf("n is %v, %v", n, err)
		}
	})
}

func TestCriticalSectionInsideAnotherIsRefused(t *testing.T) {
	durabletest.Run(t, durabletest.New(t, durabletest.SQLite), func(ctx context.Context, state *durable.State) {
		s := state.Storage()
		transaction := func() error { return s.Transaction(ctx, func(*durable.Transaction) error { return nil }) }
		block := func() error { return state.BlockConcurrencyWhile(ctx, func() error { return nil }) }
		for name, inner := range map[string]func() error{"transaction": transaction, "blockConcurrencyWhile": block} {
			must(t, s.Transaction(ctx, func(*durable.Transaction) error {
				if err := inner(); !errors.Is(err, durable.ErrNested) {
					t.Errorf("%s: %v", name, err)
				}
				return nil
			}))
		}
		must(t, transaction()) // works afterwards
		must(t, block())
	})
}

func TestCanceledCriticalSectionDoesNotRun(t *testing.T) {
	durabletest.Run(t, durabletest.New(t, durabletest.SQLite), func(ctx context.Context, state *durable.State) {
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		err := state.Storage().Transaction(cancelled, func(*durable.Transaction) error {
			t.Error("it runs")
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Transaction returned %v", err)
		}
		must(t, state.Storage().Transaction(ctx, func(txn *durable.Transaction) error { return txn.Put(ctx, "k", 1, nil) }))
	})
}

// The timer of another event's goroutine may fire during a transaction. The
// goroutine must not write into the transaction: a rollback would undo its
// write after it was reported as stored.
func TestTransactionKeepsOtherGoroutinesOut(t *testing.T) {
	o := object(t)
	asleep := make(chan struct{})
	outside := o.begin(t, func(_ context.Context, l *Lab) (string, error) {
		close(asleep)
		time.Sleep(40 * time.Millisecond)
		return "stored", l.put("outside", "kept")
	})
	<-asleep
	o.wantError(t, "take it back", func(ctx context.Context, l *Lab) (string, error) {
		return "", l.state.Storage().Transaction(ctx, func(*durable.Transaction) error {
			written := make(chan error)
			go func() { written <- l.put("inside", "gone") }() // a goroutine that the function starts is inside
			if err := <-written; err != nil {
				return err
			}
			time.Sleep(200 * time.Millisecond)
			return errors.New("take it back")
		})
	})
	wantOutcome(t, outside, "stored")
	o.want(t, "kept", get("outside"))
	o.want(t, "", get("inside"))
}

func TestBlockConcurrencyWhileKeepsOthersOut(t *testing.T) {
	o := object(t)
	increment := func(wait time.Duration) job {
		return func(_ context.Context, l *Lab) (string, error) {
			v, err := l.get("n")
			if err != nil {
				return "", err
			}
			n, _ := strconv.Atoi(v)
			time.Sleep(wait)
			return "", l.put("n", strconv.Itoa(n+1))
		}
	}
	asleep := make(chan struct{})
	outside := o.begin(t, func(ctx context.Context, l *Lab) (string, error) {
		close(asleep)
		time.Sleep(40 * time.Millisecond)
		return increment(0)(ctx, l)
	})
	<-asleep
	o.want(t, "", func(ctx context.Context, l *Lab) (string, error) {
		return "", l.state.BlockConcurrencyWhile(ctx, func() error {
			_, err := increment(200*time.Millisecond)(ctx, l)
			return err
		})
	})
	wantOutcome(t, outside, "")
	o.want(t, "2", get("n"))
}
