//go:build !js

package loadtest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// options is a load on a server without a warmup.
func options(t *testing.T, handler http.HandlerFunc) Options {
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return Options{
		Client: s.Client(), Timeout: 30 * time.Second, Duration: 500 * time.Millisecond,
		Request: func(ctx context.Context, _ int64) (*http.Request, error) {
			return http.NewRequestWithContext(ctx, "GET", s.URL, nil)
		},
	}
}

// stalling answers at once, except during one second, in which it does not
// answer.
func stalling(after time.Duration) http.HandlerFunc {
	begin := time.Now()
	return func(http.ResponseWriter, *http.Request) {
		since := time.Since(begin)
		if since > after && since < after+time.Second {
			time.Sleep(after + time.Second - since)
		}
	}
}

// A stall of one second in two seconds affects half of the requests of an open
// loop. This holds even if the limit of requests in flight keeps most of them
// from being sent.
func TestAnOpenLoopShowsAStall(t *testing.T) {
	for name, inFlight := range map[string]int{"enough in flight": 1000, "few in flight": 2} {
		t.Run(name, func(t *testing.T) {
			o := options(t, stalling(500*time.Millisecond))
			o.Rate, o.MaxInFlight, o.Duration = 100, inFlight, 2*time.Second
			r := Run(t.Context(), o)
			if r.Requests != 200 {
				t.Errorf("%d requests were counted, want 200: %v", r.Requests, r.Errors)
			}
			// Half of the requests are due during the stall, evenly spread. So
			// a quarter of all requests waits for at least half of the stall.
			if p := r.Percentile(80); p < 400*time.Millisecond {
				t.Errorf("p80 is %s, want at least 400ms", p)
			}
			if r.Max() < 900*time.Millisecond {
				t.Errorf("the maximum is %s, want at least 900ms", r.Max())
			}
		})
	}
}

func TestAClosedLoopSendsNothingMeanwhile(t *testing.T) {
	var running, most atomic.Int64
	o := options(t, func(http.ResponseWriter, *http.Request) {
		most.Store(max(most.Load(), running.Add(1)))
		time.Sleep(time.Millisecond)
		running.Add(-1)
	})
	o.Callers = 3
	r := Run(t.Context(), o)
	if r.Requests < 1 || r.Statuses[200] != r.Requests {
		t.Errorf("%d requests have statuses %v, errors %v", r.Requests, r.Statuses, r.Errors)
	}
	if most.Load() > 3 {
		t.Errorf("%d requests were in flight, want at most 3", most.Load())
	}
}

func TestTheBoundOfRequestsInFlight(t *testing.T) {
	var running, most atomic.Int64
	o := options(t, func(http.ResponseWriter, *http.Request) {
		most.Store(max(most.Load(), running.Add(1)))
		time.Sleep(20 * time.Millisecond)
		running.Add(-1)
	})
	o.Rate, o.MaxInFlight = 1000, 4
	Run(t.Context(), o)
	if most.Load() > 4 {
		t.Errorf("%d requests were in flight, want at most 4", most.Load())
	}
}

// A request that is due and cannot be sent counts with the time that it has
// waited.
func TestRequestsThatAreNeverSent(t *testing.T) {
	stop := make(chan struct{})
	o := options(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(stop) }) // before the server closes
	o.Rate, o.MaxInFlight, o.Timeout = 100, 1, 300*time.Millisecond
	r := Run(t.Context(), o)
	if r.Requests != 50 || r.Errors[errUnsent.Error()] == 0 || r.Errors["timeout"] == 0 {
		t.Errorf("%d requests, errors %v; want 50, some never sent", r.Requests, r.Errors)
	}
	if r.Rate() != 0 {
		t.Errorf("%g requests a second were answered, want 0", r.Rate())
	}
}

func TestStatusesAndErrorsAreCounted(t *testing.T) {
	var n atomic.Int64
	o := options(t, func(w http.ResponseWriter, _ *http.Request) {
		switch n.Add(1) % 3 {
		case 0:
			w.WriteHeader(http.StatusConflict)
		case 1:
			panic(http.ErrAbortHandler)
		}
	})
	o.Callers = 1
	r := Run(t.Context(), o)
	if r.Statuses[200] == 0 || r.Statuses[409] == 0 || r.Errors["connection closed"]+r.Errors["connection reset"] == 0 {
		t.Errorf("statuses %v, errors %v", r.Statuses, r.Errors)
	}
	if sum := r.Statuses[200] + r.Statuses[409] + r.failures(); sum != r.Requests {
		t.Errorf("%d requests, and %d results", r.Requests, sum)
	}
}

func TestTheWarmupDoesNotCount(t *testing.T) {
	o := options(t, func(http.ResponseWriter, *http.Request) {})
	o.Rate, o.MaxInFlight, o.Warmup, o.Duration = 100, 1000, 300*time.Millisecond, 200*time.Millisecond
	if r := Run(t.Context(), o); r.Requests != 20 || r.Elapsed != 200*time.Millisecond {
		t.Errorf("%d requests in %s, want 20 in 200ms", r.Requests, r.Elapsed)
	}
}

// The result of an interrupted run includes the requests without an answer.
func TestInterruptedRunReturnsItsResult(t *testing.T) {
	for name, open := range map[string]bool{"open loop": true, "closed loop": false} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var n atomic.Int64
			o := options(t, func(_ http.ResponseWriter, r *http.Request) {
				if n.Add(1) > 3 {
					time.AfterFunc(200*time.Millisecond, cancel)
					<-r.Context().Done()
				}
			})
			o.Duration, o.Callers = time.Minute, 1
			if open {
				o.Rate, o.MaxInFlight = 100, 1
			}
			r := Run(ctx, o)
			if !r.Interrupted || r.Statuses[200] != 3 || r.Unfinished == 0 || r.failures() != 0 {
				t.Errorf("interrupted %t, statuses %v, errors %v, %d unfinished", r.Interrupted, r.Statuses, r.Errors, r.Unfinished)
			}
			if r.Max() < 190*time.Millisecond {
				t.Errorf("the longest wait is %s, want 200ms", r.Max())
			}
		})
	}
}

func TestProgressIsReported(t *testing.T) {
	o := options(t, func(http.ResponseWriter, *http.Request) {})
	o.Rate, o.MaxInFlight, o.Duration = 50, 100, 1500*time.Millisecond
	var last Progress
	o.Progress = func(p Progress) { last = p }
	if Run(t.Context(), o); last.Counted == 0 || last.Elapsed < time.Second {
		t.Errorf("progress %+v", last)
	}
}

func TestHistogram(t *testing.T) {
	r := newResult()
	if bars := r.Histogram(); len(bars) != 0 {
		t.Errorf("nothing is %v", bars)
	}
	for _, d := range []time.Duration{900 * time.Microsecond, time.Millisecond, 3 * time.Millisecond} {
		r.add(d, 200, nil)
	}
	r.add(100*time.Hour, 0, errors.New("lost"))
	bars := r.Histogram()
	if len(bars) < 3 || bars[0] != (Bar{time.Millisecond, 2}) || bars[1].Count != 0 || bars[2] != (Bar{4 * time.Millisecond, 1}) {
		t.Errorf("the histogram is %v", bars)
	}
	var sum int64
	for _, b := range bars {
		sum += b.Count
	}
	if sum != r.Requests {
		t.Errorf("the bars show %d of %d requests", sum, r.Requests)
	}
}

func TestKeys(t *testing.T) {
	tests := []struct {
		duplicates float64
		requests   int64
		different  int
	}{{0, 1000, 1000}, {0.5, 1000, 500}, {0.25, 1000, 750}, {0.999, 1000, 1}}
	for _, tt := range tests {
		k := Keys{Template: "{run}-{n}", Run: "r", Duplicates: tt.duplicates}
		seen := map[string]bool{}
		for n := range tt.requests {
			seen[k.Of(n)] = true
		}
		if len(seen) != tt.different || !seen["r-0"] {
			t.Errorf("%g duplicates: %d keys in %d requests, want %d", tt.duplicates, len(seen), tt.requests, tt.different)
		}
	}
}
