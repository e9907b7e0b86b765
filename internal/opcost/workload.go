package opcost

import (
	"time"

	"flow.internal/capdo/internal/price"
)

// Workload is a month of claims. The caller must check its figures.
type Workload struct {
	Claims     float64       `json:"claims"`
	Duplicates float64       `json:"duplicates"` // share of the claims that are duplicates, below 1
	TTL        time.Duration `json:"-"`
	Buckets    int           `json:"buckets"` // 0: an object per key
	OnExpired  bool          `json:"on_expired"`
	Result     int           `json:"result_bytes"`
	// Work is the time from a claim to its completion. During that time
	// dedupe.Do extends the lease after each third of a lease.
	Work  time.Duration `json:"-"`
	Lease time.Duration `json:"-"`
	// Active is the time that an object is active for one request. It is an
	// assumption, not measured at Cloudflare.
	Active time.Duration `json:"-"`
	// CPUNew is the CPU time of the Worker for a claim of a new key with its
	// completion. CPUDuplicate is that for a duplicate's claim.
	CPUNew, CPUDuplicate time.Duration `json:"-"`
}

const month = price.Days * 24 * time.Hour

// Estimate is what a workload uses in a month.
type Estimate struct {
	New        float64 `json:"new_keys"`
	Duplicates float64 `json:"duplicates"`
	Alarms     float64 `json:"alarms"`
	Live       float64 `json:"live_keys"` // at any time, after the first TTL has passed
	price.Usage
}

// Estimate calculates a month's usage in the long run, when as many keys expire
// as are claimed. It assumes the most expensive case: each new key is claimed
// once, completed, and removed by its own alarm. Duplicates come after the
// completion.
func (w *Workload) Estimate() Estimate {
	e := Estimate{Duplicates: w.Claims * w.Duplicates}
	e.New = w.Claims - e.Duplicates
	e.Alarms = e.New
	e.Live = e.New * w.TTL.Hours() / month.Hours()
	extends := 0.0
	if w.Work > 0 {
		extends = e.New * float64(w.Work/(w.Lease/3))
	}
	first := FirstOfKey
	if w.Buckets == 0 || e.Live < float64(w.Buckets) { // most buckets are empty
		first = FirstOfObject
	}
	w.add(&e, first, e.New)
	w.add(&e, Extend, extends)
	w.add(&e, Complete, e.New)
	w.add(&e, Repeated, e.Duplicates)
	w.add(&e, RemoveOne, e.Alarms)
	e.WorkerRequests = w.Claims
	e.CPU = (e.New*w.CPUNew.Seconds() + e.Duplicates*w.CPUDuplicate.Seconds()) * 1000
	e.Duration = w.activeSeconds(e.Requests) * price.Memory
	e.Stored = w.stored(e.Live)
	return e
}

func (w *Workload) add(e *Estimate, operation string, times float64) {
	c := Of(operation)
	read, written := c.Read, c.InBucket
	switch {
	case w.Buckets == 0:
		read, written = c.ReadPerKey, c.PerKey
	case w.OnExpired:
		written = c.Notifies
	}
	e.Requests += times * float64(c.Requests)
	e.RowsWritten += times * float64(written)
	e.RowsRead += times * float64(read)
}

// activeSeconds returns how long objects are active. A bucket is billed once
// for the requests that it handles at the same time.
func (w *Workload) activeSeconds(requests float64) float64 {
	seconds := requests * w.Active.Seconds()
	if w.Buckets > 0 {
		return min(seconds, float64(w.Buckets)*month.Seconds())
	}
	return seconds
}

// stored returns the stored data in GB.
func (w *Workload) stored(live float64) float64 {
	bytes := live * SizeOfKey(w.Result)
	if w.Buckets > 0 {
		bytes = float64(w.Buckets)*BucketSize + live*SizeInBucket(w.Result)
	}
	return bytes / 1e9
}

// Limits of a bucket: those that Cloudflare states for one object.
const (
	bucketRate   = 1000 // requests a second
	bucketStored = 10   // GB
)

// Warnings returns the limits that the workload exceeds with any plan.
func (w *Workload) Warnings(e Estimate) (warnings []string) {
	if w.Buckets == 0 {
		return nil
	}
	n := float64(w.Buckets)
	if e.Requests/month.Seconds()/n > bucketRate {
		warnings = append(warnings,
			"a bucket has over 1,000 requests a second on average, the limit of an object: "+
				"use more buckets")
	}
	if e.Stored/n > bucketStored {
		warnings = append(warnings,
			"a bucket stores over 10 GB, the limit of an object: use more buckets")
	}
	return warnings
}
