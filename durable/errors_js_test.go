package durable_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// wantKind fails the test unless err is of that kind and contains text.
func wantKind(t *testing.T, err, kind error, text string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
		t.Errorf("got %#v; want %q with %q", err, kind, text)
	}
}

// fail is a job that fails with err.
func fail(err error) job {
	return func(context.Context, *Lab) (string, error) { return "", err }
}

func TestRemoteErrorKeepsNameAndProperties(t *testing.T) {
	declined := &durable.Error{Name: "Declined", Message: "no funds", Props: map[string]any{"code": "E51", "attempt": 2.0, "final": true}}
	outer, inner := object(t), "inner"
	for name, fn := range map[string]job{
		"one call":  fail(declined),
		"two calls": func(ctx context.Context, l *Lab) (string, error) { return l.other(inner)(ctx, fail(declined)) },
	} {
		_, err := outer(t.Context(), fn)
		wantKind(t, err, durable.ErrRemote, "no funds")
		var e *durable.Error
		if !errors.As(err, &e) || e.Name != "Declined" || e.Props["code"] != "E51" || e.Props["attempt"] != 2.0 || e.Props["final"] != true {
			t.Errorf("%s: %#v", name, e)
		}
		if durable.Retryable(err) || durable.Overloaded(err) {
			t.Errorf("%s: is retryable", name)
		}
	}
}

// The error's text may come from users, so it says nothing about the call.
func TestTextDoesNotDecideARemoteErrorsKind(t *testing.T) {
	o := object(t)
	for _, text := range []string{"Durable Object is overloaded. Too many requests queued.", "Network connection lost.", "Durable Object reset because its code was updated.",
		"Internal error in Durable Object storage write caused object to be reset", "x: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)"} {
		_, err := o(t.Context(), fail(errors.New(text)))
		wantKind(t, err, durable.ErrRemote, text)
		for _, kind := range []error{durable.ErrOverloaded, durable.ErrDisconnected, durable.ErrObjectReset, durable.ErrStorage, durable.ErrConstraint} {
			if errors.Is(err, kind) {
				t.Errorf("%q is %q", text, kind)
			}
		}
		if durable.Retryable(err) || durable.Overloaded(err) {
			t.Errorf("%q is retryable", text)
		}
	}
	_, err := o(t.Context(), func(ctx context.Context, l *Lab) (string, error) {
		return "", l.state.Abort(ctx, "asked for: Internal error in Durable Object storage caused object to be reset", nil)
	})
	wantKind(t, err, durable.ErrObjectReset, "asked for")
	if errors.Is(err, durable.ErrStorage) {
		t.Errorf("the reason of an Abort became a storage error: %#v", err)
	}
}

func TestResetOfACalledObject(t *testing.T) {
	_, err := object(t)(t.Context(), func(ctx context.Context, l *Lab) (string, error) {
		return l.other("aborts")(ctx, func(ctx context.Context, l *Lab) (string, error) { return "", l.state.Abort(ctx, "enough", nil) })
	})
	wantKind(t, err, durable.ErrRemote, "enough")
	if errors.Is(err, durable.ErrObjectReset) {
		t.Errorf("the calling object was reset: %#v", err)
	}
}

func TestConstructorThatFailsResetsTheObject(t *testing.T) {
	for name, construct := range map[string]func(context.Context, *Lab) error{
		"at once": func(context.Context, *Lab) error { return errors.New("not today") },
		"after waiting": func(ctx context.Context, l *Lab) error {
			if _, err := l.state.Storage().GetAlarm(ctx, nil); err != nil {
				return err
			}
			return errors.New("not today")
		},
		"by a panic": func(context.Context, *Lab) error { panic("not today") },
	} {
		t.Run(name, func(t *testing.T) {
			stub := durabletest.New(t, "LAB")
			failing := onConstruct
			set(t, &failing, nil)
			set(t, &onConstruct, construct)
			_, err := through(stub)(t.Context(), ping)
			wantKind(t, err, durable.ErrObjectReset, "not today")
			onConstruct = nil
			through(stub).want(t, "pong", ping) // through the same stub
		})
	}
}

func TestDeferredConstraintResetsTheObject(t *testing.T) {
	o := object(t)
	_, err := o(t.Context(), func(_ context.Context, l *Lab) (string, error) {
		_, err := l.state.Storage().SQL().Exec(`pragma defer_foreign_keys = on; create table parent (id integer primary key);
			create table child (parent integer references parent); insert into child values (1)`)
		return "done", err
	})
	wantKind(t, err, durable.ErrStorage, "FOREIGN KEY constraint failed")
	wantKind(t, err, durable.ErrObjectReset, "rolled back")
	o.want(t, "0 tables", func(_ context.Context, l *Lab) (string, error) {
		c, err := l.state.Storage().SQL().Exec("select count(*) || ' tables' from sqlite_master where name in ('parent', 'child')")
		if err != nil || !c.Next() {
			return "", err
		}
		var s string
		return s, c.Scan(&s)
	})
}

func TestCallIsDisconnectedWhenWorkerdIsKilled(t *testing.T) {
	arrived := make(chan bool)
	over := object(t).begin(t, func(ctx context.Context, _ *Lab) (string, error) {
		close(arrived)
		<-ctx.Done()
		return "", context.Cause(ctx)
	})
	<-arrived
	durabletest.Restart(t)
	err := (<-over).err
	wantKind(t, err, durable.ErrDisconnected, "")
	if !durable.Retryable(err) {
		t.Errorf("not retryable: %#v", err)
	}
}

func TestErrorNamesWhatIsMissing(t *testing.T) {
	env := durabletest.Env(t, nil)
	for name, binding := range map[string]string{"no such binding": "NOPE", "a variable": "COLOUR"} {
		t.Run(name, func(t *testing.T) {
			_, err := env.Namespace(binding)
			wantKind(t, err, durable.ErrNoBinding, binding)
		})
	}
	bare := durabletest.New(t, "BARE")
	_, err := bare.Call(t.Context(), "nothere", nil)
	wantKind(t, err, durable.ErrRemote, `the method "nothere". A Go class has the methods`)
	_, err = bare.Fetch(t.Context(), &durable.Request{Method: "GET", URL: "http://bare/"})
	wantKind(t, err, durable.ErrRemote, "fetch")
	durabletest.Run(t, bare, func(ctx context.Context, state *durable.State) {
		s := state.Storage()
		wantKind(t, s.SetAlarm(ctx, time.Now(), nil), durable.ErrNoAlarmHandler, "alarm() handler")
		_, err := s.BookmarkForTime(ctx, time.Now())
		wantKind(t, err, errors.ErrUnsupported, "point-in-time recovery")
	})
}

func TestObjectOfTheOtherBackendHasNoSQL(t *testing.T) {
	durabletest.Run(t, durabletest.New(t, durabletest.KV), func(ctx context.Context, state *durable.State) {
		s := state.Storage()
		_, err := s.SQL().Exec("select 1")
		wantKind(t, err, durable.ErrNoSQL, "")
		_, _, err = s.KV().Get("k")
		wantKind(t, err, durable.ErrNoSQL, "")
		wantKind(t, s.TransactionSync(func() error { return errors.New("ran") }), durable.ErrNoSQL, "")
		if err := s.Transaction(ctx, func(txn *durable.Transaction) error { return txn.Put(ctx, "k", "v", nil) }); err != nil {
			t.Errorf("an asynchronous transaction: %v", err)
		}
	})
}

func TestHandlesOfAnEndedRequest(t *testing.T) {
	w := worker(t)
	var env *durable.Env
	var stub *durable.Stub
	w.want(t, "", func(ctx context.Context, l *Lab) (string, error) {
		env = l.env
		ns, err := env.Namespace("LAB")
		if err != nil {
			return "", err
		}
		if stub, err = ns.GetByName("a", nil); err != nil {
			return "", err
		}
		_, err = stub.Call(ctx, "echo", nil)
		return "", err
	})
	_, err := env.Namespace("LAB")
	wantKind(t, err, durable.ErrContextClosed, "")
	_, err = stub.Call(t.Context(), "echo", nil)
	wantKind(t, err, durable.ErrContextClosed, "")
	w.wantError(t, "I/O context is closed", func(ctx context.Context, _ *Lab) (string, error) { // called from an open request
		_, err := stub.Call(ctx, "echo", nil)
		return "", err
	})
}

func TestValueWithoutEquivalentIsRefused(t *testing.T) {
	stub := durabletest.New(t, "LAB")
	for name, v := range map[string]any{"a function": func() {}, "a channel": make(chan int), "a time in ns": time.Unix(0, 1)} {
		_, err := durable.Call[any](t.Context(), stub, "echo", v)
		if !errors.Is(err, durable.ErrValue) {
			t.Errorf("%s: %v", name, err)
		}
		durabletest.Run(t, stub, func(ctx context.Context, state *durable.State) {
			if err := state.Storage().Put(ctx, "k", v, nil); !errors.Is(err, durable.ErrValue) {
				t.Errorf("%s in storage: %v", name, err)
			}
		})
	}
}

// The runtime waits 30 s, so this test takes 30 s.
func TestBlockConcurrencyWhileTimesOut(t *testing.T) {
	if os.Getenv("CAPDO_SLOW") == "" {
		t.Skip("takes 30 s: CAPDO_SLOW=1 capdo test --pass-env CAPDO_SLOW --hang 1m")
	}
	begun := time.Now()
	_, err := object(t)(t.Context(), func(ctx context.Context, l *Lab) (string, error) {
		return "", l.state.BlockConcurrencyWhile(ctx, func() error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
	})
	wantKind(t, err, durable.ErrObjectReset, "blockConcurrencyWhile()")
	if !durable.Overloaded(err) || durable.Retryable(err) {
		t.Errorf("Overloaded is %v, Retryable is %v: %#v", durable.Overloaded(err), durable.Retryable(err), err)
	}
	if took := time.Since(begun); took < 29*time.Second || took > 40*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestHandleOfAnIdleObjectWaitsForItsNextEvent(t *testing.T) {
	idle, other := object(t), object(t)
	var handle *Lab
	idle.want(t, "", func(_ context.Context, l *Lab) (string, error) {
		handle = l
		return "", nil
	})
	over := other.begin(t, func(context.Context, *Lab) (string, error) { return "done", handle.put("k", "v") })
	for range 10 {
		other.want(t, "pong", ping)
	}
	select {
	case o := <-over:
		t.Errorf("it did not wait: %+v", o)
	default:
	}
	idle.want(t, "v", func(_ context.Context, l *Lab) (string, error) {
		wantOutcome(t, over, "done")
		return l.get("k")
	})
}
