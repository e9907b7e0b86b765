//go:build !js

package main

import (
	"fmt"
	"math"
	"strconv"
)

func (r *Result) refused() float64 {
	return float64(r.Refused) / float64(max(r.Requests+r.Refused, 1))
}

// perAlarm is how many records an alarm removes.
func (r *Result) perAlarm() float64 { return float64(r.Removed) / float64(max(r.Alarms, 1)) }

// waitOr is the p99 of waits, or what is refused if that is more than a little.
func waitOr(r *Result) string {
	if r.refused() > 0.001 {
		return percent(r.refused()) + " refused"
	}
	return ms(r.Wait.at(0.99))
}

// round rounds to two digits.
func round(f float64) float64 {
	g, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'e', 1, 64), 64)
	return g
}

// number groups thousands by commas.
func number(f float64) string {
	s := strconv.FormatFloat(math.Round(f), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short writes large numbers in millions or billions.
func short(f float64) string {
	switch {
	case f >= 1e9:
		return trim(f/1e9) + " billion"
	case f >= 1e6:
		return trim(f/1e6) + " million"
	}
	return number(round(f))
}

// trim writes two digits, or the whole number if that has more.
func trim(f float64) string {
	if f = round(f); f >= 10 {
		return number(f)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func percent(part float64) string {
	switch p := min(part*100, 100); {
	case p == 0:
		return "0"
	case p < 0.1:
		return "< 0.1%"
	case p < 1:
		return fmt.Sprintf("%.1f%%", p)
	default:
		return fmt.Sprintf("%.0f%%", p)
	}
}

// ms writes a wait.
func ms(seconds float64) string {
	switch m := seconds * 1000; {
	case m < 1:
		return "< 1 ms"
	case m < 1000:
		return trim(m) + " ms"
	default:
		return trim(seconds) + " s"
	}
}

// fine writes the time of an operation.
func fine(seconds float64) string {
	return strconv.FormatFloat(round(seconds*1000), 'f', -1, 64) + " ms"
}

// span writes a time of seconds or minutes.
func span(seconds float64) string {
	switch {
	case seconds == 0:
		return "0"
	case seconds < 120:
		return trim(seconds) + " s"
	case seconds < 7200:
		return trim(seconds/60) + " min"
	}
	return trim(seconds/3600) + " h"
}

func gb(f float64) string {
	switch {
	case f < 0.001:
		return "< 0.001"
	case f < 10:
		return strconv.FormatFloat(round(f), 'f', -1, 64)
	}
	return number(round(f))
}

func dollars(f float64) string {
	if f < 100 {
		return fmt.Sprintf("%.2f", f)
	}
	return number(round(f))
}

func buckets(n int) string {
	if n == 0 {
		return "PerKey"
	}
	return fmt.Sprintf("Buckets(%s)", strconv.Itoa(n))
}
