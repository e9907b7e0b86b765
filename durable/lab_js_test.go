package durable_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durabletest"
)

// Lab runs the functions of tests. It is a Durable Object or, if state is nil,
// a request of the stateless Worker.
type Lab struct {
	state *durable.State
	env   *durable.Env
}

// job is a function that handles a call of a Lab, or a request. Tests and
// objects are one program, so a call needs to carry only the job's number.
type job func(ctx context.Context, l *Lab) (string, error)

var (
	jobs    sync.Map // number → job
	lastJob atomic.Int64
)

func addJob(fn job) (number string) {
	number = strconv.FormatInt(lastJob.Add(1), 10)
	jobs.Store(number, fn)
	return number
}

func (l *Lab) do(ctx context.Context, number string) (string, error) {
	fn, ok := jobs.LoadAndDelete(number)
	if !ok {
		return "", errors.New("no job " + number)
	}
	return fn.(job)(ctx, l)
}

// Handlers of other events of Labs, if a test has set them.
var (
	onConstruct func(ctx context.Context, l *Lab) error
	onAlarm     func(ctx context.Context, l *Lab, info durable.AlarmInfo) error
	onFetch     func(ctx context.Context, l *Lab, r *durable.Request) (*durable.Response, error)
)

// set sets a variable until the test ends.
func set[T any](t *testing.T, variable *T, value T) {
	before := *variable
	*variable = value
	t.Cleanup(func() { *variable = before })
}

func NewLab(ctx context.Context, state *durable.State, env *durable.Env) (*Lab, error) {
	l := &Lab{state, env}
	if onConstruct != nil {
		return l, onConstruct(ctx, l)
	}
	return l, nil
}

func (l *Lab) Do(ctx context.Context, args []byte) ([]byte, error) {
	out, err := l.do(ctx, string(args))
	return []byte(out), err
}

func (l *Lab) Echo(_ context.Context, args []byte) ([]byte, error) { return args, nil }

func (l *Lab) Alarm(ctx context.Context, info durable.AlarmInfo) error { return onAlarm(ctx, l, info) }

func (l *Lab) Fetch(ctx context.Context, r *durable.Request) (*durable.Response, error) {
	return onFetch(ctx, l, r)
}

// serve is the stateless Worker. A request's path contains only the job's
// number.
func serve(ctx context.Context, env *durable.Env, r *durable.Request) (*durable.Response, error) {
	out, err := (&Lab{env: env}).do(ctx, strings.TrimPrefix(r.URL, "http://worker/"))
	return &durable.Response{Status: 200, Body: bytes.NewBufferString(out)}, err
}

// Bare is a class without any handler.
type Bare struct{}

func NewBare(context.Context, *durable.State, *durable.Env) (Bare, error) { return Bare{}, nil }

func TestMain(m *testing.M) {
	durable.Register("Lab", NewLab, durable.Method("do", (*Lab).Do), durable.Method("echo", (*Lab).Echo))
	durable.Register("Bare", NewBare)
	durable.Register("Counter", NewCounter, durable.Method("increment", (*Counter).Increment))
	registerLedger()
	durable.HandleFetch(serve)
	m.Run()
}

// place is a place where jobs run.
type place func(ctx context.Context, fn job) (string, error)

// object returns a fresh Lab.
func object(t *testing.T) place { return through(durabletest.New(t, "LAB")) }

// named returns the Lab with that name.
func named(t *testing.T, name string) place { return (&Lab{env: durabletest.Env(t, nil)}).other(name) }

func through(stub *durable.Stub) place {
	return func(ctx context.Context, fn job) (string, error) {
		out, err := stub.Call(ctx, "do", []byte(addJob(fn)))
		return string(out), err
	}
}

// other returns the Lab with that name, for calls from the handler of l.
func (l *Lab) other(name string) place {
	return func(ctx context.Context, fn job) (string, error) {
		stub := l.env.Object("LAB", name)
		defer stub.Release()
		return through(stub)(ctx, fn)
	}
}

// worker returns the stateless Worker, which runs each job in a request of its
// own.
func worker(t *testing.T) place {
	stub := durabletest.Worker(t)
	return func(ctx context.Context, fn job) (string, error) {
		resp, err := stub.Fetch(ctx, &durable.Request{Method: "GET", URL: "http://worker/" + addJob(fn)})
		if err != nil || resp.Body == nil {
			return "", err
		}
		out, err := io.ReadAll(resp.Body)
		return string(out), err
	}
}

// want fails the test unless fn, run in p, returns want.
func (p place) want(t *testing.T, want string, fn job) {
	t.Helper()
	if got, err := p(t.Context(), fn); got != want || err != nil {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// wantError fails the test unless fn, run in p, fails with an error that the
// other side returned and that contains text.
func (p place) wantError(t *testing.T, text string, fn job) {
	t.Helper()
	if out, err := p(t.Context(), fn); !errors.Is(err, durable.ErrRemote) || !strings.Contains(err.Error(), text) {
		t.Errorf("got %q, %v; want an error of the other side with %q", out, err, text)
	}
}

// outcome is the result of a job.
type outcome struct {
	out string
	err error
}

// begin starts fn in p and does not wait for it.
func (p place) begin(t *testing.T, fn job) <-chan outcome {
	ctx, over := t.Context(), make(chan outcome, 1)
	go func() {
		out, err := p(ctx, fn)
		over <- outcome{out, err}
	}()
	return over
}

// wantOutcome waits for a job that begin has started.
func wantOutcome(t *testing.T, over <-chan outcome, want string) {
	t.Helper()
	if o := <-over; o.out != want || o.err != nil {
		t.Errorf("got %q, %v; want %q", o.out, o.err, want)
	}
}

func (l *Lab) kv() *durable.KV { return l.state.Storage().KV() }

func (l *Lab) put(key, value string) error { return l.kv().Put(key, value) }

// get returns a stored string, or "".
func (l *Lab) get(key string) (string, error) {
	s, _, err := durable.Get[string](l.kv(), key)
	return s, err
}

// Jobs that many tests use.

func ping(context.Context, *Lab) (string, error) { return "pong", nil }

func put(key, value string) job {
	return func(_ context.Context, l *Lab) (string, error) { return "", l.put(key, value) }
}

func get(key string) job {
	return func(_ context.Context, l *Lab) (string, error) { return l.get(key) }
}

func sleep(d time.Duration) job {
	return func(context.Context, *Lab) (string, error) {
		time.Sleep(d)
		return "slept", nil
	}
}
