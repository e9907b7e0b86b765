package loadtest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are recorded from 1 µs to 3 h, with three digits.
const (
	maxLatency = 3 * time.Hour
	digits     = 3
)

// maxKinds limits the number of kinds of errors.
const maxKinds = 20

// Result is the result of a load. Latencies include all requests. A request
// that failed, or had no answer when the run was interrupted, counts with the
// time that it had waited.
type Result struct {
	Requests    int64
	Answered    int64         // within Elapsed
	Elapsed     time.Duration // time in which requests were sent, without the warmup
	Statuses    map[int]int64
	Errors      map[string]int64 // by kind
	Unfinished  int64            // requests without an answer when the run was interrupted
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

// Rate returns the number of answered requests per second.
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

// Min, Mean and Max return the latencies' minimum, mean and maximum.
func (r *Result) Min() time.Duration  { return time.Duration(r.latencies.Min()) * time.Microsecond }
func (r *Result) Max() time.Duration  { return time.Duration(r.latencies.Max()) * time.Microsecond }
func (r *Result) Mean() time.Duration { return time.Duration(r.latencies.Mean()) * time.Microsecond }

// Bar is a bar of a histogram. It counts the requests that took at most UpTo
// and more than the previous bar's UpTo.
type Bar struct {
	UpTo  time.Duration
	Count int64
}

// Histogram returns a bar for each doubling of the latency, from 125 µs on. It
// leaves out empty bars at both ends.
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

var (
	errUnsent      = errors.New("not sent: too many requests were in flight")
	errInterrupted = errors.New("interrupted")
	errTooLarge    = errors.New("answer over 64 MiB")
)

// kindOf names an error's kind without addresses and ports, so that equal
// errors are counted together.
func kindOf(err error) string {
	var (
		timeout net.Error
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
		outer   *url.Error
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.As(err, &dns):
		return "host not found"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, syscall.EMFILE):
		return "too many open files"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no free local port"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed"
	case errors.As(err, &cert):
		return "certificate not trusted"
	case errors.As(err, &outer):
		return outer.Err.Error()
	}
	return err.Error()
}

// discard reads a body to its end.
func discard(body io.Reader) error {
	n, err := io.Copy(io.Discard, io.LimitReader(body, MaxAnswer+1))
	if err == nil && n > MaxAnswer {
		err = errTooLarge
	}
	return err
}
