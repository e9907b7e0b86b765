package durable_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/durable"
)

var errRollBack = errors.New("rolled back")

// transact writes "inside" in a synchronous transaction of l and then calls fn
// in it. It returns how the transaction ended.
func transact(l *Lab, fn func(l *Lab) error) (panicked any, err error) {
	defer func() { panicked = recover() }()
	err = l.state.Storage().TransactionSync(func() error { return errors.Join(l.put("inside", "written"), fn(l)) })
	return nil, err
}

func TestTransactionSync(t *testing.T) {
	for _, c := range []struct {
		name     string
		fn       func(l *Lab) error
		err      error
		panicked any
		inside   string
	}{
		{"commits when its function returns nil", func(*Lab) error { return nil }, nil, nil, "written"},
		{"rolls back on an error and returns it", func(*Lab) error { return errRollBack }, errRollBack, nil, ""},
		{"rolls back on a panic and panics again", func(*Lab) error { panic("in transaction") }, nil, "in transaction", ""},
		{"nested: the inner one rolls back alone", rollBackInner, nil, nil, "written"},
		{"nested: the outer one rolls back both", commitInnerOnly, errRollBack, nil, ""},
		{"survives garbage collection inside", func(*Lab) error { litter(2000, 10_000); return nil }, nil, nil, "written"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := object(t)
			o.want(t, c.inside, func(_ context.Context, l *Lab) (string, error) {
				if panicked, err := transact(l, c.fn); !errors.Is(err, c.err) || panicked != c.panicked {
					t.Errorf("ended with %v and panic %v", err, panicked)
				}
				return l.get("inside")
			})
			o.want(t, "", get("inner"))
			o.want(t, "", commit)
		})
	}
}

// commit checks that a transaction still works.
func commit(_ context.Context, l *Lab) (string, error) {
	if panicked, err := transact(l, func(l *Lab) error { return l.put("again", "written") }); err != nil || panicked != nil {
		return "", fmt.Errorf("%v, panic %v", err, panicked)
	}
	if v, err := l.get("again"); v != "written" {
		return "", fmt.Errorf("%q, %v", v, err)
	}
	return "", nil
}

func rollBackInner(l *Lab) error {
	err := l.state.Storage().TransactionSync(func() error { return errors.Join(l.put("inner", "written"), errRollBack) })
	if v, _ := l.get("inner"); v != "" || !errors.Is(err, errRollBack) {
		return fmt.Errorf("the inner transaction ended with %v, inner is %q", err, v)
	}
	return nil
}

func commitInnerOnly(l *Lab) error {
	return errors.Join(l.state.Storage().TransactionSync(func() error { return l.put("inner", "written") }), errRollBack)
}

var garbage [][]byte

// litter makes garbage, so that Go's garbage collector runs.
func litter(n, size int) {
	for range n {
		garbage = append(garbage, make([]byte, size))
	}
	garbage = nil
}

// Package os writes through js.Funcs, which enter Go during the transaction.
func TestTransactionMayPrint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "output")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	defer func(stdout *os.File) { os.Stdout = stdout }(os.Stdout)
	defer log.SetOutput(log.Writer())
	os.Stdout = out
	log.SetOutput(out)
	object(t).want(t, "written", func(_ context.Context, l *Lab) (string, error) {
		_, err := transact(l, func(*Lab) error {
			fmt.Println("printed in a transaction")
			slog.Info("logged in a transaction")
			return nil
		})
		v, getErr := l.get("inside")
		return v, errors.Join(err, getErr)
	})
	b, err := os.ReadFile(path)
	if text := string(b); !strings.Contains(text, "printed in a transaction\n") || !strings.Contains(text, "logged in a transaction\n") {
		t.Errorf("the output is %q, %v", text, err)
	}
}

// testing's FailNow ends a goroutine in this way.
func TestGoexitRollsATransactionBack(t *testing.T) {
	o := object(t)
	o.wantError(t, "runtime.Goexit", func(_ context.Context, l *Lab) (string, error) {
		l.state.Storage().TransactionSync(func() error {
			l.put("inside", "written")
			runtime.Goexit()
			return nil
		})
		t.Error("the handler continues")
		return "", nil
	})
	o.want(t, "", get("inside"))
	o.want(t, "", commit)
}

func TestWaitingTransactionIsRolledBack(t *testing.T) {
	gate := make(chan struct{})
	for name, wait := range map[string]func(ctx context.Context, l *Lab) error{
		"for a channel": func(context.Context, *Lab) error { <-gate; return nil },
		"for a timer":   func(context.Context, *Lab) error { time.Sleep(10 * time.Millisecond); return nil },
		"for I/O":       func(ctx context.Context, l *Lab) error { _, err := l.state.Storage().GetAlarm(ctx, nil); return err },
	} {
		t.Run(name, func(t *testing.T) {
			gate = make(chan struct{})
			o := object(t)
			o.wantError(t, "it must not wait", func(ctx context.Context, l *Lab) (string, error) {
				late := make(chan error, 1)
				_, err := transact(l, func(*Lab) error {
					late <- errors.Join(wait(ctx, l), l.put("late", "written"))
					return nil
				})
				close(gate)
				if lateErr := <-late; !errors.Is(lateErr, durable.ErrTransactionParked) || !errors.Is(err, durable.ErrTransactionParked) {
					t.Errorf("ended with %v; then its function's write with %v", err, lateErr)
				}
				return "", err
			})
			o.want(t, "", get("inside"))
			o.want(t, "", get("late"))
			o.want(t, "", commit)
		})
	}
}

func TestNoOtherGoroutineWritesInsideATransaction(t *testing.T) {
	o := object(t)
	o.want(t, "", func(_ context.Context, l *Lab) (string, error) {
		start, written := make(chan struct{}), make(chan error)
		go func() {
			<-start
			written <- l.put("outside", "written")
		}()
		_, err := transact(l, func(l *Lab) error {
			close(start)
			for range 100 {
				l.put("inside", "written")
				garbage = append(garbage, make([]byte, 100_000)) // makes the collector run, which lets others run
			}
			garbage = nil
			return errRollBack
		})
		if !errors.Is(err, errRollBack) {
			t.Errorf("ended with %v", err)
		}
		return "", <-written
	})
	o.want(t, "", get("inside"))
	o.want(t, "written", get("outside"))
}

// A file's callback resumes Go, which enters a transaction. The transaction
// resumes Go again and uses a file.
func TestTransactionSyncBetweenUsesOfFiles(t *testing.T) {
	o := object(t)
	o.want(t, "", func(ctx context.Context, l *Lab) (string, error) {
		for range 3 {
			if _, err := os.Stat("."); err != nil {
				return "", err
			}
			if _, err := commit(ctx, l); err != nil {
				return "", err
			}
		}
		_, err := os.Stat(".")
		return "", err
	})
}
