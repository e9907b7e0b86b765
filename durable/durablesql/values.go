package durablesql

import (
	"database/sql/driver"
	"strconv"
	"strings"
	"time"

	"flow.internal/capdo/durable"
)

// column takes a value as a [durable.Cursor] has it.
type column struct{ v driver.Value }

func (c *column) Scan(v any) error            { c.v = v; return nil }
func (c *column) ScanInexact(f float64) error { c.v = InexactNumber{f}; return nil }

// InexactNumber is what a column holds whose number is beyond ±(2^53-1), up to ±2^63: an INTEGER that has arrived inexact, or a REAL. It scans
// into a float64, and is refused for an integer or a string. Select CAST(column AS TEXT) to scan an integer exactly.
type InexactNumber struct{ float float64 }

// Float64 returns the number: that of a REAL exactly, that of an INTEGER rounded to the nearest float64.
func (n InexactNumber) Float64() float64 { return n.float }

// String writes the number so that it is no integer's text, which is how database/sql scans it into a float64 but into no integer.
func (n InexactNumber) String() string { return strconv.FormatFloat(n.float, 'e', -1, 64) }

// time returns the time that text in column i is, or the text.
func (r *rows) time(i int, text string) (driver.Value, error) {
	t, ok := parseTime(text)
	if !ok {
		return text, nil
	}
	if r.isTime == nil {
		var err error
		if r.isTime, err = r.conn.connector.timeColumns(); err != nil {
			return nil, err
		}
	}
	if r.isTime[strings.ToLower(r.Columns()[i])] {
		return t, nil
	}
	return text, nil
}

// parseTime parses what durable.Cursor.Scan takes for a time.
func parseTime(s string) (t time.Time, ok bool) {
	if len(s) < len(time.DateOnly) || s[4] != '-' || s[7] != '-' {
		return t, false
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return t, false
}

// timeColumns returns the names, in lower case, that only columns have that are declared to be times.
func (c *connector) timeColumns() (map[string]bool, error) {
	storage, err := c.storage()
	if err != nil {
		return nil, err
	}
	cursor, err := storage.SQL().Exec(`SELECT lower(c.name) FROM sqlite_master t, pragma_table_info(t.name) c
		WHERE t.type = 'table' AND substr(t.name, 1, 4) <> '_cf_'
		GROUP BY 1 HAVING min(upper(c.type) IN ('DATETIME', 'TIMESTAMP', 'DATE'))`)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for name, err := range durable.All[string](cursor) {
		if err != nil {
			return nil, err
		}
		names[name] = true
	}
	return names, nil
}
