// The program that the explorer drives. Each call carries a script with
// operations. testdata/script.mjs writes the scripts.
package main

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall/js"
	"time"

	"flow.internal/capdo/durable"
)

// Operations; must match script.mjs. A block is a nested script.
const (
	opSleep       = iota // ms
	opLock               // number, block
	opCall               // object, block
	opCallWithin         // object, ms, block: gives up the call after that time
	opAdd                // adds one to the object's counter
	opGet                // asynchronous storage
	opTransact           // block
	opSection            // block
	opTransaction        // block
	opTask               // block, after the answer
	opSpawn              // block, in a goroutine of its own
	opWait               // number, ms: waits for a signal, at most that long
	opSignal             // number
	opPanic
	opCrash
	opExit
	opSpin
	opAbort
	opUntilGone // until the caller has left, or 10 s
	opFail
	opHostile // number: reads a hostile value of JavaScript
	opCollect
	opCallback // waits for a js.Func that JavaScript calls
	opRefuse   // answers with a body and a status that JavaScript refuses
	opBody     // number, ms: streams that many chunks
	opForever  // waits for ever
)

var (
	locks   [4]sync.Mutex
	inside  [4]int
	signals [4]chan struct{}
)

func init() {
	for i := range signals {
		signals[i] = make(chan struct{}, 1)
	}
}

// never is the time when a busy loop would end by itself.
var never = time.Unix(1<<40, 0)

// script is the rest of a script, and its place.
type script struct {
	code   []byte
	env    *durable.Env
	state  *durable.State // nil in a request
	answer *durable.Response
	locked bool // inside a transaction's function
}

func (s *script) byte() int {
	b := s.code[0]
	s.code = s.code[1:]
	return int(b)
}

func (s *script) short() int { return s.byte()<<8 | s.byte() }

func (s *script) millis() time.Duration { return time.Duration(s.short()) * time.Millisecond }

func (s *script) block() *script {
	n := s.short()
	b := *s
	b.code = s.code[:n:n]
	s.code = s.code[n:]
	return &b
}

func (s *script) run(ctx context.Context) error {
	for len(s.code) > 0 {
		if err := s.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *script) step(ctx context.Context) error {
	switch op := s.byte(); op {
	case opSleep:
		time.Sleep(s.millis())
	case opLock:
		return s.lock(ctx)
	case opCall:
		return s.call(ctx, s.byte(), s.block())
	case opCallWithin:
		to, d := s.byte(), s.millis()
		within, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		if err := s.call(within, to, s.block()); context.Cause(within) == nil {
			return err
		}
	case opTask:
		b := s.block()
		durable.WaitUntil(ctx, func(ctx context.Context) { b.run(ctx) })
	case opSpawn:
		b := s.block()
		go b.run(context.WithoutCancel(ctx))
	case opWait, opSignal, opUntilGone, opForever, opCallback:
		return s.wait(ctx, op)
	case opPanic:
		panic("as told")
	case opCrash:
		go panic("as requested, in a goroutine of its own")
		<-ctx.Done()
	case opExit:
		os.Exit(3)
	case opSpin:
		for time.Now().Before(never) { // until the platform terminates it
		}
	case opFail:
		return errors.New("as told")
	case opCollect:
		runtime.GC()
		runtime.Gosched()
	case opRefuse, opBody:
		s.respond(op)
	default:
		return s.useStorage(ctx, op)
	}
	return nil
}

func (s *script) lock(ctx context.Context) error {
	n, b := s.byte(), s.block()
	locks[n].Lock()
	defer locks[n].Unlock()
	inside[n]++
	defer func() { inside[n]-- }()
	if inside[n] != 1 {
		println("VIOLATION two goroutines hold the same lock")
	}
	return b.run(ctx)
}

func (s *script) call(ctx context.Context, to int, b *script) error {
	stub := s.env.Object("OBJECT", strconv.Itoa(to))
	defer stub.Release()
	out, err := stub.Call(ctx, "run", b.code)
	if err != nil {
		return err
	}
	if string(out) != string(b.code) {
		println("VIOLATION a call got another's answer")
	}
	return nil
}

func (s *script) wait(ctx context.Context, op int) error {
	switch op {
	case opWait:
		c := signals[s.byte()]
		select {
		case <-c:
		case <-time.After(s.millis()):
		}
	case opSignal:
		select {
		case signals[s.byte()] <- struct{}{}:
		default:
		}
	case opUntilGone:
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(10 * time.Second):
		}
	case opForever:
		<-ctx.Done()
		return context.Cause(ctx)
	case opCallback:
		called := make(chan struct{})
		var f js.Func
		f = js.FuncOf(func(js.Value, []js.Value) any {
			f.Release()
			close(called)
			return nil
		})
		js.Global().Call("later", f)
		select {
		case <-called:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (s *script) useStorage(ctx context.Context, op int) error {
	if s.state == nil {
		switch op {
		case opTransact, opSection, opTransaction:
			return s.block().run(ctx)
		case opHostile:
			s.byte()
		}
		return nil
	}
	storage := s.state.Storage()
	switch op {
	case opAdd:
		return s.add()
	case opGet:
		_, _, err := storage.Get(ctx, "n", nil)
		return err
	case opTransact:
		b := s.block()
		b.locked = true
		err := storage.TransactionSync(func() error { return b.run(ctx) })
		if errors.Is(err, durable.ErrTransactionParked) {
			return nil
		}
		return err
	case opSection:
		b := s.block()
		return s.state.BlockConcurrencyWhile(ctx, func() error { return b.run(ctx) })
	case opTransaction:
		b := s.block()
		return storage.Transaction(ctx, func(*durable.Transaction) error { return b.run(ctx) })
	case opAbort:
		return s.state.Abort(ctx, "as told", nil)
	case opHostile:
		storage.KV().Get("hostile:" + strconv.Itoa(s.byte()))
		return nil
	}
	panic("unknown operation")
}

// add reads and writes. Nothing may run in between.
func (s *script) add() error {
	kv := s.state.Storage().KV()
	n, _, err := durable.Get[int64](kv, "n")
	if err != nil {
		return err
	}
	return kv.Put("n", n+1)
}

func (s *script) respond(op int) {
	switch op {
	case opRefuse:
		s.answer = &durable.Response{Status: 99, Body: &chunks{n: 3, pause: time.Millisecond}}
	case opBody:
		s.answer = &durable.Response{Status: 200, Body: &chunks{n: s.byte(), pause: s.millis()}}
	}
}

// chunks is a body that is sent slowly.
type chunks struct {
	n     int
	pause time.Duration
}

func (c *chunks) Read(p []byte) (int, error) {
	if c.n == 0 {
		return 0, io.EOF
	}
	c.n--
	time.Sleep(c.pause)
	return copy(p, "chunk"), nil
}

type object struct {
	state *durable.State
	env   *durable.Env
}

// construct does what the variable CONSTRUCT says at that time.
func construct(_ context.Context, state *durable.State, env *durable.Env) (*object, error) {
	how, _, err := env.Var("CONSTRUCT")
	switch how {
	case "construct locks":
		time.Sleep(time.Millisecond)
		locks[0].Lock()
		defer locks[0].Unlock()
	case "construct reads":
		time.Sleep(20 * time.Millisecond)
		_, _, err = state.Storage().Get(context.Background(), "n", nil)
	case "construct fails":
		return nil, errors.New("the constructor fails as requested")
	}
	return &object{state, env}, err
}

func (o *object) run(ctx context.Context, code []byte) ([]byte, error) {
	s := &script{code: code, env: o.env, state: o.state}
	return code, s.run(ctx)
}

func serve(ctx context.Context, env *durable.Env, r *durable.Request) (*durable.Response, error) {
	_, text, _ := strings.Cut(r.URL, "?")
	code, err := parse(text)
	if err != nil {
		return nil, err
	}
	s := &script{code: code, env: env, answer: &durable.Response{Status: 200}}
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	return s.answer, nil
}

// scheduled runs the script that takes the place of a cron expression.
func scheduled(ctx context.Context, env *durable.Env, e durable.ScheduledEvent) error {
	code, err := parse(e.Cron)
	if err != nil {
		return err
	}
	return (&script{code: code, env: env, answer: &durable.Response{}}).run(ctx)
}

// parse reads hexadecimal digits.
func parse(hex string) ([]byte, error) {
	code := make([]byte, len(hex)/2)
	for i := range code {
		b, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			return nil, err
		}
		code[i] = byte(b)
	}
	return code, nil
}

func main() {
	durable.Register("Object", construct, durable.Method("run", (*object).run))
	durable.HandleFetch(serve)
	durable.HandleScheduled(scheduled)
	durable.Run()
}
