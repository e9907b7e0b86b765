// Package loadtest puts load on an HTTP server, in a closed or an open loop. It
// counts answers, errors and latencies.
//
// In a closed loop, each caller waits for its answer before it sends the next
// request. While the server stalls, the callers send nothing, so the time that
// other clients would have waited is not measured (coordinated omission). In an
// open loop, requests become due at a fixed rate, whatever the server does. The
// latency of each request counts from the time when it was due.
package loadtest

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// MaxAnswer is the largest body of an answer, in bytes. A larger one is an
// error.
const MaxAnswer = 64 << 20

// Options describes a load.
type Options struct {
	// Request makes the request with that serial number. Numbers begin at 0.
	Request func(ctx context.Context, serial int64) (*http.Request, error)
	Client  *http.Client
	// Callers is the number of callers in a closed loop. It is used if Rate is
	// 0.
	Callers int
	// Rate is the number of requests that become due per second in an open
	// loop.
	Rate float64
	// MaxInFlight limits the requests in flight in an open loop. A request may
	// wait for others to end; that time is part of its latency.
	MaxInFlight int
	// Requests that begin or are due during Warmup are not counted.
	Warmup, Duration time.Duration
	// Timeout is the time limit of a request, from when it is sent.
	Timeout time.Duration
	// Progress is called each second until the last request has ended.
	Progress func(Progress)
}

// Progress describes a running load.
type Progress struct {
	Elapsed  time.Duration // since the beginning, including the warmup
	Warmup   bool
	Counted  int64
	Errors   int64
	InFlight int64
}

// Run puts load on a server until the duration has passed and the last request
// has ended. If ctx ends first, it returns the results so far.
func Run(ctx context.Context, o Options) *Result {
	start := time.Now()
	l := &load{
		Options: o, result: newResult(), start: start,
		from: start.Add(o.Warmup), end: start.Add(o.Warmup + o.Duration),
	}
	stop := l.report()
	defer stop()
	if o.Rate > 0 {
		l.open(ctx)
	} else {
		l.closed(ctx)
	}
	l.result.Interrupted, l.result.Elapsed = ctx.Err() != nil, o.Duration
	if l.result.Interrupted {
		l.result.Elapsed = min(max(time.Since(l.from), 0), o.Duration)
	}
	return l.result
}

// load is one run.
type load struct {
	Options
	start, from, end time.Time // requests are counted from from to end
	serial, inFlight atomic.Int64
	mu               sync.Mutex // of result
	result           *Result
}

// closed runs the callers; each sends one request after another.
func (l *load) closed(ctx context.Context) {
	var callers sync.WaitGroup
	for range l.Callers {
		callers.Go(func() {
			for now := time.Now(); now.Before(l.end) && ctx.Err() == nil; now = time.Now() {
				l.send(ctx, now)
			}
		})
	}
	callers.Wait()
}

// open sends each request when it is due, or later if MaxInFlight are in
// flight.
func (l *load) open(ctx context.Context) {
	slots := make(chan struct{}, l.MaxInFlight)
	var sent sync.WaitGroup
	defer sent.Wait()
	timeout := time.After(time.Until(l.end) + l.Timeout) // for requests that are due and wait
	for n := int64(0); ; n++ {
		due := l.due(n)
		if !due.Before(l.end) {
			return
		}
		if !sleep(ctx, time.Until(due)) {
			return
		}
		select {
		case slots <- struct{}{}:
		case <-timeout:
			l.unsent(n, l.end, errUnsent)
			return
		case <-ctx.Done():
			l.unsent(n, time.Now(), errInterrupted)
			return
		}
		sent.Go(func() {
			defer func() { <-slots }()
			l.send(ctx, due)
		})
	}
}

// due returns the time when the n-th request is due.
func (l *load) due(n int64) time.Time {
	return l.start.Add(time.Duration(float64(n) / l.Rate * float64(time.Second)))
}

// unsent counts the requests from the n-th on that were due before a time and
// were never sent. Their latency is the time that they have waited.
func (l *load) unsent(n int64, before time.Time, err error) {
	if before.After(l.end) {
		before = l.end
	}
	for now := time.Now(); l.due(n).Before(before); n++ {
		l.count(l.due(n), now, 0, err)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// send sends a request that is due, and counts its result.
func (l *load) send(ctx context.Context, due time.Time) {
	l.inFlight.Add(1)
	defer l.inFlight.Add(-1)
	requestCtx, cancel := context.WithTimeout(ctx, l.Timeout)
	defer cancel()
	status, err := l.do(requestCtx, l.serial.Add(1)-1)
	if ctx.Err() != nil && err != nil {
		err = errInterrupted
	}
	l.count(due, time.Now(), status, err)
}

func (l *load) do(ctx context.Context, serial int64) (status int, err error) {
	req, err := l.Request(ctx, serial)
	if err != nil {
		return 0, err
	}
	resp, err := l.Client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, discard(resp.Body)
}

func (l *load) count(due, now time.Time, status int, err error) {
	if due.Before(l.from) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.result.add(now.Sub(due), status, err)
	if err == nil && !now.After(l.end) {
		l.result.Answered++
	}
}

// report calls Progress each second until stop is called.
func (l *load) report() (stop func()) {
	if l.Progress == nil {
		return func() {}
	}
	stopping, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				l.Progress(l.progress())
			case <-stopping:
				return
			}
		}
	}()
	return func() { close(stopping); <-stopped }
}

func (l *load) progress() Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Progress{
		Elapsed: time.Since(l.start), Warmup: time.Now().Before(l.from),
		Counted: l.result.Requests, Errors: l.result.failures(), InFlight: l.inFlight.Load(),
	}
}
