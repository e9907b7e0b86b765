package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// These are flags whose values people write in several ways.
var (
	_ pflag.Value = (*count1)(nil)
	_ pflag.Value = (*share)(nil)
	_ pflag.Value = (*days)(nil)
	_ pflag.Value = (*mapping)(nil)
)

// count1 is a whole number of at least 1, such as 250000, 250_000, 250k, 10M or
// 1e6.
type count1 float64

func (c *count1) Type() string   { return "number" }
func (c *count1) String() string { return strconv.FormatFloat(float64(*c), 'f', -1, 64) }

func (c *count1) Set(s string) error {
	factor, digits := 1.0, strings.ReplaceAll(s, "_", "")
	for suffix, f := range map[string]float64{"k": 1e3, "M": 1e6, "G": 1e9} {
		if d, ok := strings.CutSuffix(digits, suffix); ok {
			factor, digits = f, d
		}
	}
	n, err := parseFloat(digits)
	n = math.Round(n*factor*1e3) / 1e3 // 0.1k is 100
	if err != nil || n < 1 || n > maxClaims || n != math.Trunc(n) {
		return errors.New("it is a whole number from 1 to 1e12, such as 250000, 250k or 10M")
	}
	*c = count1(n)
	return nil
}

// share is a share from 0 to 1, such as 0.05 or 5%.
type share float64

func (v *share) Type() string { return "share" }

func (v *share) String() string {
	return strconv.FormatFloat(math.Round(float64(*v)*1e8)/1e6, 'f', -1, 64) + "%"
}

func (v *share) Set(s string) error {
	digits, percent := strings.CutSuffix(s, "%")
	n, err := parseFloat(digits)
	if percent {
		n /= 100
	}
	if err != nil || n < 0 || n > 1 {
		return errors.New("it is a share from 0 to 1, such as 0.05, or from 0% to 100%")
	}
	*v = share(n)
	return nil
}

// parseFloat refuses infinities and NaN.
func parseFloat(s string) (float64, error) {
	n, err := strconv.ParseFloat(s, 64)
	if err == nil && (math.IsNaN(n) || math.IsInf(n, 0)) {
		err = strconv.ErrRange
	}
	return n, err
}

// days is a non-negative duration. It accepts days, as in 7d.
type days time.Duration

func (d *days) Type() string { return "duration" }

func (d *days) String() string {
	const day = 24 * time.Hour
	if v := time.Duration(*d); v >= day && v%day == 0 {
		return strconv.Itoa(int(v/day)) + "d"
	}
	return time.Duration(*d).String()
}

func (d *days) Set(s string) error {
	v, err := time.ParseDuration(s)
	if digits, ok := strings.CutSuffix(s, "d"); ok {
		var n float64
		n, err = parseFloat(digits)
		if n > 100_000 {
			err = strconv.ErrRange
		}
		v = time.Duration(n * 24 * float64(time.Hour))
	}
	if err != nil || v < 0 {
		return errors.New("it is a time such as 500ms, 90m, 24h or 7d")
	}
	*d = days(v)
	return nil
}

// mapping is the number of buckets; 0 means PerKey.
type mapping int

func (m *mapping) Type() string { return "mapping" }

func (m *mapping) String() string {
	if *m == 0 {
		return "PerKey"
	}
	return "Buckets(" + strconv.Itoa(int(*m)) + ")"
}

func (m *mapping) Set(s string) error {
	text := strings.ToLower(s)
	if text == "perkey" {
		*m = 0
		return nil
	}
	digits, ok := strings.CutPrefix(text, "buckets(")
	digits, closed := strings.CutSuffix(digits, ")")
	n, err := strconv.Atoi(digits)
	if !ok || !closed || err != nil || n < 1 || n > maxBuckets {
		return errors.New(
			"it is PerKey or Buckets(n), with n from 1 to 65536; quote it for the shell")
	}
	*m = mapping(n)
	return nil
}

// amount returns a figure for a table, as a whole number or with three digits.
func amount(v float64) string {
	if v > 0 && v < 100 && v != math.Trunc(v) {
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	return grouped(v)
}

// grouped rounds a number and groups its thousands, as in 1,234,567.
func grouped(v float64) string {
	s := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// printTable aligns the first column left and the others right.
func printTable(w io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	for _, row := range rows {
		line := fmt.Sprintf("%-*s", widths[0], row[0])
		for i, cell := range row[1:] {
			line += fmt.Sprintf("  %*s", widths[i+1], cell)
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}
