package loadtest

import (
	"errors"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept from 1 µs to 3 h, to three digits.
const (
	maxLatency = 3 * time.Hour
	digits     = 3
)

// maxKinds bounds the kinds of errors that are told apart.
const maxKinds = 20

// Result is what a load was answered with. Latencies are of all requests. One
// that failed, or had no answer when the run was interrupted, counts with the
// time that it had waited.
type Result struct {
	Requests    int64
	Answered    int64         // within Elapsed
	Elapsed     time.Duration // for which requests were sent, without the warmup
	Statuses    map[int]int64
	Errors      map[string]int64 // by kind
	Unfinished  int64            // when the run was interrupted
	Interrupted bool
	latencies   *hdrhistogram.Histogram
}

func newResult() *Result {
	return &Result{
		Statuses:  map[int]int64{},
		Errors:    map[string]int64{},
		latencies: hdrhistogram.New(1, maxLatency.Microseconds(), digits),
	}
}

func (r *Result) add(latency time.Duration, status int, err error) {
	r.Requests++
	us := min(max(latency.Microseconds(), 1), maxLatency.Microseconds())
	if err := r.latencies.RecordValue(us); err != nil {
		panic(err) // it is in range
	}
	switch {
	case err == nil:
		r.Statuses[status]++
		return
	case errors.Is(err, errInterrupted):
		r.Unfinished++
		return
	}
	kind := kindOf(err)
	if _, some := r.Errors[kind]; !some && len(r.Errors) >= maxKinds {
		kind = "other errors"
	}
	r.Errors[kind]++
}

func (r *Result) failures() (n int64) {
	for _, k := range r.Errors {
		n += k
	}
	return n
}

// Rate is how many requests were answered in a second.
func (r *Result) Rate() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Answered) / r.Elapsed.Seconds()
}

// Percentile returns the latency that p percent of the requests did not exceed.
func (r *Result) Percentile(p float64) time.Duration {
	return time.Duration(r.latencies.ValueAtPercentile(p)) * time.Microsecond
}

// Min, Mean and Max are those of the latencies.
func (r *Result) Min() time.Duration  { return time.Duration(r.latencies.Min()) * time.Microsecond }
func (r *Result) Max() time.Duration  { return time.Duration(r.latencies.Max()) * time.Microsecond }
func (r *Result) Mean() time.Duration { return time.Duration(r.latencies.Mean()) * time.Microsecond }

// Bar is a bar of a histogram: the requests that took up to a time, and longer
// than that of the bar before.
type Bar struct {
	UpTo  time.Duration
	Count int64
}

// Histogram has a bar for each doubling of the latency, from 125 µs on, without
// those at both ends that are empty.
func (r *Result) Histogram() (bars []Bar) {
	bar := Bar{UpTo: 125 * time.Microsecond}
	for _, b := range r.latencies.Distribution() {
		for time.Duration(b.To)*time.Microsecond > bar.UpTo {
			bars = append(bars, bar)
			bar = Bar{UpTo: 2 * bar.UpTo}
		}
		bar.Count += b.Count
	}
	bars = append(bars, bar)
	for len(bars) > 0 && bars[0].Count == 0 {
		bars = bars[1:]
	}
	for len(bars) > 0 && bars[len(bars)-1].Count == 0 {
		bars = bars[:len(bars)-1]
	}
	return bars
}
