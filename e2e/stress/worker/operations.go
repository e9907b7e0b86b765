package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"flow.internal/capdo/durable"
)

// State that goroutines of all objects and requests share.
var (
	locks [4]sync.Mutex
	rw    sync.RWMutex
	meet  = make(chan int, 2)
	cond  = sync.NewCond(&rw)
)

var operations map[string]func(context.Context, *place, *Op) ([]string, error)

func init() {
	operations = map[string]func(context.Context, *place, *Op) ([]string, error){
		"sync":     addInTransactionSync,
		"async":    addInTransaction,
		"section":  addInSection,
		"lock":     addUnderLock,
		"slow":     addSlowly,
		"rollback": rollBack,
		"parked":   park,
		"fan":      fanOut,
		"cycle":    cycle,
		"later":    addLater,
		"wait":     waitForOthers,
		"below":    callBelow,
		"deadline": giveUp,
		"echo":     echo,
		"store":    store,
		"socket":   socket,
		"garbage":  garbage,
		"panic":    func(context.Context, *place, *Op) ([]string, error) { panic("stress panic") },
		"crash":    crash,
		"abort": func(ctx context.Context, p *place, op *Op) ([]string, error) {
			return nil, p.actor.state.Abort(ctx, "stress abort", nil)
		},
		"spin": func(context.Context, *place, *Op) ([]string, error) { // until it is interrupted
			for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
			}
			return nil, nil
		},
	}
}

func addInTransactionSync(_ context.Context, p *place, op *Op) ([]string, error) {
	err := p.actor.state.Storage().TransactionSync(func() error { return p.actor.addSync(op.ID) })
	return []string{op.ID}, err
}

func addInTransaction(ctx context.Context, p *place, op *Op) ([]string, error) {
	err := p.actor.state.Storage().Transaction(ctx, func(txn *durable.Transaction) error {
		n, _, err := durable.GetAsync[float64](ctx, txn, "n", nil)
		if err != nil {
			return err
		}
		time.Sleep(op.wait())
		return txn.PutMany(ctx, []durable.Entry{{Key: "n", Value: n + 1},
			{Key: "id " + op.ID, Value: true}}, nil)
	})
	return []string{op.ID}, err
}

func addInSection(ctx context.Context, p *place, op *Op) ([]string, error) {
	err := p.actor.state.BlockConcurrencyWhile(ctx, func() error {
		n, err := p.actor.count("")
		if err != nil {
			return err
		}
		time.Sleep(op.wait())
		return p.actor.add("", op.ID, n)
	})
	return []string{op.ID}, err
}

// addUnderLock makes an addition while it holds a lock that goroutines of other
// objects want.
func addUnderLock(ctx context.Context, p *place, op *Op) ([]string, error) {
	l := &locks[op.N%len(locks)]
	l.Lock()
	defer l.Unlock()
	time.Sleep(op.wait())
	return addInTransactionSync(ctx, p, op)
}

// addSlowly waits between reading and writing. It has exclusive access during
// that time.
func addSlowly(ctx context.Context, p *place, op *Op) ([]string, error) {
	a := p.actor
	select {
	case <-a.free:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { a.free <- struct{}{} }()
	n, err := a.count("slow ")
	if err != nil {
		return nil, err
	}
	time.Sleep(op.wait())
	return []string{op.ID}, a.add("slow ", op.ID, n)
}

var errRollBack = errors.New("rolled back")

// rollBack makes an addition and rolls it back.
func rollBack(ctx context.Context, p *place, op *Op) ([]string, error) {
	s := p.actor.state.Storage()
	undo := func() error { return errors.Join(p.actor.addSync(op.ID), errRollBack) }
	var err error
	if op.N%2 == 0 {
		err = s.TransactionSync(undo)
	} else {
		err = s.Transaction(ctx, func(*durable.Transaction) error { return undo() })
	}
	if !errors.Is(err, errRollBack) {
		return nil, fmt.Errorf("a transaction that should be rolled back: %w", err)
	}
	return nil, nil
}

// park waits in a synchronous transaction, which is not allowed.
func park(_ context.Context, p *place, op *Op) ([]string, error) {
	late, over := make(chan error, 1), make(chan struct{})
	err := p.actor.state.Storage().TransactionSync(func() error {
		if err := p.actor.addSync(op.ID); err != nil {
			return err
		}
		<-over
		late <- p.actor.addSync(op.ID)
		return nil
	})
	close(over)
	if !errors.Is(err, durable.ErrTransactionParked) {
		return nil, fmt.Errorf("a transaction that waited: %w", err)
	}
	if err := <-late; !errors.Is(err, durable.ErrTransactionParked) &&
		!errors.Is(err, durable.ErrContextClosed) {
		return nil, fmt.Errorf("a write after a transaction that waited: %w", err)
	}
	return nil, nil
}

// fanOut makes additions in several objects at the same time.
func fanOut(ctx context.Context, p *place, op *Op) ([]string, error) {
	parts := split(op)
	added, errs := make([][]string, len(parts)), make([]error, len(parts))
	var wg sync.WaitGroup
	for i, part := range parts {
		wg.Go(func() { added[i], errs[i] = p.call(ctx, part) })
	}
	wg.Wait()
	return slices.Concat(added...), errors.Join(errs...)
}

// cycle calls the objects of the path, which may lead back to an earlier one,
// and makes an addition at its end.
func cycle(ctx context.Context, p *place, op *Op) ([]string, error) {
	if len(op.Path) == 0 {
		return addInTransactionSync(ctx, p, op)
	}
	next := Op{Kind: "cycle", Object: op.Path[0], Path: op.Path[1:], ID: op.ID, N: op.N}
	return p.call(ctx, next)
}

// addLater answers first and makes its addition later.
func addLater(ctx context.Context, p *place, op *Op) ([]string, error) {
	durable.WaitUntil(ctx, func(ctx context.Context) {
		time.Sleep(op.wait())
		p.call(ctx, Op{Kind: "sync", Object: op.Path[0], ID: op.ID})
	})
	return nil, nil
}

// waitForOthers waits in one of several ways. Any goroutine may wake it.
func waitForOthers(ctx context.Context, p *place, op *Op) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, op.wait()+time.Millisecond)
	defer cancel()
	switch op.N % 7 {
	case 0:
		select {
		case meet <- 1:
		case <-meet:
		case <-ctx.Done():
		}
	case 1:
		rw.RLock()
		time.Sleep(op.wait())
		rw.RUnlock()
	case 2:
		rw.Lock()
		time.AfterFunc(op.wait(), func() { // not before cond.Wait
			rw.Lock()
			defer rw.Unlock()
			cond.Broadcast()
		})
		cond.Wait()
		rw.Unlock()
	case 3:
		<-ctx.Done()
	case 4:
		t := time.NewTicker(time.Millisecond)
		defer t.Stop()
		<-t.C
		<-t.C
	case 5:
		locks[op.Wait%len(locks)].Lock()
		time.Sleep(op.wait())
		locks[op.Wait%len(locks)].Unlock()
	case 6:
		rand.Read(make([]byte, 16))
		os.Stat("/" + op.ID) // a callback of package syscall/js
	}
	return nil, nil
}

// giveUp calls an object and does not wait for its answer.
func giveUp(ctx context.Context, p *place, op *Op) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(op.N)*time.Millisecond)
	defer cancel()
	added, err := p.call(ctx, Op{Kind: "slow", Object: op.Path[0], ID: op.ID, Wait: op.Wait})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	return added, err
}

// echo sends much data, and checks what comes back.
func echo(ctx context.Context, p *place, op *Op) ([]string, error) {
	stub := p.stub(op.Path[0])
	got, err := durable.Call[string](ctx, stub, "echo", make([]byte, op.N),
		strings.Repeat("é", op.N/2))
	if want := fmt.Sprintf("%d %d", op.N, op.N/2*2); err == nil && got != want {
		err = fmt.Errorf("sent %s, but %s arrived", want, got)
	}
	return nil, err
}

// store stores values and reads them back.
func store(_ context.Context, p *place, op *Op) ([]string, error) {
	kv, text := p.actor.state.Storage().KV(), strings.Repeat(op.ID, op.N/len(op.ID)+1)
	want := []any{text, []byte(text), map[string]any{"text": text, "n": float64(op.N)}}
	for i, v := range want {
		if err := kv.Put(fmt.Sprint("value ", i), v); err != nil {
			return nil, err
		}
	}
	for i, v := range want {
		got, _, err := kv.Get(fmt.Sprint("value ", i))
		if err != nil {
			return nil, err
		}
		if fmt.Sprint(got) != fmt.Sprint(v) {
			return nil, fmt.Errorf("stored %.60v, but read %.60v", v, got)
		}
	}
	return nil, nil
}

// socket sends messages over a WebSocket, and reads each answer with a
// deadline. A last answer never comes.
func socket(ctx context.Context, p *place, op *Op) ([]string, error) {
	stub := p.stub(op.Path[0])
	resp, err := stub.Fetch(ctx,
		&durable.Request{Method: "GET", URL: "http://actor/",
			Header: map[string][]string{"Upgrade": {"websocket"}}})
	if err != nil {
		return nil, err
	}
	conn, err := resp.WebSocket.Accept()
	if err != nil {
		return nil, err
	}
	defer conn.Close(1000, "done")
	for i := range op.N {
		text := fmt.Sprint(op.ID, " ", i)
		if err := conn.Write(ctx, durable.TextMessage(text)); err != nil {
			return nil, err
		}
		m, err := readWithin(ctx, conn, 20*time.Second)
		if err != nil {
			return nil, err
		}
		if m.String() != text {
			return nil, fmt.Errorf("sent %q, but %q came back", text, m)
		}
	}
	if m, err := readWithin(ctx, conn, time.Millisecond); err == nil {
		return nil, fmt.Errorf("nothing was sent, but %q came back", m)
	}
	return nil, nil
}

func readWithin(ctx context.Context, conn *durable.Conn, d time.Duration) (durable.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return conn.Read(ctx)
}

func garbage(_ context.Context, p *place, op *Op) ([]string, error) {
	var kept [][]byte
	for i := range op.N {
		kept = append(kept[:i%10], make([]byte, 1+i%5000))
	}
	return nil, nil
}

func crash(_ context.Context, _ *place, op *Op) ([]string, error) {
	if op.N%2 == 0 {
		os.Exit(3)
	}
	go panic("stress crash")
	time.Sleep(10 * time.Second)
	return nil, errors.New("the program continues")
}
