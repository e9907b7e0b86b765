//go:build !js

package opcost

import (
	"math"
	"testing"
	"time"

	"flow.internal/capdo/internal/price"
)

// workload is a month of 1,000,000 claims, a tenth of them duplicates.
func workload(buckets int) Workload {
	return Workload{
		Claims: 1e6, Duplicates: 0.1, TTL: 24 * time.Hour, Buckets: buckets, Result: 100,
		Lease: 30 * time.Second, Active: 10 * time.Millisecond,
		CPUNew: 10 * time.Millisecond, CPUDuplicate: 2 * time.Millisecond,
	}
}

// The figures were calculated by hand from docs/cost.md.
func TestEstimate(t *testing.T) {
	usage := func(requests, duration, read, written, stored float64) price.Usage {
		return price.Usage{
			WorkerRequests: 1e6, CPU: 900_000*10 + 100_000*2,
			Requests: requests, Duration: duration, RowsRead: read, RowsWritten: written, Stored: stored,
		}
	}
	tests := []struct {
		name string
		with func(*Workload)
		n    int
		want price.Usage
	}{
		// Claim 2 rows, complete 1, alarm 1. 30,000 databases of 12 KiB.
		{"per key", nil, 0, usage(2.8e6, 3584, 900_000*(3+1+3)+100_000, 3.6e6, 0.36864)},
		// Claim 2, complete 1, alarm 3. 30,000 records of 295 bytes, four databases.
		{"in buckets", nil, 4, usage(2.8e6, 3584, 900_000*(0+2+13)+100_000, 5.4e6, (4*16384+30_000*295)/1e9)},
		// Complete writes 2.
		{"with OnExpired", func(w *Workload) { w.OnExpired = true }, 4, usage(2.8e6, 3584, 13.6e6, 6.3e6, (4*16384+30_000*295)/1e9)},
		// In 25 s the holder extends its lease twice: two more requests and
		// rows, 4 more reads.
		{"long work", func(w *Workload) { w.Work = 25 * time.Second }, 4, usage(4.6e6, 5888, 17.2e6, 7.2e6, (4*16384+30_000*295)/1e9)},
		// At any time there are 2.5 keys: each finds its bucket empty, 3 rows
		// and 2 reads.
		{"more buckets than keys", func(w *Workload) { w.TTL = 7200 * time.Millisecond }, 16,
			usage(2.8e6, 3584, 15.4e6, 6.3e6, (16*16384+2.5*295)/1e9)},
		// A bucket cannot be active for longer than the month.
		{"a bucket that is always active", func(w *Workload) { w.Active = time.Second }, 1,
			usage(2.8e6, 30*86400*0.128, 13.6e6, 5.4e6, (16384+30_000*295)/1e9)},
	}
	for _, tt := range tests {
		w := workload(tt.n)
		if tt.with != nil {
			tt.with(&w)
		}
		got := w.Estimate().Usage
		for what, v := range map[string][2]float64{
			"Worker requests": {got.WorkerRequests, tt.want.WorkerRequests}, "CPU": {got.CPU, tt.want.CPU},
			"requests": {got.Requests, tt.want.Requests}, "duration": {got.Duration, tt.want.Duration},
			"rows read": {got.RowsRead, tt.want.RowsRead}, "rows written": {got.RowsWritten, tt.want.RowsWritten},
			"stored": {got.Stored, tt.want.Stored},
		} {
			if math.Abs(v[0]-v[1]) > 1e-9*max(v[1], 1) {
				t.Errorf("%s: %s %v, want %v", tt.name, what, v[0], v[1])
			}
		}
	}
}

func TestWarnings(t *testing.T) {
	tests := []struct {
		name            string
		buckets, result int
		claims          float64
		want            int
	}{
		{"enough buckets", 16, 100, 1e9, 0},
		{"too many requests", 1, 0, 1e9, 1},
		{"too much data", 1, 1 << 20, 1e6, 1},
		{"an object per key", 0, 1 << 20, 1e10, 0},
	}
	for _, tt := range tests {
		w := workload(tt.buckets)
		w.Claims, w.Result = tt.claims, tt.result
		if tt.name == "too many requests" {
			w.TTL = time.Hour
		}
		if got := w.Warnings(w.Estimate()); len(got) != tt.want {
			t.Errorf("%s: %q, want %d", tt.name, got, tt.want)
		}
	}
}
