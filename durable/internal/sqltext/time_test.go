package sqltext

import (
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2026-01-02T03:04:05.120Z":         time.Date(2026, 1, 2, 3, 4, 5, 120e6, time.UTC),
		"2026-01-02 03:04:05":              time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"2026-01-02 03:04:05.000000001":    time.Date(2026, 1, 2, 3, 4, 5, 1, time.UTC),
		"2026-01-02 03:04:05.12+01:00":     time.Date(2026, 1, 2, 2, 4, 5, 120e6, time.UTC),
		"2026-01-02 03:04:05.12 +0100 CET": time.Date(2026, 1, 2, 2, 4, 5, 120e6, time.UTC),
		"2026-01-02":                       time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
		"2026-01-02-03":                    {},
		"2026-13-02":                       {},
		"2026-01-02 03:04:05 and more":     {},
		"0123-5678-":                       {},
		"now":                              {},
		"":                                 {},
	} {
		if got, ok := ParseTime(text); got != want || ok == want.IsZero() {
			t.Errorf("%q became %v, %v", text, got, ok)
		}
	}
}
