//go:build !js

package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// sample is one measurement: the requests that the callers sent in a given
// time. Each caller waits for its answer before it sends again.
type sample struct {
	requests  int
	elapsed   time.Duration
	cpu       time.Duration // of the peer's process
	latencies []time.Duration
}

// measure puts load on a peer for a given time, or for the work's limit of
// requests. It checks every answer. Before that, it sends load for a quarter of
// the time without counting, because workerd evicts objects that were idle for
// ten seconds.
func measure(
	ctx context.Context, s *server, w *work, callers int, d time.Duration,
) (*sample, error) {
	ctx, cancel := context.WithTimeout(ctx, d+time.Minute)
	defer cancel()
	l := load{base: s.serial, limit: int64(w.limitFor(s.peer, callers))}
	var dos []func(int) error
	for caller := range callers {
		do, done, err := w.caller(ctx, s, caller)
		if err != nil {
			return nil, err
		}
		defer done()
		dos = append(dos, do)
	}
	if l.limit == 0 {
		if _, err := l.all(dos, d/4); err != nil {
			return nil, fmt.Errorf("%s of %s by %d callers: %w\n%s", w.Name, s.Name,
				callers, err, s.Log())
		}
	}
	before, err := cpuOf(s.PID())
	if err != nil {
		return nil, err
	}
	start := time.Now()
	latencies, err := l.all(dos, d)
	s.serial += int(l.sent.Load())
	if err != nil {
		return nil, fmt.Errorf("%s of %s by %d callers: %w\n%s", w.Name, s.Name,
			callers, err, s.Log())
	}
	elapsed := time.Since(start)
	after, err := cpuOf(s.PID())
	return &sample{len(latencies), elapsed, after - before, latencies}, err
}

// load is the state that the callers of one measurement share.
type load struct {
	base  int   // serial numbers begin after this number
	limit int64 // of requests; 0 means no limit
	sent  atomic.Int64
}

type result struct {
	latencies []time.Duration
	err       error
}

// all runs the callers for a given time.
func (l *load) all(dos []func(int) error, d time.Duration) (latencies []time.Duration, err error) {
	end, results := time.Now().Add(d), make(chan result, len(dos))
	for _, do := range dos {
		go func() { results <- l.run(do, end) }()
	}
	for range dos {
		r := <-results
		latencies = append(latencies, r.latencies...)
		err = errors.Join(err, r.err)
	}
	return latencies, err
}

// run runs one caller.
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
