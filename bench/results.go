//go:build !js

package main

import (
	"slices"
	"time"
)

// Results are the results of a run, in the form of results/results.json.
type Results struct {
	Date     string
	Versions []string
	Quick    bool
	Rounds   int

	LoadBefore, LoadAfter float64 // of the machine, averaged over the last minute
	Requests              []Row
	Memory                []Memory
	Cold                  []Cold
	Sizes                 []Size
}

// Row is the result of one kind of work, one number of callers and one peer.
type Row struct {
	Work, Peer   string
	Callers      int
	Requests     int
	CPU          float64 // µs of the peer's process for each request, the median of the rounds
	Low, High    float64 // CPU in the rounds with the smallest and the largest
	PerSecond    float64
	P50, P99     float64 // µs
	measurements []*sample
}

// Memory is the memory of a peer's process at the end, in bytes.
type Memory struct {
	Peer     string
	Resident int64
	Wasm     int64
}

// Cold is the time of the first request of a fresh process, as a median in µs.
type Cold struct {
	Peer                       string
	First, FirstLow, FirstHigh float64
	Second                     float64
	Start                      float64 // until workerd listens
}

// Size is the size of a program in bytes.
type Size struct {
	Program string
	Raw, Gz int
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

// summarize computes a row from its measurements.
func (r *Row) summarize() {
	var elapsed time.Duration
	var latencies []time.Duration
	var rounds []float64
	for _, m := range r.measurements {
		elapsed += m.elapsed
		latencies = append(latencies, m.latencies...)
		rounds = append(rounds, micros(m.cpu)/float64(max(m.requests, 1)))
	}
	slices.Sort(latencies)
	r.Requests = len(latencies)
	if r.Requests == 0 {
		return
	}
	r.CPU, r.Low, r.High = median(rounds), slices.Min(rounds), slices.Max(rounds)
	r.PerSecond = float64(r.Requests) / elapsed.Seconds()
	r.P50, r.P99 = micros(quantile(latencies, 50)), micros(quantile(latencies, 99))
}

// quantile returns the element of a sorted list below which percent of the list
// lie.
func quantile[T any](sorted []T, percent int) T {
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}

func (r *Results) row(work, peer string, callers int) *Row {
	for i := range r.Requests {
		if row := &r.Requests[i]; row.Work == work && row.Peer == peer && row.Callers == callers {
			return row
		}
	}
	return nil
}

// ratio returns a row's CPU relative to JavaScript over RPC, or 0 if there is
// none.
func (r *Results) ratio(work, peer string, callers int) float64 {
	row, base := r.row(work, peer, callers), r.row(work, peers[0].Name, callers)
	if row == nil || base == nil || base.CPU == 0 {
		return 0
	}
	return row.CPU / base.CPU
}
