package durable_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"
)

// swarm is state that the goroutines of many objects and requests share.
type swarm struct {
	rounds int
	mu     sync.Mutex
	rw     sync.RWMutex
	meet   chan int
	once   sync.Once
	cond   *sync.Cond
}

func TestSwarm(t *testing.T) {
	s := &swarm{rounds: 20, meet: make(chan int, 3)}
	s.cond = sync.NewCond(&s.mu)
	var objects []place
	var running []<-chan outcome
	begin := time.Now()
	for range 50 {
		o := object(t)
		objects = append(objects, o)
		running = append(running, o.begin(t, s.run), worker(t).begin(t, s.run))
	}
	for _, over := range running {
		wantOutcome(t, over, "done")
	}
	t.Logf("200 goroutines, 4,000 rounds in %v", time.Since(begin).Round(time.Millisecond))
	for _, o := range objects {
		o.want(t, "20", get("count 0"))
		o.want(t, "20", get("count 1"))
	}
}

// run runs two goroutines that share everything with those of other objects and
// requests, with storage and subrequests in between. In an object each
// goroutine counts in storage, and the final count must be right.
func (s *swarm) run(ctx context.Context, l *Lab) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for g := range errs {
		wg.Go(func() { errs[g] = s.goroutine(ctx, l, g) })
	}
	wg.Wait()
	return "done", errors.Join(errs...)
}

func (s *swarm) goroutine(ctx context.Context, l *Lab, g int) error {
	for round := range s.rounds {
		if err := s.wait(ctx); err != nil {
			return err
		}
		if err := s.io(ctx, l, g, round); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	return nil
}

// wait waits in one of several ways. Any goroutine may wake it.
func (s *swarm) wait(ctx context.Context) error {
	switch rand.IntN(8) {
	case 0:
		s.mu.Lock()
		time.Sleep(time.Millisecond)
		s.mu.Unlock()
	case 1:
		s.rw.RLock()
		time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
		s.rw.RUnlock()
	case 2:
		s.rw.Lock()
		s.rw.Unlock()
	case 3:
		select {
		case s.meet <- 1:
		case <-s.meet:
		}
	case 4:
		fired := make(chan struct{})
		time.AfterFunc(2*time.Millisecond, func() { close(fired) })
		<-fired
	case 5:
		short, cancel := context.WithTimeout(ctx, 3*time.Millisecond)
		defer cancel()
		<-short.Done()
	case 6:
		t := time.NewTicker(time.Millisecond)
		defer t.Stop()
		<-t.C
		<-t.C
	case 7:
		s.once.Do(func() { time.Sleep(5 * time.Millisecond) })
		s.mu.Lock()
		time.AfterFunc(time.Millisecond, s.cond.Broadcast)
		s.cond.Wait()
		s.mu.Unlock()
	}
	return ctx.Err()
}

// io does I/O. An object uses its own storage and sometimes a subrequest. A
// request uses a subrequest.
func (s *swarm) io(ctx context.Context, l *Lab, g, round int) error {
	if l.state == nil || rand.IntN(4) == 0 {
		target := l.other(fmt.Sprint("swarm target ", rand.IntN(20)))
		if _, err := target(ctx, ping); err != nil || l.state == nil {
			return err
		}
	}
	key := fmt.Sprint("count ", g)
	v, err := l.get(key)
	if err != nil {
		return err
	}
	if n, _ := strconv.Atoi(v); n != round {
		return fmt.Errorf("storage says %q", v)
	}
	return l.put(key, strconv.Itoa(round+1))
}
