package price

import (
	"math"
	"slices"
	"testing"
)

func dollars(t *testing.T, u Usage, name string) float64 {
	t.Helper()
	for _, l := range Paid(u).Lines {
		if l.Name == name {
			return l.Dollars
		}
	}
	t.Fatalf("no line %q", name)
	return 0
}

// The amounts are those of Cloudflare's pages at that time.
func TestPaid(t *testing.T) {
	tests := []struct {
		name string
		u    Usage
		line string
		want float64
	}{
		{"included requests cost nothing", Usage{WorkerRequests: 10e6}, "Worker requests", 0},
		{"Cloudflare's example 1, requests", Usage{WorkerRequests: 15e6}, "Worker requests", 1.50},
		{"Cloudflare's example 1, CPU", Usage{CPU: 7 * 15e6}, "Worker CPU time", 1.50},
		{"Cloudflare's example 3 is not rounded up", Usage{CPU: 180_000 * 720}, "Worker CPU time", 1.992},
		{"Cloudflare's example 4", Usage{WorkerRequests: 100e6}, "Worker requests", 27},
		{"included requests of objects", Usage{Requests: 1e6}, "object requests", 0},
		{"one more request costs a million", Usage{Requests: 1e6 + 1}, "object requests", 0.15},
		{"two million", Usage{Requests: 2e6}, "object requests", 0.15},
		{"and one more", Usage{Requests: 2e6 + 1}, "object requests", 0.30},
		{"included duration", Usage{Duration: 400_000}, "object duration", 0},
		{"another 500,000 GB-s cost a million", Usage{Duration: 900_000}, "object duration", 12.50},
		{"included rows read", Usage{RowsRead: 25e9}, "rows read", 0},
		{"rows read", Usage{RowsRead: 26e9}, "rows read", 1},
		{"included rows written", Usage{RowsWritten: 50e6}, "rows written", 0},
		{"rows written", Usage{RowsWritten: 53e6}, "rows written", 3},
		{"included storage", Usage{Stored: 5}, "stored data", 0},
		{"storage", Usage{Stored: 14.5}, "stored data", 2},
	}
	for _, tt := range tests {
		if got := dollars(t, tt.u, tt.line); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: %g dollars, want %g", tt.name, got, tt.want)
		}
	}
	if got := Paid(Usage{Requests: 2e6, RowsWritten: 53e6}).Total; math.Abs(got-8.15) > 1e-9 {
		t.Errorf("in total %g dollars, want 8.15", got)
	}
	if got := Paid(Usage{}).Total; got != 5 {
		t.Errorf("no usage costs %g dollars, want 5", got)
	}
}

func TestFree(t *testing.T) {
	all := Usage{
		WorkerRequests: 3e6, Requests: 3e6, Duration: 390_000,
		RowsRead: 150e6, RowsWritten: 3e6, Stored: 5,
	}
	if got := exceeded(all); got != nil {
		t.Errorf("usage at the limits exceeds %q", got)
	}
	more := Usage{
		WorkerRequests: 3e6 + 30, Requests: 3e6 + 30, Duration: 390_030,
		RowsRead: 150e6 + 30, RowsWritten: 3e6 + 30, Stored: 5.1,
	}
	want := []string{
		"Worker requests", "object requests", "object duration",
		"rows read", "rows written", "stored data",
	}
	if got := exceeded(more); !slices.Equal(got, want) {
		t.Errorf("one more per day exceeds %q, want %q", got, want)
	}
}

func exceeded(u Usage) (names []string) {
	for _, l := range Free(u) {
		if l.Exceeded {
			names = append(names, l.Name)
		}
	}
	return names
}
