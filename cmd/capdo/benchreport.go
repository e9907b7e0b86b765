package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"flow.internal/capdo/internal/loadtest"
)

// benchReport is the output of capdo bench. Latencies are in ms and include
// failed requests.
type benchReport struct {
	URL         string             `json:"url"`
	Loop        string             `json:"loop"` // open or closed
	Callers     int                `json:"callers,omitempty"`
	Rate        float64            `json:"rate,omitempty"`
	Seconds     float64            `json:"seconds"`
	Interrupted bool               `json:"interrupted"`
	Requests    int64              `json:"requests"`
	PerSecond   float64            `json:"answered_per_second"`
	Statuses    map[string]int64   `json:"statuses"`
	Errors      map[string]int64   `json:"errors"`
	Unfinished  int64              `json:"unfinished"`
	Failed      int64              `json:"failed"`
	Latency     map[string]float64 `json:"latency_ms"`
	Histogram   []benchBar         `json:"histogram"`
	ok          func(status int) bool
}

type benchBar struct {
	UpTo  float64 `json:"up_to_ms"`
	Count int64   `json:"requests"`
}

// percentiles are listed in the order in which they are printed.
var percentiles = []struct {
	name string
	p    float64
}{{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 99.9}}

func (b *benching) report(url string, result *loadtest.Result, ok func(int) bool) *benchReport {
	r := &benchReport{
		URL: url, Loop: "closed", Callers: b.callers, Seconds: result.Elapsed.Seconds(),
		Interrupted: result.Interrupted, Requests: result.Requests, PerSecond: result.Rate(),
		Statuses: map[string]int64{}, Errors: result.Errors, Unfinished: result.Unfinished,
		Latency: map[string]float64{}, Histogram: []benchBar{}, ok: ok,
	}
	if b.rate > 0 {
		r.Loop, r.Callers, r.Rate = "open", 0, b.rate
	}
	for status, n := range result.Statuses {
		r.Statuses[strconv.Itoa(status)] = n
		if !ok(status) {
			r.Failed += n
		}
	}
	for _, n := range result.Errors {
		r.Failed += n
	}
	if result.Requests == 0 {
		return r
	}
	for name, d := range map[string]time.Duration{
		"min": result.Min(), "mean": result.Mean(), "max": result.Max(),
	} {
		r.Latency[name] = milliseconds(d)
	}
	for _, p := range percentiles {
		r.Latency[p.name] = milliseconds(result.Percentile(p.p))
	}
	for _, bar := range result.Histogram() {
		r.Histogram = append(r.Histogram, benchBar{milliseconds(bar.UpTo), bar.Count})
	}
	return r
}

// failed returns nil if every request had a status in --ok.
func (r *benchReport) failed() error {
	switch {
	case r.Interrupted:
		return exitStatus(130)
	case r.Requests == 0:
		return fmt.Errorf("no request was counted\nhint: raise --duration")
	case r.Failed > 0:
		return fmt.Errorf("%s of %s requests failed: %s\nhint: %s",
			grouped(float64(r.Failed)), grouped(float64(r.Requests)), strings.Join(r.failures(),
				", "), r.hint())
	}
	return nil
}

func (r *benchReport) hint() string {
	switch {
	case r.PerSecond == 0 && len(r.Statuses) == 0:
		return "check that the server runs and has this URL"
	case len(r.Errors) > 0:
		return "try a lower --rate or fewer --callers, to see whether load is the reason"
	}
	return "add expected statuses to --ok"
}

func (r *benchReport) failures() (list []string) {
	for _, status := range slices.Sorted(maps.Keys(r.Statuses)) {
		if n, _ := strconv.Atoi(status); !r.ok(n) {
			list = append(list, "status "+status)
		}
	}
	return append(list, slices.Sorted(maps.Keys(r.Errors))...)
}

// print writes the report for people to read.
func (r *benchReport) print(w io.Writer) {
	if r.Loop == "open" {
		fmt.Fprintf(w, "%s, open loop: %g requests a second for %.3g s\n", r.URL, r.Rate, r.Seconds)
	} else {
		fmt.Fprintf(w, "%s, closed loop: %d callers for %.3g s\n", r.URL, r.Callers, r.Seconds)
	}
	if r.Interrupted {
		fmt.Fprintf(w, "interrupted, with %s requests unfinished\n", grouped(float64(r.Unfinished)))
	}
	fmt.Fprintf(w, "requests   %s; %.1f answered a second\n",
		grouped(float64(r.Requests)), r.PerSecond)
	if r.Loop == "open" && !r.Interrupted && r.PerSecond < 0.9*r.Rate {
		fmt.Fprintln(w,
			"           the server does not keep up with the rate: latencies grow with --duration")
	}
	fmt.Fprintf(w, "statuses   %s\n", counts(r.Statuses))
	fmt.Fprintf(w, "errors     %s\n", counts(r.Errors))
	if r.Requests == 0 {
		return
	}
	fmt.Fprint(w, "latency   ")
	for _, p := range percentiles {
		fmt.Fprintf(w, " %s %.2f ms,", p.name, r.Latency[p.name])
	}
	fmt.Fprintf(w, " max %.2f ms\n", r.Latency["max"])
	if r.Loop == "closed" {
		fmt.Fprintln(w,
			"           as these callers saw it; with --rate, "+
				"latencies include requests that a stall delays")
	}
	r.printHistogram(w)
}

func (r *benchReport) printHistogram(w io.Writer) {
	const width = 40
	most := slices.MaxFunc(r.Histogram,
		func(a, b benchBar) int { return cmp.Compare(a.Count, b.Count) }).Count
	for _, b := range r.Histogram {
		bar := int((b.Count*width + most - 1) / most) // a bar with requests has at least one #
		line := fmt.Sprintf("up to %9g ms %12s %s",
			b.UpTo, grouped(float64(b.Count)), strings.Repeat("#", bar))
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// counts returns text such as "200: 990, 409: 10".
func counts(m map[string]int64) string {
	if len(m) == 0 {
		return "none"
	}
	var list []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, k+": "+grouped(float64(m[k])))
	}
	return strings.Join(list, ", ")
}
