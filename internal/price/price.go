// Package price contains Cloudflare's published prices for Workers and for
// Durable Objects with SQLite storage. It calculates the bill for a month's
// usage.
package price

import "math"

// Source is a page with prices. Date is the date of its last change when the
// prices were copied.
type Source struct {
	URL  string `json:"url"`
	Date string `json:"date"`
}

// Sources are the pages with the prices.
var Sources = []Source{
	{"https://developers.cloudflare.com/durable-objects/platform/pricing/", "2026-09-30"},
	{"https://developers.cloudflare.com/workers/platform/pricing/", "2026-10-02"},
}

const (
	// Subscription is the minimum price of a month of Workers Paid, in dollars.
	Subscription = 5
	// Days is the number of days in a month, here.
	Days = 30
	// Memory is the memory that an active object is billed for, in GB: 128 MB,
	// no matter how much it uses.
	Memory = 0.128
	// FreeCPU is the CPU time that an invocation has on Workers Free, in ms.
	FreeCPU = 10
)

// Usage is the usage of a month.
type Usage struct {
	WorkerRequests float64 `json:"worker_requests"`
	CPU            float64 `json:"worker_cpu_ms"`
	Requests       float64 `json:"object_requests"` // including alarms
	Duration       float64 `json:"object_duration_gb_s"`
	RowsRead       float64 `json:"rows_read"`
	RowsWritten    float64 `json:"rows_written"`
	Stored         float64 `json:"stored_gb"` // at any time
}

// meter is one of the quantities that are billed.
type meter struct {
	name, unit string
	of         func(*Usage) float64
	included   float64 // per month, on Workers Paid
	price      float64 // in dollars, for an amount of per
	per        float64
	whole      bool    // the billed amount is rounded up to a multiple of per
	free       float64 // per day, on Workers Free; 0 means not metered
	total      bool    // free is a limit at any time, not per day
}

const million = 1e6

// Only the page about Durable Objects states that usage is rounded up. The
// examples on the page about Workers are not rounded.
var meters = []meter{
	{
		name: "Worker requests", of: func(u *Usage) float64 { return u.WorkerRequests },
		included: 10 * million, price: 0.30, per: million, free: 100_000,
	},
	{
		name: "Worker CPU time", unit: "ms", of: func(u *Usage) float64 { return u.CPU },
		included: 30 * million, price: 0.02, per: million,
	},
	{
		name: "object requests", of: func(u *Usage) float64 { return u.Requests },
		included: million, price: 0.15, per: million, whole: true, free: 100_000,
	},
	{
		name: "object duration", unit: "GB-s", of: func(u *Usage) float64 { return u.Duration },
		included: 400_000, price: 12.50, per: million, whole: true, free: 13_000,
	},
	{
		name: "rows read", of: func(u *Usage) float64 { return u.RowsRead },
		included: 25_000 * million, price: 0.001, per: million, whole: true, free: 5 * million,
	},
	{
		name: "rows written", of: func(u *Usage) float64 { return u.RowsWritten },
		included: 50 * million, price: 1, per: million, whole: true, free: 100_000,
	},
	{
		name: "stored data", unit: "GB", of: func(u *Usage) float64 { return u.Stored },
		included: 5, price: 0.20, per: 1, whole: true, free: 5, total: true,
	},
}

// Line is a line of a bill of Workers Paid. Billed is the amount above the
// included one, rounded up if the page states that.
type Line struct {
	Name     string  `json:"name"`
	Unit     string  `json:"unit,omitempty"`
	Amount   float64 `json:"amount"`
	Included float64 `json:"included"`
	Billed   float64 `json:"billed"`
	Price    float64 `json:"price"`
	Per      float64 `json:"per"`
	Dollars  float64 `json:"dollars"`
}

// Bill is the bill for a month of Workers Paid.
type Bill struct {
	Subscription float64 `json:"subscription"`
	Lines        []Line  `json:"lines"`
	Total        float64 `json:"total"`
}

// Paid calculates the bill of Workers Paid. It assumes that nothing else in the
// account uses the included amounts.
func Paid(u Usage) Bill {
	b := Bill{Subscription: Subscription, Total: Subscription}
	for _, m := range meters {
		l := Line{
			Name: m.name, Unit: m.unit, Amount: m.of(&u),
			Included: m.included, Price: m.price, Per: m.per,
		}
		l.Billed = max(l.Amount-m.included, 0)
		if m.whole {
			l.Billed = math.Ceil(l.Billed/m.per) * m.per
		}
		l.Dollars = l.Billed / m.per * m.price
		b.Lines = append(b.Lines, l)
		b.Total += l.Dollars
	}
	return b
}

// Limit is a limit of Workers Free, and the usage that it applies to.
type Limit struct {
	Name     string  `json:"name"`
	Unit     string  `json:"unit,omitempty"`
	Amount   float64 `json:"amount"`
	Limit    float64 `json:"limit"`
	Daily    bool    `json:"daily"` // otherwise at any time
	Exceeded bool    `json:"exceeded"`
}

// Free compares usage, spread evenly over the month, with the limits of Workers
// Free. Beyond a limit, operations of that type fail.
func Free(u Usage) (limits []Limit) {
	for _, m := range meters {
		if m.free == 0 {
			continue
		}
		l := Limit{Name: m.name, Unit: m.unit, Amount: m.of(&u), Limit: m.free, Daily: !m.total}
		if l.Daily {
			l.Amount /= Days
		}
		l.Exceeded = l.Amount > l.Limit
		limits = append(limits, l)
	}
	return limits
}
