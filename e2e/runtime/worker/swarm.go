package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// What the swarm fights over.
var (
	swarmMu   sync.Mutex
	swarmRW   sync.RWMutex
	swarmChan = make(chan int, 3)
	swarmOnce sync.Once
	swarmCond = sync.NewCond(&swarmMu)
)

// swarm runs two goroutines that share everything with those of other objects and requests, with storage and subrequests in between. In
// an object each counts in storage, and the count must come out.
func swarm(ctx context.Context, c *call) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for g := range errs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[g] = swarmGoroutine(ctx, c, g)
		}()
	}
	wg.Wait()
	return "done", errors.Join(errs...)
}

func swarmGoroutine(ctx context.Context, c *call, g int) error {
	for round := range c.int("rounds") {
		if err := swarmWait(ctx); err != nil {
			return err
		}
		if err := swarmIO(ctx, c, g, round); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	return nil
}

// swarmWait waits in one of the ways there are, to be woken by whoever runs then.
func swarmWait(ctx context.Context) error {
	switch rand.IntN(8) {
	case 0:
		swarmMu.Lock()
		time.Sleep(time.Millisecond)
		swarmMu.Unlock()
	case 1:
		swarmRW.RLock()
		time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
		swarmRW.RUnlock()
	case 2:
		swarmRW.Lock()
		swarmRW.Unlock()
	case 3:
		select {
		case swarmChan <- 1:
		case <-swarmChan:
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
		swarmOnce.Do(func() { time.Sleep(5 * time.Millisecond) })
		swarmMu.Lock()
		time.AfterFunc(time.Millisecond, swarmCond.Broadcast)
		swarmCond.Wait()
		swarmMu.Unlock()
	}
	return ctx.Err()
}

// swarmIO does I/O: in an object its own storage, in a stateless request a subrequest.
func swarmIO(ctx context.Context, c *call, g, round int) error {
	if c.state == nil {
		_, err := c.run(ctx, fmt.Sprint("swarm-target-", rand.IntN(20)), "m=ping")
		return err
	}
	key, kv := fmt.Sprint("count", g), c.kv()
	v, _, err := kv.Get(key)
	if err != nil {
		return err
	}
	n, _ := v.(float64)
	if int(n) != round {
		return fmt.Errorf("storage says %v", n)
	}
	if rand.IntN(4) == 0 {
		if _, err := c.run(ctx, fmt.Sprint("swarm-target-", rand.IntN(20)), "m=ping"); err != nil {
			return err
		}
	}
	return kv.Put(key, n+1)
}
