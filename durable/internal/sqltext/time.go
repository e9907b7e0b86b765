package sqltext

import "time"

// layouts are the formats of https://www.sqlite.org/lang_datefunc.html that
// have a date, and those of JavaScript and other Go drivers. Decimals may
// follow seconds.
var layouts = []string{
	time.DateTime, time.DateOnly, time.RFC3339,
	"2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05",
	"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02 15:04Z07:00", "2006-01-02T15:04Z07:00",
	"2006-01-02 15:04:05 -0700 MST",
}

// ParseTime parses a time as SQLite, JavaScript and Go drivers write it. A text
// without an offset is in UTC.
func ParseTime(s string) (t time.Time, ok bool) {
	if len(s) < len(time.DateOnly) || s[4] != '-' || s[7] != '-' {
		return t, false
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return t, false
}
