//go:build !js

package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// sample is one measurement: as many requests as callers send in a time, each
// waiting for its answer.
type sample struct {
	requests  int
	elapsed   time.Duration
	cpu       time.Duration // of the peer's process
	latencies []time.Duration
}

// measure puts load on a peer for a time, or for as many requests as the work
// is limited to. Every answer is checked.
func measure(ctx context.Context, s *server, w *work, callers int, d time.Duration) (*sample, error) {
	ctx, cancel := context.WithTimeout(ctx, d+time.Minute)
	defer cancel()
	l := load{base: s.serial, limit: int64(w.limitFor(s.peer))}
	var dos []func(int) error
	for caller := range callers {
		do, done, err := w.caller(ctx, s, caller)
		if err != nil {
			return nil, err
		}
		defer done()
		dos = append(dos, do)
	}
	before, err := cpuOf(s.PID())
	if err != nil {
		return nil, err
	}
	start := time.Now()
	results := make(chan result, callers)
	for _, do := range dos {
		go func() { results <- l.run(do, start.Add(d)) }()
	}
	all := &sample{}
	for range callers {
		r := <-results
		all.latencies = append(all.latencies, r.latencies...)
		err = errors.Join(err, r.err)
	}
	all.elapsed = time.Since(start)
	s.serial += int(l.sent.Load())
	if err != nil {
		return nil, fmt.Errorf("%s of %s by %d callers: %w\n%s", w.Name, s.Name, callers, err, s.Log())
	}
	after, err := cpuOf(s.PID())
	all.cpu, all.requests = after-before, len(all.latencies)
	return all, err
}

// load is what the callers of one measurement share.
type load struct {
	base  int   // the serial numbers begin after it
	limit int64 // of requests; 0 means none
	sent  atomic.Int64
}

type result struct {
	latencies []time.Duration
	err       error
}

// run is one caller.
func (l *load) run(do func(serial int) error, end time.Time) (r result) {
	for now := time.Now(); now.Before(end); {
		n := l.sent.Add(1)
		if l.limit > 0 && n > l.limit {
			return r
		}
		if r.err = do(l.base + int(n)); r.err != nil {
			return r
		}
		then := time.Now()
		r.latencies = append(r.latencies, then.Sub(now))
		now = then
	}
	return r
}
