//go:build !js

package main

import (
	"testing"
	"time"

	"github.com/spf13/pflag"

	"flow.internal/capdo/dedupe/dodedupe"
)

func TestAmounts(t *testing.T) {
	number := func() pflag.Value { return new(count1) }
	part := func() pflag.Value { return new(share) }
	span := func() pflag.Value { return new(days) }
	layout := func() pflag.Value { return new(mapping) }
	tests := []struct {
		flag     func() pflag.Value
		in, want string // want is empty if the value is refused
	}{
		{number, "250000", "250000"}, {number, "250_000", "250000"}, {number, "250k", "250000"},
		{number, "10M", "10000000"}, {number, "1.1M", "1100000"}, {number, "1e6", "1000000"},
		{number, "1G", "1000000000"}, {number, "1e12", "1000000000000"},
		{number, "0", ""}, {number, "-1", ""}, {number, "1.5", ""}, {number, "2e12", ""},
		{number, "NaN", ""}, {number, "Inf", ""}, {number, "", ""}, {number, "M", ""}, {number, "many", ""},
		{part, "0", "0%"}, {part, "0.05", "5%"}, {part, "5%", "5%"}, {part, "100%", "100%"}, {part, "1", "100%"},
		{part, "120%", ""}, {part, "1.01", ""}, {part, "-0.1", ""}, {part, "NaN", ""}, {part, "%", ""},
		{span, "90m", "1h30m0s"}, {span, "7d", "7d"}, {span, "1.5d", "36h0m0s"}, {span, "24h", "1d"}, {span, "0s", "0s"},
		{span, "-1s", ""}, {span, "-1d", ""}, {span, "1e9d", ""}, {span, "7", ""}, {span, "d", ""}, {span, "", ""},
		{layout, "PerKey", "PerKey"}, {layout, "perkey", "PerKey"}, {layout, "Buckets(16)", "Buckets(16)"},
		{layout, "buckets(65536)", "Buckets(65536)"},
		{layout, "Buckets(0)", ""}, {layout, "Buckets(65537)", ""}, {layout, "Buckets(-1)", ""},
		{layout, "Buckets", ""}, {layout, "16", ""}, {layout, "Buckets(16", ""}, {layout, "", ""},
	}
	for _, tt := range tests {
		v := tt.flag()
		err := v.Set(tt.in)
		if tt.want == "" {
			if err == nil {
				t.Errorf("%s %q is taken as %s", v.Type(), tt.in, v)
			}
			continue
		}
		if err != nil || v.String() != tt.want {
			t.Errorf("%s %q is %s (%v), want %s", v.Type(), tt.in, v, err, tt.want)
		}
	}
}

func TestMaxBuckets(t *testing.T) {
	if maxBuckets != dodedupe.MaxBuckets {
		t.Errorf("maxBuckets is %d, want %d", maxBuckets, dodedupe.MaxBuckets)
	}
}

func TestGrouped(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999: "999", 999.6: "1,000", 1234567: "1,234,567", 1e12: "1,000,000,000,000"} {
		if got := grouped(v); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
}

func TestDaysIsADuration(t *testing.T) {
	var d time.Duration
	if err := (*days)(&d).Set("2d"); err != nil || d != 48*time.Hour {
		t.Errorf("2d is %s (%v)", d, err)
	}
}
